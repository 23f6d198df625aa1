import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars
import pytest
import torch

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.splits.splitters import SPLIT_NAMES
from tests.datamodules.batch_parts import fingerprints
from tests.datamodules.drug_module import ALCOHOLS, AMINES, TABLE, Recorder, data_module, fit_loader, flat, served

# What a run writes


def test_the_split_of_every_usable_row_is_listed(tmp_path: Path) -> None:
    module = data_module(tmp_path, TABLE + "broken,C1,N\nanother,CCCl,N\n", max_rejected=0.1)
    module.setup("fit")
    listing = polars.read_csv(tmp_path / "run" / "splits.csv")
    assert listing.columns == ["row", "split", "label", "id"]
    assert listing["row"].to_list() == [*range(1, 43), 44]
    for row, split, label, name in listing.iter_rows():
        assert row - 1 in module.records.rows[split]
        assert (name, label) == tuple(module.table.table.frame.row(row - 1))[::2]


def test_a_listing_can_be_given_back_as_a_split_file(tmp_path: Path) -> None:
    module = data_module(tmp_path, split_seed=5)
    module.setup("fit")
    listing = polars.read_csv(tmp_path / "run" / "splits.csv")
    text = polars.read_csv(tmp_path / "drugs.csv").with_columns(listing["split"]).write_csv()
    again = data_module(tmp_path, text, split="file")
    again.setup("fit")
    for split in SPLIT_NAMES:
        assert again.records.rows[split].tolist() == module.records.rows[split].tolist()


def test_rejected_rows_are_listed_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module = data_module(tmp_path, TABLE + "broken,C1,N\n", max_rejected=0.03)
    with caplog.at_level(logging.WARNING, "tailmol"):
        module.setup("fit")
    path = tmp_path / "run" / "rejected.csv"
    reason = "SMILES that RDKit cannot read in column smiles"
    assert path.read_text() == f"row,reason,id,smiles,label\n43,{reason},broken,C1,N\n"
    assert [record.getMessage() for record in caplog.records if record.name == "tailmol"] == [
        f"1 of 43 rows cannot be used, the first is row 43 (broken): {reason}; all are in {path}.",
    ]
    assert 42 not in [row for rows in module.records.rows.values() for row in rows]


