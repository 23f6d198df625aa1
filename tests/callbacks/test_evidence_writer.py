"""The evidence that training leaves, from real training on the bundled drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy
import pytest

from callbacks import evidence_writer
from callbacks.evidence_writer import EvidenceWriter
from datamodules.drug_datamodule import DrugDataModule
from modules import level_accuracy, make_evidence
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import score_and_embed
from modules.encoders import FingerprintMLP
from modules.evaluation.applicability import fit_applicability, signals
from modules.inference import infer
from modules.losses import CrossEntropyLoss
from modules.sample_fingerprints import sample_bits
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


def test_the_evidence_holds_each_different_training_sample_once(
    trained: tuple[lightning.Trainer, DrugClassifier],
) -> None:
    trainer, model = trained
    data = trainer.datamodule  # type: ignore[attr-defined]
    evidence = EvidenceWriter().find(trainer, model, "digest")
    samples, table, train = evidence.samples, data.table.table, data.records.rows["train"]
    assert evidence.checkpoint == "digest"
    assert samples.by_tanimoto
    row_of = {name: row for row, name in enumerate(table.names(numpy.arange(len(table.frame))))}
    rows = numpy.array([row_of[name] for name in samples.names])
    assert len(set(data.records.samples[rows])) == len(rows) == len(set(data.records.samples[train]))
    assert set(rows) <= set(train)
    assert samples.texts == table.texts(rows)
    assert samples.codes.tolist() == data.records.codes[rows].tolist()
    batch = data.table.store.batch(rows, rows, samples.codes)
    embeddings = unit_embeddings(model.eval().network.encoder(batch)).detach()
    numpy.testing.assert_allclose(samples.embeddings.astype(numpy.float32), embeddings, atol=1e-3)
    assert samples.bits is not None
    assert model.task is not None
    numpy.testing.assert_array_equal(samples.bits.toarray(), sample_bits(batch, model.task).toarray())


def test_the_estimate_is_that_of_the_validation_samples(trained: tuple[lightning.Trainer, DrugClassifier]) -> None:
    trainer, model = trained
    data = trainer.datamodule  # type: ignore[attr-defined]
    evidence = EvidenceWriter().find(trainer, model, "digest")
    rows = evidence.unseen.rows
    assert rows.tolist() == sorted(data.records.rows["validation"].tolist())
    ((batch, found),) = list(infer(model, [data.table.store.batch(rows, rows, data.records.codes[rows])]))
    assert model.task is not None
    _, near = evidence.samples.nearest(found.embeddings, sample_bits(batch, model.task), 5)
    numpy.testing.assert_allclose(evidence.unseen.neighbors.cosine, near.cosine, atol=1e-5)
    sure = found.calibrated.gather(1, found.labels[:, None]).squeeze(1).numpy()
    right = (found.labels == batch.labels).numpy()
    expected = fit_applicability(signals(sure, found.labels.numpy(), near, True), right, model.task.num_classes)
    numpy.testing.assert_allclose(evidence.applicability.weights, expected.weights, atol=1e-4)


def test_large_sets_are_thinned(
    trained: tuple[lightning.Trainer, DrugClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, model = trained
    monkeypatch.setattr(make_evidence, "MOST_TRAINING_SAMPLES", 100)
    for module in (evidence_writer, level_accuracy):
        monkeypatch.setattr(module, "MOST_UNSEEN_SAMPLES", 10)
    evidence = EvidenceWriter().find(trainer, model, "digest")
    assert model.task is not None
    assert set(evidence.samples.codes) == set(range(model.task.num_classes))
    assert len(evidence.samples.codes) == 100
    data = trainer.datamodule  # type: ignore[attr-defined]
    assert len(set(evidence.unseen.rows)) == 10
    assert set(evidence.unseen.rows) < set(data.records.rows["validation"])
    scores, embeddings = score_and_embed(model, data.test_dataloader())
    levels = level_accuracy.tested_levels(model, data, scores, embeddings, evidence)
    assert sum(level["rows"] for level in levels) == 10


def test_arrays_are_named_by_row_and_chosen_by_cosine(tmp_path: Path) -> None:
    features, labels = blobs(120)
    source = save(tmp_path / "blobs.npz", features=features, labels=numpy.array(["x", "y", "z"])[labels])
    trainer, model = train(tmp_path, DrugDataModule(str(source)))
    samples = EvidenceWriter().find(trainer, model, "digest").samples
    rows = [int(name.removeprefix("row ")) for name in samples.names]
    assert [labels[row - 1] for row in rows] == samples.codes.tolist()
    assert samples.bits is None
    assert not samples.by_tanimoto
    assert set(samples.texts) == {""}
