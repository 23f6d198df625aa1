"""Reclusters of samples that may have several labels, in real training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning
import numpy
import pytest
import torch

from base.errors import InputError
from callbacks.recluster import Recluster
from datamodules.drug_datamodule import DrugDataModule
from modules.class_difficulty import difficulty_weights
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import embed_training_set
from modules.encoders import ArrayMLP
from modules.losses import BinaryCrossEntropyLoss, LabelContrastiveLoss
from modules.multilabel.label_difficulty import label_overlap
from modules.subclusters import nearest_subclusters, subcluster
from modules.training.contrast import Contrast
from tests.callbacks.quiet_trainer import quiet_trainer

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 samples of which a label says that a feature is large; some entries are not known."""
    generator = numpy.random.default_rng(0)
    features = generator.normal(size=(300, 8)).astype(numpy.float32)
    arrays: dict[str, Any] = {"features": features}
    for place, name in enumerate(NAMES):
        values = (features[:, place] > (0.0, 0.5, 1.2)[place]).astype(int).astype(str)
        values[generator.random(300) < 0.1] = ""
        arrays[name] = values
    path = tmp_path_factory.mktemp("labels") / "table.npz"
    numpy.savez(path, **arrays)
    return path


def train(
    folder: Path, table: Path, recluster: Recluster, epochs: int = 3
) -> tuple[DrugClassifier, DrugDataModule, lightning.Trainer]:
    lightning.seed_everything(0, verbose=False)
    contrast = Contrast(LabelContrastiveLoss(), projection_dims=[8], view_probabilities=(0.1, 0.1))
    model = DrugClassifier(ArrayMLP([16]), BinaryCrossEntropyLoss(), contrast)
    data = DrugDataModule(str(table), labels="multi", label_column=NAMES, batch_size=64)
    trainer = quiet_trainer(folder, epochs, recluster)
    trainer.fit(model, datamodule=data)
    return model, data, trainer


@pytest.mark.parametrize("most", [None, 20])
def test_each_label_is_divided_and_a_sample_is_in_a_sub_cluster_of_each_of_its_labels(
    tmp_path: Path, table: Path, most: int | None
) -> None:
    recluster = Recluster(start_epoch=1, every_n_epochs=1, min_size=10, sample_per_class=most)
    model, data, trainer = train(tmp_path, table, recluster)
    state = model.class_state
    previous = state.subcluster_ids.clone()
    recluster.recluster(trainer, model)
    labels = data.records.codes[data.records.rows["train"]]
    samples, own = (labels == 1).nonzero()
    embeddings, _ = embed_training_set(model, data)
    if most is None:
        of_entries = embeddings[samples], torch.from_numpy(own)
        expected = subcluster(*of_entries, 3, 10, "bounded", 0, previous, "auto", True)
        assert torch.equal(state.subcluster_ids, expected.ids)
        weights = difficulty_weights(label_overlap(embeddings, torch.from_numpy(labels)))
        assert torch.allclose(state.weights, weights)
        ids = state.subcluster_ids
    else:
        assert len(state.subcluster_ids) <= 3 * most
        given = embeddings[samples], torch.from_numpy(own), state.subcluster_centroids, state.subcluster_classes
        ids = nearest_subclusters(*given)
    everyone = torch.arange(len(labels))
    members = state.subcluster_members(everyone, torch.from_numpy(labels).long(), embeddings)
    found = torch.zeros_like(members)
    found[samples, ids] = True
    assert torch.equal(members, found)
    assert members.sum(dim=1).tolist() == (labels == 1).sum(axis=1).tolist()


def test_rows_of_one_sample_are_measured_once_with_what_is_known_from_any(tmp_path: Path, table: Path) -> None:
    with numpy.load(table) as arrays:
        # Twelve rows of each of the first 25 samples, of which the first label is known from one row alone.
        rows = numpy.concatenate([numpy.repeat(numpy.arange(25), 12), numpy.arange(25, 300)])
        repeated = {name: values[rows] for name, values in arrays.items()}
    repeated["a"][:300][numpy.arange(300) % 12 > 0] = ""
    numpy.savez(tmp_path / "table.npz", **repeated)
    recluster = Recluster(start_epoch=1, every_n_epochs=1)
    model, data, trainer = train(tmp_path, tmp_path / "table.npz", recluster)
    recluster.recluster(trainer, model)
    trained = data.records.rows["train"]
    embeddings, _ = embed_training_set(model, data)
    labels, samples = data.records.codes[trained], data.records.samples[trained]
    places = [numpy.flatnonzero(samples == sample) for sample in numpy.unique(samples)]
    assert max(map(len, places)) == 12
    known = torch.from_numpy(numpy.stack([labels[place].max(axis=0) for place in places]))
    overlap = label_overlap(embeddings[[place[0] for place in places]], known)
    torch.testing.assert_close(model.class_state.weights, difficulty_weights(overlap))


def test_running_embeddings_and_a_resumed_run_are_those_of_an_uninterrupted_one(tmp_path: Path, table: Path) -> None:
    def made() -> Recluster:
        return Recluster(start_epoch=1, every_n_epochs=1, embeddings="running")

    whole, _, _ = train(tmp_path / "whole", table, made(), 3)
    _, _, first = train(tmp_path / "first", table, made(), 2)
    checkpoint = tmp_path / "first.ckpt"
    first.save_checkpoint(checkpoint)
    contrast = Contrast(LabelContrastiveLoss(), projection_dims=[8], view_probabilities=(0.1, 0.1))
    again = DrugClassifier(ArrayMLP([16]), BinaryCrossEntropyLoss(), contrast)
    data = DrugDataModule(str(table), labels="multi", label_column=NAMES, batch_size=64)
    quiet_trainer(tmp_path / "again", 3, made()).fit(again, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    assert torch.equal(again.class_state.subcluster_ids, whole.class_state.subcluster_ids)
    for name, value in whole.state_dict().items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("difficulty", ["distance", "spread", "confusion"])
def test_a_difficulty_of_single_labels_is_refused(
    tmp_path: Path, table: Path, difficulty: Literal["distance", "spread", "confusion"]
) -> None:
    with pytest.raises(InputError, match=r"^recluster.difficulty: expected neighbors with data.labels multi, got"):
        train(tmp_path, table, Recluster(start_epoch=1, difficulty=difficulty))
