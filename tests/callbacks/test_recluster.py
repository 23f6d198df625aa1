"""The recluster callback, in real training on the embedded drugs."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy
import polars
import pytest
import torch
from torch import Tensor

from callbacks.recluster import Recluster
from callbacks.training_embeddings import embed_training_set
from datamodules.drug_datamodule import DrugDataModule
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.subclusters import share_moved, subcluster, subclusters_per_class


class KeepBuffers(lightning.Callback):
    """Copies of the model's buffers at the start of each epoch, after the callbacks before this one."""

    def __init__(self) -> None:
        """Start with none."""
        self.ids: list[Tensor] = []
        self.weights: list[Tensor] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy."""
        assert isinstance(pl_module, DrugClassifier)
        self.ids.append(pl_module.subcluster_ids.clone())
        self.weights.append(pl_module.class_weights.clone())


def train(folder: Path, recluster: Recluster, epochs: int) -> tuple[DrugClassifier, KeepBuffers, lightning.Trainer]:
    """A few epochs of a small model."""
    lightning.seed_everything(0, verbose=False)
    kept = KeepBuffers()
    model = DrugClassifier(
        FingerprintMLP([32]),
        CrossEntropyLoss(),
        SubclusterContrastiveLoss(),
        SupervisedContrastiveLoss(),
        view_probabilities=(0.1, 0.1),
    )
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        callbacks=[recluster, kept],
    )
    trainer.fit(model, datamodule=DrugDataModule(batch_size=128, fingerprint_size=256))
    return model, kept, trainer


def test_three_real_epochs(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=1, every_n_epochs=1, min_size=5, strength=4.0, method="bounded")
    model, kept, _ = train(tmp_path, recluster, 3)
    assert model.task is not None
    assert len(kept.ids[0]) == 0
    for ids in kept.ids[1:]:
        assert sorted(set(ids.tolist())) == list(range(int(ids.max()) + 1))
        assert torch.bincount(ids).max() <= 5
    counts = torch.tensor(model.task.class_counts)
    torch.testing.assert_close(kept.weights[0], torch.full((len(counts),), 1 / len(counts)))
    assert kept.weights[1].sum() == pytest.approx(1.0, abs=1e-5)
    assert not torch.equal(kept.weights[1], kept.weights[2])

    listing = polars.read_csv(tmp_path / "class_weights.csv")
    assert listing["epoch"].to_list() == [1] * len(counts) + [2] * len(counts)
    assert listing["class"].to_list() == 2 * list(model.task.classes)
    last = listing.filter(polars.col("epoch") == 2)
    assert last["training_samples"].to_list() == counts.tolist()
    assert last["weight"].to_list() == pytest.approx(kept.weights[2].tolist(), abs=1e-6)
    assert last["subclusters"].sum() == int(kept.ids[2].max()) + 1


def test_buffers_are_what_the_pure_functions_give(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=None, min_size=5, strength=2.0, method="kmeans", seed=3)
    model, _, trainer = train(tmp_path, recluster, 1)
    assert not model.reclustered
    recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(trainer, model)
    classes = model.class_counts.shape[0]
    found = subcluster(embeddings, labels, classes, 5, "kmeans", 3)
    per_class = subclusters_per_class(found.class_of, classes)
    assert torch.equal(model.subcluster_ids, found.ids)
    torch.testing.assert_close(model.class_temperatures, class_temperatures(embeddings, labels, per_class, 0.1))
    d = class_distances(embeddings, labels, classes)
    d_prime = subcluster_distances(found.centroids, found.class_of, classes)
    torch.testing.assert_close(model.class_weights, distance_weights(d, d_prime, 2.0))


def test_the_next_recluster_starts_from_the_last_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recluster = Recluster(start_epoch=None, min_size=4, method="bounded")
    model, _, trainer = train(tmp_path, recluster, 1)
    recluster.recluster(trainer, model)
    before = model.subcluster_ids.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    with caplog.at_level("INFO", logger="tailmol"):
        recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(trainer, model)
    expected = subcluster(embeddings, labels, model.class_counts.shape[0], 4, "bounded", previous=before)
    assert torch.equal(model.subcluster_ids, expected.ids)
    moved = share_moved(before, expected.ids, expected.class_of)
    assert 0 < moved < 1
    assert f"{moved:.1%} of the samples of divided classes moved" in caplog.text


def test_embeddings_are_of_the_samples_as_they_are_in_order(tmp_path: Path) -> None:
    model, _, trainer = train(tmp_path, Recluster(start_epoch=None), 1)
    model.train()
    embeddings, labels = embed_training_set(trainer, model)
    assert model.training
    data = trainer.datamodule  # type: ignore[attr-defined]
    rows = data.records.rows["train"]
    assert labels.tolist() == data.records.codes[rows].tolist()
    some = numpy.array([3, 0, 100])
    batch = data.table.store.batch(rows[some], some, data.records.codes[rows[some]])
    torch.testing.assert_close(embeddings[some], model.eval().embed(batch).detach())


def test_embeddings_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    model, _, trainer = train(tmp_path, Recluster(start_epoch=None), 1)
    torch.nn.init.constant_(model.encoder.layers[0].weight, float("nan"))  # type: ignore[index, union-attr]
    with pytest.raises(ValueError, match=r"(?i)finite|nan"):
        Recluster().recluster(trainer, model)


def test_history_is_checkpointed() -> None:
    recluster = Recluster()
    recluster.history.append({"epoch": 1, "class": "a"})
    resumed = Recluster()
    resumed.load_state_dict(recluster.state_dict())
    assert resumed.history == [{"epoch": 1, "class": "a"}]


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"start_epoch and every_n_epochs: .* got -1 and 10"):
        Recluster(start_epoch=-1)
    with pytest.raises(ValueError, match="got 10 and 0"):
        Recluster(every_n_epochs=0)
