"""The embeddings of the training set that reclustering works on: computed for it, or kept as training sees them."""

from __future__ import annotations

from typing import Any, cast

import lightning
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.processes import gather_rows, sum_over_processes
from modules.unit_embeddings import unit_embeddings


def sampled_rows(codes: NDArray[Any], most: int | None, seed: int) -> NDArray[Any]:
    """Training samples to recluster, ascending: at most so many of each class, drawn at random.

    Args:
        codes: int (N,), class of each training sample.
        most: Samples of a class; None for all.
        seed: Of the draw.
    """
    order = numpy.arange(len(codes)) if most is None else numpy.random.default_rng(seed).permutation(len(codes))
    order = order[numpy.argsort(codes[order], kind="stable")]
    counts = numpy.bincount(codes)
    place = numpy.arange(len(codes)) - (counts.cumsum() - counts)[codes[order]]
    return numpy.sort(order if most is None else order[place < most])


class RunningEmbeddings:
    """The unit embeddings that training computed last, in half precision.

    Each process keeps what it saw; `collect` brings them together.
    """

    def __init__(self, rows: NDArray[Any], width: int, device: torch.device) -> None:
        """Start with none.

        Args:
            rows: Training samples to keep, ascending.
            width: Size of an embedding.
            device: Where to keep them.
        """
        self._rows = torch.from_numpy(rows).to(device)
        self._known = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._seen = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._embeddings = torch.zeros(len(rows), width, dtype=torch.float16, device=device)

    def keep(self, sample_index: Tensor, embeddings: Tensor) -> None:
        """Take a batch's embeddings, as far as its samples are among the rows.

        Args:
            sample_index: int64 (B,).
            embeddings: (B, d).
        """
        places = torch.searchsorted(self._rows, sample_index).clamp(max=len(self._rows) - 1)
        kept = self._rows[places] == sample_index
        places = places[kept]
        self._embeddings[places] = unit_embeddings(embeddings[kept]).half()
        self._seen[places] = True

    def collect(self) -> Tensor | None:
        """Bring the processes' embeddings together; all of them must call it.

        Returns:
            fp32 (S, d) in the order of the rows, or None as long as some were never seen.
        """
        self._known, self._embeddings = self._merged()
        self._seen.zero_()
        return self._embeddings.float() if bool(self._known.all()) else None

    def fill(self, embeddings: Tensor) -> None:
        """Take the embeddings of all rows at once.

        Args:
            embeddings: (S, d) in the order of the rows, the same on all processes.
        """
        self._embeddings = unit_embeddings(embeddings).half()
        self._known.fill_(True)
        self._seen.zero_()

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Which rows were seen so far on any process, and their embeddings; of rows seen on several, the mean."""
        times = sum_over_processes(self._seen.float()).unsqueeze(1)
        seen = torch.where(self._seen.unsqueeze(1), self._embeddings.float(), 0.0)
        mean = sum_over_processes(seen) / times.clamp(min=1)
        return self._known | (times.squeeze(1) > 0), torch.where(times > 0, mean.half(), self._embeddings)

    def state_dict(self) -> dict[str, Any]:
        """What was seen on any process, for the checkpoint; all of them must call it."""
        known, embeddings = self._merged()
        return {"known": known, "embeddings": embeddings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was seen before a run was resumed."""
        self._known.copy_(state_dict["known"])
        self._embeddings.copy_(state_dict["embeddings"])


def embed_training_set(
    trainer: lightning.Trainer, model: DrugClassifier, rows: NDArray[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of training samples, in order, on every process.

    Each process embeds its share, without augmentation; shares may differ in size.

    Args:
        trainer: Its data module is a `DrugDataModule`.
        model: Embeds; its mode is as before afterwards.
        rows: Training samples, ascending; all if None.

    Returns:
        (S, d) float32 embeddings and (S,) int64 labels, on the model's device.

    Raises:
        RuntimeError: If a sample was embedded more than once or not at all.
    """
    from tqdm import tqdm

    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    expected = numpy.arange(len(data.records.rows["train"])) if rows is None else rows
    was_training = model.training
    if trainer.world_size > 1:
        # Batch norm's statistics differ between processes until the next validation.
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    model.eval()
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    # None: no bar where there is no terminal.
    quiet = None if trainer.is_global_zero else True
    loader = tqdm(data.train_embedding_dataloader(rows), desc="Embedding", delay=2, leave=False, disable=quiet)
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for batch in loader:
            batch = cast(Batch, trainer.strategy.batch_to_device(batch))
            found.append((batch.sample_index, model.embed(batch).float(), batch.labels))
    model.train(was_training)
    index, embeddings, labels = (torch.cat(column) for column in zip(*found, strict=True))
    index, embeddings, labels = (gather_rows(column) for column in (index, embeddings, labels))
    order = index.argsort()
    if not numpy.array_equal(index[order].cpu().numpy(), expected):
        raise RuntimeError(f"Expected to embed each of {len(expected)} training samples once, got {len(index)} rows.")
    return embeddings[order], labels[order]
