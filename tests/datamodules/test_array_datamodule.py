import logging
from dataclasses import replace
from pathlib import Path

import numpy
import polars
import pytest
import torch

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from datamodules.splits.splitters import SPLIT_NAMES, SplitMethod, SplitName
from tests.datamodules.array_file import array_module, blobs
from tests.datamodules.drug_module import Recorder, data_module, flat

FEATURES, LABELS = blobs()


def test_batches_carry_the_arrays(tmp_path: Path) -> None:
    module = array_module(tmp_path, features=FEATURES, labels=LABELS)
    module.setup("fit")
    rows = module.records.rows["train"]
    seen = []
    for batch in module.train_dataloader():
        own = rows[batch.sample_index.numpy()]
        assert batch.arrays is not None
        assert batch.arrays.dtype == torch.float32
        assert numpy.array_equal(batch.arrays.numpy(), FEATURES[own])
        assert batch.labels.tolist() == LABELS[own].tolist()
        assert (batch.molecules, batch.fingerprints, batch.proteins) == (None, None, None)
        seen += own.tolist()
    assert sorted(seen) == rows.tolist()


def test_the_task_says_the_shape_and_survives_a_checkpoint(tmp_path: Path) -> None:
    module = array_module(tmp_path, images=FEATURES.reshape(-1, 2, 3), labels=LABELS)
    module.setup("fit")
    task = module.task
    assert task.input == "array"
    assert (task.features.array_shape, task.features.fingerprint_width) == ((2, 3), 6)
    assert DrugTask.from_dict(task.to_dict()) == task
    assert task.to_dict()["features"]["array_shape"] == [2, 3]


@pytest.mark.parametrize("split", ["random", "standard", "file"])
def test_every_split_of_arrays_is_whole(tmp_path: Path, split: SplitMethod) -> None:
    names = numpy.array((["train"] * 7 + ["val"] + ["test"] * 2) * 6)
    module = array_module(tmp_path, {"split": split}, features=FEATURES, labels=LABELS, splits=names, ids=LABELS + 5)
    module.setup("fit")
    rows = [module.records.rows[name].tolist() for name in SPLIT_NAMES]
    assert all(rows)
    assert len({row for own in rows for row in own}) == sum(map(len, rows)) == 60
    if split == "file":
        assert rows[2] == numpy.flatnonzero(names == "test").tolist()
    listing = polars.read_csv(tmp_path / "run" / "splits.csv")
    assert listing.columns == ["row", "split", "label", "id"]
    assert listing["id"].to_list() == (LABELS + 5).tolist()


@pytest.mark.parametrize("split", ["scaffold", "cold"])
def test_splits_of_molecules_are_refused(tmp_path: Path, split: SplitMethod) -> None:
    module = array_module(tmp_path, {"split": split}, features=FEATURES, labels=LABELS)
    with pytest.raises(
        InputError, match=rf"data\.split: expected random, standard, .* for input array, got {split}, which needs"
    ):
        module.setup("fit")


def test_equal_samples_stay_together(tmp_path: Path) -> None:
    doubled = numpy.concatenate([FEATURES, FEATURES])
    for seed in range(5):
        module = array_module(tmp_path, {"split_seed": seed}, features=doubled, labels=numpy.tile(LABELS, 2))
        module.setup("fit")
        for rows in module.records.rows.values():
            assert sorted(rows[rows < 60].tolist()) == sorted((rows[rows >= 60] - 60).tolist())


def test_equal_samples_with_different_labels_and_bad_rows_are_listed(tmp_path: Path) -> None:
    features, labels = FEATURES.copy(), LABELS.astype(float)
    features[5] = features[3]
    features[9, 0] = numpy.nan
    labels[11] = numpy.nan
    module = array_module(tmp_path, {"max_rejected": 0.1}, features=features, labels=labels)
    module.setup("fit")
    listing = polars.read_csv(tmp_path / "run" / "rejected.csv")
    assert listing.columns == ["row", "reason", "labels"]
    conflict = "conflicting duplicate: the array of row 4 has the labels 0, 2"
    assert listing.select("row", "reason").rows() == [
        (4, conflict),
        (6, conflict),
        (10, "a feature that is not a finite number of 32 bits"),
        (12, "missing label in array labels"),
    ]
    assert not {3, 5, 9, 11} & {row for rows in module.records.rows.values() for row in rows.tolist()}


def test_too_many_bad_rows_stop_the_run(tmp_path: Path) -> None:
    module = array_module(tmp_path, features=numpy.where(FEATURES > 4, numpy.inf, FEATURES), labels=LABELS)
    with pytest.raises(InputError, match=r"rows cannot be used, .* not a finite number .* data\.max_rejected"):
        module.setup("fit")


def test_a_trained_model_takes_samples_of_its_shape_only(tmp_path: Path) -> None:
    module = array_module(tmp_path, features=FEATURES, labels=LABELS)
    module.setup("fit")
    task = module.task
    again = array_module(tmp_path, features=FEATURES[:7])
    again.trained_task = task
    assert again.trainer is not None
    recorder = Recorder()
    again.trainer.predict(recorder, again)
    assert flat(recorder.seen["predict"]) == list(range(7))
    other = array_module(tmp_path, features=FEATURES[:, :5])
    other.trained_task = task
    with pytest.raises(InputError, match=r"expected samples of shape \(6,\), as the model was trained on; got \(5,\)"):
        other.setup("predict")
    molecules = data_module(tmp_path)
    molecules.trained_task = task
    with pytest.raises(InputError, match=r"expected an \.npz file of arrays for a model trained on input array, got"):
        molecules.setup("predict")


# data.imbalance


def counts(module: DrugDataModule, split: SplitName) -> list[int]:
    rows = module.records.rows[split]
    sizes: list[int] = numpy.bincount(module.records.codes[rows], minlength=len(module.records.classes)).tolist()
    return sizes


def test_training_alone_is_thinned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = array_module(tmp_path, features=FEATURES, labels=LABELS)
    whole.setup("fit")
    assert counts(whole, "train") == [14, 14, 14]
    with caplog.at_level(logging.INFO, "tailmol"):
        thinned = array_module(tmp_path, {"imbalance": 7.0}, features=FEATURES, labels=LABELS)
        thinned.setup("fit")
    # 14 * 7 ** (-1/2) = 5.3
    assert counts(thinned, "train") == [14, 5, 2] == list(thinned.task.class_counts)
    assert "data.imbalance keeps 21 of 42 training samples." in caplog.messages
    for split in SPLIT_NAMES[1:]:
        assert thinned.records.rows[split].tolist() == whole.records.rows[split].tolist()
    assert set(thinned.records.rows["train"]) < set(whole.records.rows["train"])
    assert len(polars.read_csv(tmp_path / "run" / "splits.csv")) == 21 + 18


def test_molecules_are_thinned_too(tmp_path: Path) -> None:
    module = data_module(tmp_path, imbalance=21.0)
    module.setup("fit")
    assert counts(module, "train") == [1, 21]
    again = data_module(tmp_path, imbalance=21.0)
    again.trained_task = module.task
    again.setup("test")
    assert again.records.rows["train"].tolist() == module.records.rows["train"].tolist()
    other = data_module(tmp_path, imbalance=21.0, split_seed=1)
    other.setup("fit")
    assert replace(other.task, training_digest="") == replace(module.task, training_digest="")
    assert other.task != module.task


def test_a_ratio_below_one_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.imbalance: expected a finite number of 1 or more, got 0\.5"):
        data_module(tmp_path, imbalance=0.5).setup("fit")
