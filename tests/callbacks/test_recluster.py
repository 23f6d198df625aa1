"""The recluster callback, in real training on the bundled drugs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import numpy
import polars
import pytest
import torch
from torch import Tensor

from base.errors import InputError
from callbacks.recluster import Recluster
from callbacks.recluster_report import ReclusterReport
from datamodules.drug_datamodule import DrugDataModule
from datamodules.sampling import draw_per_class
from modules.class_difficulty import confusion_rate, difficulty_weights, neighbor_overlap, relative_spread
from modules.class_distances import class_distances, class_temperatures, distance_weights, subcluster_distances
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import embed_training_set
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.reclustering import Difficulty
from modules.subclusters import nearest_subclusters, share_moved, subcluster, subclusters_per_class
from modules.training.contrast import Contrast
from modules.training.mixing import Mixup
from modules.unit_embeddings import unit_embeddings
from tests.callbacks.quiet_trainer import quiet_trainer


class KeepBuffers(lightning.Callback):
    """Copies of the model's buffers at the start of each epoch, after the callbacks before this one."""

    def __init__(self) -> None:
        """Start with none."""
        self.ids: list[Tensor] = []
        self.weights: list[Tensor] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy."""
        assert isinstance(pl_module, DrugClassifier)
        self.ids.append(pl_module.class_state.subcluster_ids.clone())
        self.weights.append(pl_module.class_state.weights.clone())


def train(
    folder: Path, recluster: Recluster, epochs: int, *others: lightning.Callback
) -> tuple[DrugClassifier, KeepBuffers, lightning.Trainer]:
    """A few epochs of a small model."""
    lightning.seed_everything(0, verbose=False)
    kept = KeepBuffers()
    model = DrugClassifier(
        FingerprintMLP([32]),
        CrossEntropyLoss(),
        Contrast(SubclusterContrastiveLoss(), SupervisedContrastiveLoss(), view_probabilities=(0.1, 0.1)),
    )
    trainer = quiet_trainer(folder, epochs, recluster, kept, ReclusterReport(), *others)
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
    recluster = Recluster(start_epoch=None, min_size=5, difficulty="distance", strength=2.0, method="kmeans", seed=3)
    model, _, trainer = train(tmp_path, recluster, 1)
    assert not model.class_state.reclustered
    recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    classes = model.class_state.counts.shape[0]
    found = subcluster(embeddings, labels, classes, 5, "kmeans", 3)
    per_class = subclusters_per_class(found.class_of, classes)
    assert torch.equal(model.class_state.subcluster_ids, found.ids)
    torch.testing.assert_close(model.class_state.temperatures, class_temperatures(embeddings, labels, per_class, 0.1))
    d = class_distances(embeddings, labels, classes)
    d_prime = subcluster_distances(found.centroids, found.class_of, classes)
    torch.testing.assert_close(model.class_state.weights, distance_weights(d, d_prime, 2.0))
    Recluster(None, min_size=5, difficulty="class_distance", strength=2.0, method="kmeans", seed=3).recluster(
        trainer, model
    )
    torch.testing.assert_close(model.class_state.weights, distance_weights(d, d, 2.0))


def test_the_next_recluster_starts_from_the_last_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recluster = Recluster(start_epoch=None, min_size=4, method="bounded")
    model, _, trainer = train(tmp_path, recluster, 1)
    recluster.recluster(trainer, model)
    before = model.class_state.subcluster_ids.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    with caplog.at_level("INFO", logger="tailmol"):
        recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    expected = subcluster(embeddings, labels, model.class_state.counts.shape[0], 4, "bounded", previous=before)
    assert torch.equal(model.class_state.subcluster_ids, expected.ids)
    moved = share_moved(before, expected.ids, expected.class_of)
    assert 0 < moved < 1
    assert f"{moved:.1%} of the samples in divided classes changed sub-cluster" in caplog.text


def test_embeddings_are_of_the_samples_as_they_are_in_order(tmp_path: Path) -> None:
    model, _, trainer = train(tmp_path, Recluster(start_epoch=None), 1)
    model.train()
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    assert model.training
    data = trainer.datamodule  # type: ignore[attr-defined]
    rows = data.records.rows["train"]
    assert labels.tolist() == data.records.codes[rows].tolist()
    some = numpy.array([3, 0, 100])
    batch = data.table.store.batch(rows[some], some, data.records.codes[rows[some]])
    torch.testing.assert_close(embeddings[some], model.eval().network.encoder(batch).detach())


def test_embeddings_that_are_not_finite_name_class_and_epoch(tmp_path: Path) -> None:
    model, _, trainer = train(tmp_path, Recluster(start_epoch=None), 1)
    assert model.task is not None
    torch.nn.init.constant_(model.network.encoder.layers[0].weight, float("nan"))  # type: ignore[index, union-attr]
    with pytest.raises(
        InputError, match=f"expected finite embeddings before epoch 1, got NaN .* classes {model.task.classes[0]}, "
    ):
        Recluster().recluster(trainer, model)


class KeepOutputs(lightning.Callback):
    """The embeddings of the last epoch's training steps."""

    def __init__(self) -> None:
        """Start with none."""
        self.found: dict[int, Tensor] = {}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep them by sample."""
        for index, row in zip(batch.sample_index.tolist(), outputs["embeddings"], strict=True):
            self.found[index] = row.clone()


@pytest.mark.parametrize("sample_per_class", [None, 5])
def test_running_embeddings_are_those_of_the_last_epoch(tmp_path: Path, sample_per_class: int | None) -> None:
    outputs = KeepOutputs()
    settings: dict[str, Any] = {"embeddings": "running", "sample_per_class": sample_per_class, "min_size": 3}
    recluster = Recluster(start_epoch=9, **settings)
    model, _, trainer = train(tmp_path, recluster, 2, outputs)
    with patch("callbacks.recluster.embed_training_set", side_effect=AssertionError("embedded anew")):
        recluster.recluster(trainer, model)
    data = trainer.datamodule  # type: ignore[attr-defined]
    codes = data.records.codes[data.records.rows["train"]]
    rows = draw_per_class(codes, sample_per_class, 0)
    embeddings = torch.stack([outputs.found[row] for row in rows.tolist()])
    labels = torch.from_numpy(codes[rows])
    halves = unit_embeddings(embeddings).half().float()
    found = subcluster(halves, labels, len(model.class_state.counts), 3, "bounded")
    assert torch.equal(model.class_state.subcluster_ids, found.ids)
    assert len(model.class_state.subcluster_centroids) == (0 if sample_per_class is None else len(found.class_of))


def test_running_embeddings_need_a_pass_before_the_first_epoch(tmp_path: Path) -> None:
    model, kept, _ = train(tmp_path, Recluster(start_epoch=0, embeddings="running", min_size=5), 1)
    assert len(kept.ids[0]) == len(model.class_state.subcluster_ids) > 400


def test_running_embeddings_are_complete_after_a_pass(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=0, embeddings="running", min_size=5)
    model, _, trainer = train(tmp_path, recluster, 1)
    with patch("callbacks.recluster.embed_training_set", side_effect=AssertionError("embedded anew")):
        recluster.recluster(trainer, model)


def test_a_run_resumed_with_other_samples_starts_afresh(tmp_path: Path) -> None:
    first = Recluster(start_epoch=1, embeddings="running", sample_per_class=4, min_size=2)
    model, _, trainer = train(tmp_path, first, 2)
    other = Recluster(start_epoch=9, embeddings="running", sample_per_class=5, min_size=2)
    other.load_state_dict(first.state_dict())
    other.on_train_start(trainer, model)
    assert not model.class_state.reclustered
    assert len(model.class_state.subcluster_centroids) == len(model.class_state.subcluster_classes) == 0
    same = Recluster(start_epoch=9, embeddings="running", sample_per_class=4, min_size=2)
    same.load_state_dict(first.state_dict())
    same.on_train_start(trainer, model)
    assert same._running is not None
    assert first._running is not None
    kept, given = same._running.collect(), first._running.collect()
    assert kept is not None
    assert given is not None
    assert torch.equal(kept, given)


def test_samples_find_the_subclusters_that_are_stored_where_all_are_sampled(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=None, method="kmeans", min_size=4, sample_per_class=1_000_000)
    model, _, trainer = train(tmp_path, recluster, 1)
    recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    found = nearest_subclusters(
        embeddings, labels, model.class_state.subcluster_centroids, model.class_state.subcluster_classes
    )
    assert torch.equal(model.class_state.subcluster_classes[found], labels)
    assert (found == model.class_state.subcluster_ids).float().mean() > 0.97
    model.class_state.subcluster_ids = model.class_state.subcluster_ids[:0]
    assert not model.class_state.reclustered


def test_a_sample_of_each_class_is_all_that_is_embedded_and_kept(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=1, every_n_epochs=1, min_size=2, sample_per_class=4)
    model, _, trainer = train(tmp_path, recluster, 3)
    state = model.class_state
    counts = state.counts.clamp(max=4)
    assert len(state.subcluster_ids) == counts.sum()
    assert torch.bincount(state.subcluster_ids).max() <= max(2, int(counts[counts > 0].min()))
    assert len(state.subcluster_centroids) == len(state.subcluster_classes) == state.subcluster_ids.max() + 1
    path = tmp_path / "sampled.ckpt"
    trainer.save_checkpoint(path)
    again, _, _ = train(tmp_path, Recluster(start_epoch=None), 1)
    again.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    assert torch.equal(again.class_state.subcluster_centroids, state.subcluster_centroids)
    assert torch.equal(again.class_state.subcluster_ids, state.subcluster_ids)


def test_temperatures_of_a_sample_count_the_whole_class(tmp_path: Path) -> None:
    recluster = Recluster(start_epoch=None, min_size=2, sample_per_class=4)
    model, _, trainer = train(tmp_path, recluster, 1)
    recluster.recluster(trainer, model)
    data = trainer.datamodule  # type: ignore[attr-defined]
    rows = draw_per_class(data.records.codes[data.records.rows["train"]], 4, 0)
    embeddings, labels = embed_training_set(model, trainer.datamodule, rows)  # type: ignore[attr-defined]
    per_class = subclusters_per_class(model.class_state.subcluster_classes, len(model.class_state.counts))
    expected = class_temperatures(embeddings, labels, per_class, 0.1, model.class_state.counts)
    torch.testing.assert_close(model.class_state.temperatures, expected)
    assert not torch.allclose(expected, class_temperatures(embeddings, labels, per_class, 0.1))


@pytest.mark.parametrize(("difficulty", "measure"), [("neighbors", neighbor_overlap), ("spread", relative_spread)])
def test_weights_follow_the_difficulty(
    tmp_path: Path, difficulty: Difficulty, measure: Callable[[Tensor, Tensor, int], Tensor]
) -> None:
    recluster = Recluster(start_epoch=None, min_size=5, difficulty=difficulty, strength=3.0)
    model, _, trainer = train(tmp_path, recluster, 1)
    recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(model, trainer.datamodule)  # type: ignore[attr-defined]
    expected = difficulty_weights(measure(embeddings, labels, len(model.class_state.counts)), 3.0)
    torch.testing.assert_close(model.class_state.weights, expected)


@pytest.mark.parametrize(("difficulty", "measure"), [("neighbors", neighbor_overlap), ("spread", relative_spread)])
def test_rows_of_one_drug_are_one_sample_of_the_difficulty(
    tmp_path: Path, difficulty: Difficulty, measure: Callable[[Tensor, Tensor, int], Tensor]
) -> None:
    drugs = [f"{'C' * size}{end}" for size in range(1, 13) for end in "ON"]
    # Each amine has twelve rows, written from one end and from the other.
    rows = [text for drug in drugs for text in ([drug] if drug[-1] == "O" else [drug, drug[::-1]] * 6)]
    lines = ["smiles,label", *(f"{text},{'amine' if 'N' in text else 'alcohol'}" for text in rows)]
    (tmp_path / "drugs.csv").write_text("\n".join(lines) + "\n")
    data = DrugDataModule(str(tmp_path / "drugs.csv"), fingerprint_size=64)
    lightning.seed_everything(0, verbose=False)
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss())
    recluster = Recluster(start_epoch=None, difficulty=difficulty)
    trainer = quiet_trainer(tmp_path, 1, recluster)
    trainer.fit(model, datamodule=data)
    recluster.recluster(trainer, model)
    embeddings, labels = embed_training_set(model, data)
    trained = ["".join(sorted(rows[row])) for row in data.records.rows["train"].tolist()]
    once = [trained.index(drug) for drug in dict.fromkeys(trained)]
    difficulties = measure(embeddings[once], labels[once], 2)
    torch.testing.assert_close(model.class_state.weights, difficulty_weights(difficulties))
    assert abs(difficulties - measure(embeddings, labels, 2)).max() > 0.01


def test_weights_follow_the_confusion_of_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recluster = Recluster(start_epoch=9, min_size=5, difficulty="confusion", embeddings="running")
    model, _, trainer = train(tmp_path, recluster, 2)
    assert recluster._confusion is not None
    # Half of the counts of the first epoch and all of the second.
    torch.testing.assert_close(recluster._confusion.matrix.sum(dim=1), 1.5 * model.class_state.counts.float())
    with caplog.at_level("INFO", logger="tailmol"):
        recluster.recluster(trainer, model)
    torch.testing.assert_close(
        model.class_state.weights, difficulty_weights(confusion_rate(recluster._confusion.matrix))
    )
    assert model.task is not None
    name = model.task.classes[int(model.class_state.weights.argmax())]
    assert f"heaviest class {name} (weight {float(model.class_state.weights.max()):.3g})" in caplog.text


def test_confusion_of_mixtures_is_refused(tmp_path: Path) -> None:
    model = DrugClassifier(FingerprintMLP([16]), CrossEntropyLoss(), mixing=Mixup())
    trainer = quiet_trainer(tmp_path, 1, Recluster(start_epoch=0, difficulty="confusion"))
    with pytest.raises(InputError, match=r"difficulty: expected distance, .* with model\.mixing, .* got confusion"):
        trainer.fit(model, datamodule=DrugDataModule(fingerprint_size=256))


def test_confusion_before_any_classification_weighs_all_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recluster = Recluster(start_epoch=0, min_size=5, difficulty="confusion")
    with caplog.at_level("INFO", logger="tailmol"):
        _, kept, _ = train(tmp_path, recluster, 1)
    assert len(set(kept.weights[0].tolist())) == 1
    assert "all classes have the same weight" in caplog.text


def test_history_is_checkpointed() -> None:
    report = ReclusterReport()
    report.history.append({"epoch": 1, "class": "a"})
    resumed = ReclusterReport()
    resumed.load_state_dict(report.state_dict())
    assert resumed.history == [{"epoch": 1, "class": "a"}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_epoch": -1}, r"recluster\.start_epoch: expected 0 or more, or null, got -1"),
        ({"every_n_epochs": 0}, r"recluster\.every_n_epochs: expected 1 or more, got 0"),
        ({"min_size": 0}, r"recluster\.min_size: expected 1 or more, got 0"),
        ({"sample_per_class": 0}, r"recluster\.sample_per_class: expected 1 or more, or null, got 0"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recluster(**settings)  # type: ignore[arg-type]
