"""Scores of the samples of a split, from which its metrics and the decision are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from base.atomic_file import write_binary
from base.errors import InputError
from datamodules.batch import Batch
from modules.processes import gather_rows

_NAMES = ("rows", "labels", "logits", "at_prior")


@dataclass(frozen=True)
class SplitScores:
    """The logits of N samples of a split.

    Attributes:
        rows: Row of each sample in its table, int64 (N,).
        labels: Labels, int64 (N,); where a sample may have several, (N, C): 1 it has the label, 0 it does not, -1 not
            known.
        logits: Logits of the head with the second opinions, before any correction, fp32 (N, C).
        at_prior: Labels predicted without that opinion at the training prior, as plain cross-entropy predicts them,
            int64 (N,); of several, 1 or 0, (N, C).
    """

    rows: Tensor
    labels: Tensor
    logits: Tensor
    at_prior: Tensor

    def of_all_processes(self) -> SplitScores:
        """The scores of the samples of all processes; must be called on all of them."""
        return SplitScores(*(gather_rows(getattr(self, name)) for name in _NAMES))

    def finite(self, refusal: str) -> SplitScores:
        """These scores, after a check.

        Args:
            refusal: The message of the error.

        Raises:
            InputError: If a score is NaN or infinite.
        """
        if not bool(self.logits.isfinite().all()):
            raise InputError(refusal)
        return self

    def to(self, device: torch.device) -> SplitScores:
        """Copy the scores to a device."""
        return SplitScores(*(getattr(self, name).to(device) for name in _NAMES))

    def part(self, chosen: Tensor) -> SplitScores:
        """The scores of some of the samples.

        Args:
            chosen: Which samples, bool (N,), or their places, int64 (n,).
        """
        return SplitScores(*(getattr(self, name)[chosen] for name in _NAMES))

    def of_rows(self, rows: NDArray[Any]) -> SplitScores:
        """The scores of some rows, in order of the rows.

        Args:
            rows: The rows, (n,).
        """
        return self.part(torch.isin(self.rows, torch.from_numpy(rows).to(self.rows.device))).in_order()

    def in_order(self) -> SplitScores:
        """The scores in the order of the rows, which does not depend on batches and processes."""
        return self.part(self.rows.argsort(stable=True))

    def save(self, path: Path, weights: str = "") -> None:
        """Write the scores as an .npz file of plain arrays.

        Args:
            path: Path of the file.
            weights: `weights_digest` of the checkpoint that they were computed with.
        """
        arrays = {name: getattr(self, name).cpu().numpy() for name in _NAMES}
        arrays["weights"] = numpy.array(weights)
        write_binary(path, lambda file: numpy.savez(file, **arrays))

    @classmethod
    def load(cls, path: Path, num_classes: int, weights: str = "", several: bool | None = None) -> SplitScores:
        """Read the scores, without pickle.

        Args:
            path: File written by `save`.
            num_classes: Number of classes C.
            weights: `weights_digest` of the checkpoint to use them for; not compared if empty.
            several: Whether a sample may have several labels; not compared if None.

        Raises:
            InputError: If there is no such file, it is damaged, it holds no finite scores of C classes, or they were
                computed with other weights, or for samples of the other kind.
        """
        if not path.is_file():
            raise InputError(f"scores: expected the file {path}, which lightning fit writes, but there is none.")
        try:
            # Opened here, since numpy leaves a file open that it cannot read.
            with path.open("rb") as opened, numpy.load(opened, allow_pickle=False) as file:
                scores = cls(*(torch.from_numpy(file[name]) for name in _NAMES))
                computed_with = str(file["weights"]) if "weights" in file else ""
            _check(scores, num_classes, several)
        except Exception as error:
            raise InputError(f"scores: {path} is not a valid file of scores ({error}).") from error
        if weights and computed_with and weights != computed_with:
            raise InputError(f"scores: expected those of the weights in the checkpoint, got others in {path}.")
        return scores


def no_scores(num_classes: int, is_multilabel: bool, device: torch.device) -> SplitScores:
    """The scores of no samples.

    Args:
        num_classes: Number of classes C.
        is_multilabel: Whether a sample may have several labels.
        device: Device of the tensors.
    """
    none = torch.zeros(0, dtype=torch.int64, device=device)
    labels = none.reshape(0, num_classes) if is_multilabel else none
    return SplitScores(none, labels, torch.zeros(0, num_classes, device=device), labels)


def scores_path(checkpoint: Path) -> Path:
    """Path of the scores that the decision of a checkpoint is chosen on, `best.scores.npz` beside `best.ckpt`."""
    return checkpoint.with_suffix(".scores.npz")


def joined(parts: Sequence[SplitScores]) -> SplitScores:
    """The scores of several sets of samples as one.

    Args:
        parts: One set or more.
    """
    return SplitScores(*(torch.cat([getattr(part, name) for part in parts]) for name in _NAMES))


def _check(scores: SplitScores, num_classes: int, expected: bool | None) -> None:
    logits = scores.logits
    if logits.ndim != 2 or logits.dtype != torch.float32 or logits.shape[1] != num_classes:
        raise ValueError(f"logits: expected float32 (N, {num_classes}), got {logits.dtype} {tuple(logits.shape)}")
    several = scores.labels.ndim == 2
    if expected is not None and several != expected:
        kinds = {True: "several labels", False: "one label"}
        raise ValueError(f"labels: expected {kinds[expected]} a sample, got {kinds[several]}")
    for name in ("rows", "labels", "at_prior"):
        values = getattr(scores, name)
        shape = logits.shape if several and name != "rows" else logits.shape[:1]
        if values.dtype != torch.int64 or values.shape != shape:
            raise ValueError(f"{name}: expected int64 {tuple(shape)}, got {values.dtype} {tuple(values.shape)}")
    lowest, highest = (-1, 1) if several else (0, num_classes - 1)
    codes = torch.cat([scores.labels, scores.at_prior])
    if not bool(((codes >= lowest) & (codes <= highest)).all()) or not bool(logits.isfinite().all()):
        raise ValueError(f"expected labels in {lowest}..{highest} and finite logits")


class ScoreCollector:
    """Collects the logits of the batches of a split on one process."""

    def __init__(self, num_classes: int, is_multilabel: bool = False) -> None:
        """Create a collector without samples.

        Args:
            num_classes: Number of classes C.
            is_multilabel: Whether a sample may have several labels.
        """
        self.num_classes, self.is_multilabel = num_classes, is_multilabel
        self._batches: list[SplitScores] = []

    def add(self, batch: Batch, logits: Tensor, at_prior: Tensor) -> None:
        """Add a batch.

        Args:
            batch: Batch of B samples.
            logits: Logits, (B, C), see `SplitScores`.
            at_prior: Labels, int64 (B,), see `SplitScores`.
        """
        self._batches.append(SplitScores(batch.sample_index, batch.labels, logits.float(), at_prior))

    def take(self, device: torch.device) -> SplitScores:
        """Return the scores of this process and forget them.

        Args:
            device: Device of the scores, if this process has no samples.
        """
        batches, self._batches = self._batches, []
        # A process may have no samples of a small split.
        return joined([*batches, no_scores(self.num_classes, self.is_multilabel, device)])

    def take_finite(self, device: torch.device, refusal: str) -> SplitScores:
        """Return the scores of this process and forget them; must be called on all processes.

        Args:
            device: Device of the scores, if this process has no samples.
            refusal: The message of the error.

        Raises:
            InputError: If a score of any process is NaN or infinite.
        """
        scores = self.take(device)
        # All processes must raise, or those that do not would wait for the others.
        if not bool(gather_rows(scores.logits.isfinite().all().reshape(1)).all()):
            raise InputError(refusal)
        return scores
