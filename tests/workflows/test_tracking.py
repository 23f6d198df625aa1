"""The loggers of a run."""

from __future__ import annotations

import csv
from pathlib import Path
from unittest.mock import patch

import polars
import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger

from workflows.tracking import ContinuedCSVLogger, TrackingSettings, make_loggers


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
    with patch("workflows.tracking.WandbLogger", spec=WandbLogger) as made:
        make_loggers(TrackingSettings(), tmp_path / "data" / "version_0")
    assert made.call_args.kwargs["offline"] is True
    assert made.call_args.kwargs["mode"] == "offline"
