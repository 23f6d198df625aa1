"""A small table of drugs, the data module that reads it, and a model that keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning
import torch

from datamodules.batch import Batch
from datamodules.batch_loader import BatchLoader
from datamodules.drug_datamodule import DrugDataModule

ALCOHOLS = [f"{'C' * length}O" for length in range(1, 31)]
AMINES = [f"{'C' * length}N" for length in range(1, 13)]
TABLE = "id,smiles,label\n" + "".join(
    f"drug {row},{smiles},{smiles[-1]}\n" for row, smiles in enumerate(ALCOHOLS + AMINES)
)


def data_module(folder: Path, text: str = TABLE, **settings: Any) -> DrugDataModule:
    """A data module of a table, with a trainer that runs in `folder / "run"`."""
    path = folder / "drugs.csv"
    path.write_text(text)
    module = DrugDataModule(**{"source": str(path), "cache_folder": str(folder / "cache"), **settings})
    module.trainer = trainer(folder)
    return module


def trainer(folder: Path) -> lightning.Trainer:
    """A trainer of two epochs that writes into `folder / "run"` and prints nothing."""
    return lightning.Trainer(
        default_root_dir=folder / "run",
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=2,
    )


def flat(batches: Iterable[list[int]]) -> list[int]:
    """All numbers of all lists."""
    return [index for batch in batches for index in batch]


def served(loader: Iterable[Batch]) -> list[int]:
    """The number of each sample that a loader gives, in order."""
    return flat(batch.sample_index.tolist() for batch in loader)


def fit_loader(module: DrugDataModule) -> BatchLoader:
    """The training batches of a data module that was not set up."""
    module.setup("fit")
    return module.train_dataloader()


class Recorder(lightning.LightningModule):
    """Learns nothing and keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[list[int]]] = {"train": [], "validation": [], "test": [], "predict": []}

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen["train"].append(batch.sample_index.tolist())
        return self.weight * 0.0

    def validation_step(self, batch: Batch) -> None:
        self.seen["validation"].append(batch.sample_index.tolist())

    def test_step(self, batch: Batch) -> None:
        self.seen["test"].append(batch.sample_index.tolist())

    def predict_step(self, batch: Batch) -> torch.Tensor:
        self.seen["predict"].append(batch.sample_index.tolist())
        return batch.labels

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)
