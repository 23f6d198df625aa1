"""Training from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
import yaml

import tailmol
from base.errors import InputError
from tailmol.training import Setting
from tests.tailmol.conftest import QUICK, drugs


def test_a_fit_gives_the_folder_the_checkpoint_and_the_test_metrics(run: tailmol.Run) -> None:
    written = json.loads((run.folder / "test_metrics.json").read_text())
    assert run.metrics == written
    assert run.metrics["test/balanced_accuracy"] == 1.0
    assert run.checkpoint == (run.folder / "checkpoints" / "best.ckpt").resolve()
    assert run.load().classes == ("alcohol", "aromatic")


def test_the_settings_are_those_of_the_command(run: tailmol.Run) -> None:
    settings = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert settings["trainer"]["max_epochs"] == 2
    assert settings["model"]["encoder"]["class_path"] == "modules.encoders.FingerprintMLP"
    assert settings["data"]["fingerprint_size"] == 256


def test_a_pandas_frame_is_stored_and_can_be_evaluated_again(tmp_path: Path) -> None:
    frame = pandas.DataFrame(drugs().to_dict(as_series=False))
    settings: dict[str, Setting] = {**QUICK, "trainer.max_epochs": 1, "run.root": tmp_path, "data.split_seed": 3}
    found = tailmol.fit(frame, settings, ["encoder/fingerprint.yaml", "method/cross_entropy.yaml"])
    saved = yaml.safe_load((found.folder / "config.yaml").read_text())
    assert found.folder.parent.name == "frame"
    assert Path(saved["data"]["source"]).is_file()
    assert saved["data"]["split_seed"] == 3
    assert saved["model"]["contrast"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer.max_epoch": 1}, r"got --trainer\.max_epoch"),
        ({"data.label_column": "nope"}, r"data\.label_column: expected a column of .*, got 'nope'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, settings: dict[str, Setting], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tailmol.fit(drugs(), {**QUICK, "run.root": tmp_path, **settings})
