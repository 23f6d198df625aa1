"""The loggers of a run."""

from __future__ import annotations

import csv
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import hypothesis
import polars
import pytest
from hypothesis import strategies
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from base.errors import InputError
from workflows.run_trainer import check_names_for_mlflow
from workflows.tracking import ContinuedCSVLogger, TrackingSettings, further_loggers, make_loggers
from workflows.wandb_run import save_id, saved_id


def test_a_resumed_run_keeps_the_rows_that_are_there(tmp_path: Path) -> None:
    def log(step: int, **values: float) -> None:
        logger = ContinuedCSVLogger(tmp_path / "data/version_0")
        logger.log_metrics({**values}, step)
        logger.save()

    log(1, loss=0.5)
    log(2, loss=0.25, accuracy=0.75)
    rows = polars.read_csv(tmp_path / "data/version_0/metrics.csv")
    assert rows["step"].to_list() == [1, 2]
    assert rows["loss"].to_list() == [0.5, 0.25]
    assert rows["accuracy"].to_list() == [None, 0.75]


def test_a_column_may_have_a_comma_or_a_quote_in_its_name(tmp_path: Path) -> None:
    amide, quoted = "test/recall/amide, aromatic", 'test/recall/the "rare" one'
    for step, values in enumerate([{"loss": 0.5, amide: 0.25, quoted: 0.75}, {"loss": 0.125, amide: 1.0, "more": 2.0}]):
        logger = ContinuedCSVLogger(tmp_path / "data/version_0")
        logger.log_metrics({**values}, step)
        logger.save()
    with (tmp_path / "data/version_0/metrics.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["loss"], first[amide], first[quoted], first["more"]) == ("0.5", "0.25", "0.75", "")
    assert (second["loss"], second[amide], second[quoted], second["more"]) == ("0.125", "1.0", "", "2.0")
    assert [path.name for path in (tmp_path / "data/version_0").iterdir()] == ["metrics.csv"]


def test_rows_survive_a_stop_while_a_column_is_added(tmp_path: Path) -> None:
    # Lightning's own writer empties the file before it writes; ours overrides a method that Lightning may rename.
    logger = ContinuedCSVLogger(tmp_path / "data/version_0")
    logger.log_metrics({"loss": 0.5}, 1)
    logger.save()
    before = (tmp_path / "data/version_0/metrics.csv").read_bytes()
    with (
        patch.object(csv.DictWriter, "writerows", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        logger.log_metrics({"loss": 0.25, "accuracy": 0.75}, 2)
    assert (tmp_path / "data/version_0/metrics.csv").read_bytes() == before


def steps(folder: Path) -> list[int]:
    return polars.read_csv(folder / "metrics.csv")["step"].to_list()


def test_each_row_is_in_the_file_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "data/version_0"
    logger = ContinuedCSVLogger(folder)
    for step in (3, 7):
        logger.log_metrics({"loss": 0.5}, step)
        assert steps(folder)[-1] == step


def test_the_part_of_a_row_that_a_killed_run_has_left_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "data/version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("loss,step\n0.5,1\n0.2")
    ContinuedCSVLogger(folder).log_metrics({"loss": 0.25}, 2)
    assert (folder / "metrics.csv").read_text() == "loss,step\n0.5,1\n0.25,2\n"
    (folder / "metrics.csv").write_text("loss,st")
    ContinuedCSVLogger(folder).log_metrics({"loss": 0.25}, 2)
    assert (folder / "metrics.csv").read_text() == "loss,step\n0.25,2\n"


def test_rows_that_a_resumed_run_writes_again_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "data/version_0"
    for step in (3, 7, 11):
        ContinuedCSVLogger(folder).log_metrics({"loss": 0.5}, step)
    # Two epochs of four steps are in the checkpoint.
    logger = ContinuedCSVLogger(folder)
    logger.continue_from(8)
    assert steps(folder) == [3, 7]
    logger.log_metrics({"loss": 0.25}, 11)
    assert steps(folder) == [3, 7, 11]


@pytest.mark.parametrize(
    ("variable", "setting", "kinds"),
    [
        (None, "disabled", [CSVLogger]),
        ("disabled", "offline", [CSVLogger]),
        (None, "offline", [CSVLogger, WandbLogger]),
        ("offline", "disabled", [CSVLogger, WandbLogger]),
    ],
)
def test_csv_always_and_wandb_unless_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, setting: str, kinds: list[type]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    settings = TrackingSettings(wandb="offline" if setting == "offline" else "disabled")
    loggers = make_loggers(settings, tmp_path / "data" / "version_0")
    assert len(loggers) == len(kinds)
    assert all(isinstance(logger, kind) for logger, kind in zip(loggers, kinds, strict=True))
    assert loggers[0].log_dir == str(tmp_path / "data" / "version_0")


def test_without_credentials_wandb_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    made = made_for_wandb(TrackingSettings(), tmp_path / "data" / "version_0")
    assert "offline" not in made, "sets an environment variable too late"
    assert made["mode"] == "offline"
    assert made["settings"].silent, "prints what only those can use who upload the run"
    assert made_for_wandb(TrackingSettings(wandb="online"), tmp_path / "data" / "version_0")["settings"] is None


def made_for_wandb(settings: TrackingSettings, folder: Path, **further: Any) -> dict[str, Any]:
    """What a run hands to W&B's logger."""
    with patch("workflows.tracking.WandbLogger", spec=WandbLogger) as made:
        made.return_value._wandb_init = {}
        make_loggers(settings, folder, **further)
    return dict(made.call_args.kwargs)


def test_wandb_is_told_what_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "drugs" / "version_3"
    plain = made_for_wandb(TrackingSettings(), folder, job_type="test")
    assert (plain["name"], plain["project"], plain["job_type"]) == ("drugs version_3", "tailmol", "test")
    assert [plain[name] for name in ("group", "tags", "notes", "entity", "id")] == [None] * 5
    given: dict[str, Any] = {
        "group": "g",
        "tags": ["a", "b"],
        "notes": "why",
        "entity": "team",
        "job_type": "j",
        "name": "n",
    }
    told = made_for_wandb(TrackingSettings(**given), folder, job_type="test")
    assert {name: told[name] for name in given} == given


def test_a_run_that_goes_on_has_the_id_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert saved_id(tmp_path) is None
    assert made_for_wandb(TrackingSettings(), tmp_path, goes_on=True)["id"] is None
    save_id(tmp_path, SimpleNamespace(id="abc123"))
    assert made_for_wandb(TrackingSettings(), tmp_path, goes_on=True)["id"] == "abc123"
    assert made_for_wandb(TrackingSettings(), tmp_path)["id"] is None


def test_further_loggers_are_one_or_a_list_but_not_another_of_wandb(tmp_path: Path) -> None:
    one, other = CSVLogger(tmp_path), CSVLogger(tmp_path)
    assert further_loggers(one) == [one]
    assert further_loggers([one, other]) == [one, other]
    assert [further_loggers(none) for none in (None, True, False)] == [[], [], []]
    with pytest.raises(InputError, match=r"trainer\.logger: expected loggers beside that of W&B, .* got WandbLogger"):
        further_loggers([one, WandbLogger(save_dir=tmp_path, offline=True)])


@hypothesis.given(strategies.lists(strategies.text("aB9 ,+/._-ü", min_size=1, max_size=6), min_size=2, max_size=4))
def test_classes_that_pass_have_metrics_of_their_own_in_mlflow(classes: list[str]) -> None:
    validation = pytest.importorskip("mlflow.utils.validation")
    # As Lightning's logger names them.
    names = [re.sub("[^a-zA-Z0-9_/. -]+", "", f"test/recall/{name}") for name in classes]

    def fits(name: str) -> bool:
        try:
            validation._validate_metric_name(name)
        except validation.MlflowException:
            return False
        return True

    is_good = all(map(fits, names)) and len(set(names)) == len(names)
    with nullcontext() if is_good else pytest.raises(InputError, match=r"trainer\.logger: expected classes whose"):
        check_names_for_mlflow(classes)
