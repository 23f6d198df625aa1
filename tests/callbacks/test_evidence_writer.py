"""The evidence that training leaves, from real training on the embedded drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy
import pytest
import torch

from callbacks.evidence_writer import EvidenceWriter
from callbacks.recluster import Recluster
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import embed_training_set
from modules.encoders import FingerprintMLP
from modules.evaluation import make_evidence
from modules.evaluation.prediction_evidence import PredictionEvidence, neighbor_distances
from modules.losses import CrossEntropyLoss
from modules.unit_embeddings import unit_embeddings
from tests.datamodules.array_file import blobs, save


@pytest.fixture
def trained(tmp_path: Path) -> tuple[lightning.Trainer, DrugClassifier]:
    """A model after an epoch, and its trainer."""
    return train(tmp_path, DrugDataModule(fingerprint_size=128))


def train(folder: Path, data: DrugDataModule) -> tuple[lightning.Trainer, DrugClassifier]:
    lightning.seed_everything(0, verbose=False)
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss())
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        default_root_dir=folder, max_epochs=1, accelerator="cpu", devices=1, use_distributed_sampler=False, **quiet
    )
    trainer.fit(model, datamodule=data)
    return trainer, model


def test_evidence_of_reclustered_classes(trained: tuple[lightning.Trainer, DrugClassifier]) -> None:
    trainer, model = trained
    evidence = EvidenceWriter(Recluster(start_epoch=0, min_size=5)).find(trainer, model, "digest")
    assert model.task is not None
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert evidence.checkpoint == "digest"
    assert len(evidence.names) == len(evidence.drugs) == len(evidence.centroids) > model.task.num_classes
    assert len(set(evidence.names)) == len(evidence.names)
    assert "-ac 1" in evidence.names or "-ac" in evidence.names
    label_of = dict(zip(data.table.table.smiles[0].to_list(), data.table.table.labels.to_list(), strict=True))
    for name, drugs in zip(evidence.names, evidence.drugs, strict=True):
        own = drugs.split("; ")
        assert 1 <= len(own) <= 3
        assert {label_of[drug] for drug in own} == {name.rsplit(" ", 1)[0]}
    embeddings, _ = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    torch.testing.assert_close(evidence.training, unit_embeddings(embeddings), atol=1e-3, rtol=0.0)
    validation = torch.cat([model.eval().network.encoder(batch) for batch in data.val_dataloader()]).detach()
    expected = neighbor_distances(validation, evidence.training).sort().values
    torch.testing.assert_close(evidence.distances, expected, atol=1e-6, rtol=0.0)
    assert torch.equal(evidence.distances, evidence.distances.sort().values)
    assert len(evidence.distances) == len(data.records.rows["validation"])


def test_one_subcluster_a_class_without_reclustering(trained: tuple[lightning.Trainer, DrugClassifier]) -> None:
    trainer, model = trained
    evidence = EvidenceWriter(Recluster(start_epoch=None)).find(trainer, model, "digest")
    assert model.task is not None
    assert evidence.names == list(model.task.classes)
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    mean = unit_embeddings(embeddings)[labels == 4].mean(dim=0)
    torch.testing.assert_close(evidence.centroids[4], mean)


def test_large_sets_are_thinned(
    trained: tuple[lightning.Trainer, DrugClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, model = trained
    monkeypatch.setattr(make_evidence, "MAX_TRAINING_SAMPLES", 100)
    monkeypatch.setattr(make_evidence, "MAX_VALIDATION_SAMPLES", 10)
    monkeypatch.setattr(make_evidence, "MAX_SUBCLUSTERS", 20)
    whole = EvidenceWriter(Recluster(start_epoch=None)).find(trainer, model, "digest")
    assert model.task is not None
    assert model.task.num_classes <= len(whole.training) <= 100
    assert len(whole.distances) == 10
    found: PredictionEvidence = EvidenceWriter(Recluster(start_epoch=0, min_size=1)).find(trainer, model, "digest")
    assert len(found.names) <= model.task.num_classes + 25


def test_arrays_are_named_by_row(tmp_path: Path) -> None:
    features, labels = blobs(120)
    source = save(tmp_path / "blobs.npz", features=features, labels=numpy.array(["x", "y", "z"])[labels])
    trainer, model = train(tmp_path, DrugDataModule(str(source)))
    evidence = EvidenceWriter(Recluster(start_epoch=None)).find(trainer, model, "digest")
    rows = [int(name.removeprefix("row ")) for name in evidence.drugs[1].split("; ")]
    assert [labels[row - 1] for row in rows] == [1, 1, 1]