def test_too_many_rejects_stop_the_run_after_they_are_listed(tmp_path: Path) -> None:
    module = data_module(tmp_path, TABLE + "broken,C1,N\n", max_rejected=0.01)
    path = tmp_path / "run" / "rejected.csv"
    with pytest.raises(InputError, match=r"1 of 43 rows .* are in .*run.rejected\.csv\. data\.max_rejected allows 1%"):
        module.setup("fit")
    assert polars.read_csv(path)["row"].to_list() == [43]
    with pytest.raises(RuntimeError, match=r"no labeled records yet; call setup\('fit'\) first"):
        _ = module.records


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            TABLE,
            {"source": "no_such_set"},
            r"data\.source: expected a file or a known .*, got 'no_such_set'; no such file\.$",
        ),
        (
            TABLE,
            {"label_column": "Label"},
            r"data\.label_column: expected a column .*\(id, smiles, label.*, got 'Label'",
        ),
        (TABLE, {"split": "file"}, r"data\.split_column: expected the name of a column of .*, got null"),
        (TABLE.replace(",N\n", ",O\n"), {}, "got the single class 'O'"),
        ("smiles,label,split\nC,,test\nCC,,test\n", {"split": "file"}, "in column 'label', got none"),
        ("smiles,label\n", {}, "expected rows below the header"),
        ("smiles,label\nC1,a\nC2,b\n", {"max_rejected": 1.0}, "2 of 2 rows cannot be used"),
    ],
)
def test_unusable_data_stop_at_setup(text: str, settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    module = data_module(tmp_path, text, **settings)
    with pytest.raises(InputError, match=message):
        module.setup("fit")


def test_fractions_out_of_range_stop_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.split_fractions: expected three positive numbers"):
        data_module(tmp_path, TABLE, split_fractions=(0.5, 0.1, 0.1))


def test_nothing_is_known_before_setup(tmp_path: Path) -> None:
    module = data_module(tmp_path)
    with pytest.raises(RuntimeError, match=r"has read no table yet; call setup\('fit'\) first"):
        _ = module.table
    with pytest.raises(RuntimeError, match="has no labeled records yet"):
        _ = module.task
    with pytest.raises(RuntimeError, match=r"has no rows to predict on yet; call setup\('predict'\) first"):
        _ = module.prediction_rows


def test_a_second_setup_changes_nothing(tmp_path: Path) -> None:
    module = data_module(tmp_path)
    module.prepare_data()
    module.setup("fit")
    table, records = module.table, module.records
    (tmp_path / "drugs.csv").unlink()
    for stage in ("fit", "validate", "test"):
        module.setup(stage)
        assert module.table is table
        assert module.records is records


def test_without_a_trainer_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = data_module(tmp_path)
    module.trainer = None
    monkeypatch.chdir(tmp_path)
    module.setup("fit")
    assert {path.name for path in tmp_path.iterdir()} == {"drugs.csv", "cache"}


# Tasks, and models that were trained before


def test_the_task_says_what_a_model_must_know(tmp_path: Path) -> None:
    module = data_module(tmp_path, fingerprint_radius=3, fingerprint_size=128)
    module.setup("fit")
    expected = DrugTask("molecule", ("N", "O"), (9, 21), FeatureSettings(3, 128), module.task.training_digest)
    assert module.task == expected
    assert DrugTask.from_dict(module.task.to_dict()) == module.task


def test_another_split_is_another_task_and_testing_on_it_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained, same, other = (data_module(tmp_path, split_seed=seed) for seed in (0, 0, 1))
    trained.setup("fit")
    same.trained_task = other.trained_task = trained.task
    same.setup("test")
    assert "is not the one that the model was trained on" not in caplog.text
    other.setup("test")
    assert "is not the one that the model was trained on" in caplog.text
    other.trained_task = None
    assert other.task.class_counts == trained.task.class_counts
    assert other.task != trained.task


def test_another_feature_setting_is_another_task_with_other_features(tmp_path: Path) -> None:
    small, large = (data_module(tmp_path, fingerprint_size=size) for size in (64, 4096))
    batches = [next(iter(fit_loader(module))) for module in (small, large)]
    assert small.task != large.task
    assert replace(small.task, features=large.task.features) == large.task
    assert fingerprints(batches[0]).bin.max() < 64 < fingerprints(batches[1]).bin.max()
    assert len(list((tmp_path / "cache").glob("*/manifest.json"))) == 2


def test_several_fingerprints_are_served_behind_each_other(tmp_path: Path) -> None:
    module = data_module(tmp_path, fingerprint_size=64, fingerprint_kinds=["path", "morgan"])
    batch = next(iter(fit_loader(module)))
    assert module.task.features == FeatureSettings(2, 64, ("path", "morgan"))
    assert 64 <= fingerprints(batch).bin.max() < module.task.features.fingerprint_width == 128
    assert fingerprints(batch).bin.min() < 64


TRAINED = DrugTask("molecule", ("O", "N", "S"), (50, 20, 5), FeatureSettings(1, 32))


def test_a_trained_model_decides_classes_and_features(tmp_path: Path) -> None:
    module = data_module(tmp_path, input="pair", fingerprint_size=4096)
    module.trained_task = TRAINED
    module.setup("test")
    assert module.task == TRAINED
    batch = next(iter(module.test_dataloader()))
    assert fingerprints(batch).shape == (len(batch), 32)
    assert fingerprints(batch).bin.max() < 32
    structures = module.table.table.smiles[0].gather(batch.sample_index.numpy())
    assert [TRAINED.classes[code] for code in batch.labels] == [smiles[-1] for smiles in structures]


def test_labels_that_a_trained_model_does_not_know_are_rejected(tmp_path: Path) -> None:
    module = data_module(tmp_path, TABLE + "new,CCBr,Br\n")
    module.trained_task = TRAINED
    module.setup("test")
    listing = polars.read_csv(tmp_path / "run" / "rejected.csv")
    assert listing.select("row", "reason").rows() == [(43, "label 'Br' is not a class of the trained model")]
    assert module.records.codes[42] == -1


def test_the_codes_of_a_trained_model_are_classes_in_a_table_of_few_rows(tmp_path: Path) -> None:
    rows = "".join(f"{smiles},{row % 25}\n" for row, smiles in enumerate(ALCOHOLS + AMINES))
    module = data_module(tmp_path, f"smiles,label\n{rows}", split="all")
    module.trained_task = replace(TRAINED, classes=tuple(map(str, range(25))), class_counts=(20,) * 25)
    module.setup("test")
    assert module.records.codes.tolist() == [row % 25 for row in range(42)]


def test_prediction_needs_no_labels_and_numbers_samples_by_row(tmp_path: Path) -> None:
    text = "name,smiles\n" + "".join(f"{row},{smiles}\n" for row, smiles in enumerate(["CCO", "C1", "", "CN", "O"]))
    module, recorder = data_module(tmp_path, text, evaluation_batch_size=2), Recorder()
    module.trained_task = TRAINED
    assert module.trainer is not None
    labels = module.trainer.predict(recorder, module)
    assert flat(recorder.seen["predict"]) == [0, 3, 4]
    assert labels is not None
    assert torch.cat(labels).tolist() == [-1, -1, -1]  # type: ignore[arg-type]
    (chunk,) = module.prediction_rows.begun
    assert chunk.featured.reasons.is_null().to_list() == [True, False, False, True, True]
    assert chunk.featured.reasons[1] == "SMILES that RDKit cannot read in column smiles"
    assert not (tmp_path / "run").exists()


def test_a_table_without_usable_rows_predicts_nothing(tmp_path: Path) -> None:
    module = data_module(tmp_path, "smiles\nC1\nC2\n")
    module.setup("predict")
    assert list(module.predict_dataloader()) == []


def test_a_module_that_has_predicted_can_train(tmp_path: Path) -> None:
    module = data_module(tmp_path)
    module.setup("predict")
    assert served(module.predict_dataloader()) == list(range(42))
    module.setup("fit")
    assert module.task.class_counts == (9, 21)


def test_testing_uses_the_test_split(tmp_path: Path) -> None:
    module, recorder = data_module(tmp_path, evaluation_batch_size=4), Recorder()
    assert module.trainer is not None
    module.trainer.test(recorder, module, verbose=False)
    assert flat(recorder.seen["test"]) == module.records.rows["test"].tolist()
    assert recorder.seen["train"] == []


def test_the_cache_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path / "elsewhere"))
    data_module(tmp_path, cache_folder=None).setup("fit")
    assert len(list((tmp_path / "elsewhere").glob("*/manifest.json"))) == 1
