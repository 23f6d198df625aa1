"""chemprop as its users run it, by its command line in the environment of the peers."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy
import polars
import torch
from torch import Tensor

from benchmarks.measuring import PEERS_PYTHON
from benchmarks.peer_data import Fitted, PeerData
from datamodules.splits.splitters import SPLIT_NAMES, SplitName

_LAST_CHARACTERS = 2000


def fit_chemprop(balanced: bool, members: int, data: PeerData, seed: int) -> Fitted:
    """Fit chemprop at its default settings, each molecule of a sample as a component.

    Args:
        balanced: Whether the two classes are drawn equally often (`--class-balance`). chemprop does so for two classes
            only, so the samples of more classes get weights by which all classes weigh the same.
        members: Number of models, whose probabilities are averaged.
        data: The samples.
        seed: Random seed.

    Raises:
        SystemExit: If chemprop fails, with the end of what it said.
    """
    classes = len(data.class_counts)
    molecules = ["--smiles-columns", *data.smiles["train"].columns]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {split: folder / f"{split}.csv" for split in SPLIT_NAMES}
        weights = _class_weights(data) if balanced and classes > 2 else torch.ones(classes, dtype=torch.float64)
        for split, path in paths.items():
            _write(path, data, split, weights)
        words = ["train", "--data-path", *map(str, paths.values()), *molecules, "--target-columns", "target"]
        words += ["--weight-column", "weight", "--ensemble-size", str(members), "--output-dir", str(folder / "models")]
        words += ["--pytorch-seed", str(seed), "--data-seed", str(seed), "--task-type"]
        words += ["classification"] if classes == 2 else ["multiclass", "--multiclass-num-classes", str(classes)]
        _run([*words, "--class-balance"] if balanced and classes == 2 else words)
        probabilities = [_predict(path, molecules, folder) for path in (paths["validation"], paths["test"])]
    return Fitted(probabilities[0], probabilities[1], float(balanced))


def _class_weights(data: PeerData) -> Tensor:
    """The weight of a sample of each class, float64 (C,), whose mean over the training samples is 1."""
    labels = data.labels("train")
    rows = torch.bincount(labels, minlength=len(data.class_counts)).double()
    weights = 1 / rows.clamp(min=1)
    return weights / weights[labels].mean()


def _write(path: Path, data: PeerData, split: SplitName, weights: Tensor) -> None:
    labels = data.labels(split)
    columns = [polars.Series("target", labels.numpy()), polars.Series("weight", weights[labels].numpy())]
    data.smiles[split].with_columns(columns).write_csv(path)


def _predict(path: Path, molecules: list[str], folder: Path) -> Tensor:
    """Probabilities of the rows of a file, fp32 (n, C)."""
    target = folder / "predictions.csv"
    models = ["--model-paths", str(folder / "models"), "--preds-path", str(target)]
    _run(["predict", "--test-path", str(path), *molecules, *models])
    frame = polars.read_csv(target)
    if "target_prob" not in frame.columns:
        second = torch.from_numpy(frame["target"].to_numpy().copy()).float()
        return torch.stack([1 - second, second], dim=1)
    rows = [numpy.fromstring(cell, sep=",") for cell in frame["target_prob"]]
    return torch.from_numpy(numpy.stack(rows)).float()


def _run(words: list[str]) -> None:
    command = [str(PEERS_PYTHON.with_name("chemprop")), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"chemprop {words[0]} failed:\n{done.stdout[-_LAST_CHARACTERS:]}")
