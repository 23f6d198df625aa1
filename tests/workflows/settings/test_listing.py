"""Settings with the layers that they are from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.lightning_app.command import in_this_process
from workflows.settings.listing import list_settings
from workflows.settings.merge import Layer, compose


def test_every_value_has_its_layer_behind_it() -> None:
    layers = [
        Layer("base.yaml", {"model": {"encoder": {"class_path": "Fusion", "init_args": {"encoders": [{"a": 1}]}}}}),
        Layer("option", {"trainer": {"max_epochs": 3}}),
    ]
    settings = {**compose(layers).settings, "seed": 0}
    text = list_settings(settings, compose(layers))
    assert text.splitlines() == [
        "model:",
        "  encoder:",
        "    class_path: Fusion  # base.yaml",
        "    init_args:",
        "      encoders:  # base.yaml",
        "        - a: 1",
        "trainer:",
        "  max_epochs: 3  # option",
        "seed: 0  # default",
    ]
    assert yaml.safe_load(text) == settings


def test_print_config_shows_the_result_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("early_stopping: {patience: 7}\n")
    options = ("--data.source", "hiv", "--config", "encoder/gin.yaml", "--config", "mine.yaml")
    assert in_this_process(monkeypatch, "fit", "--print_config", *options, "--trainer.max_epochs=3") == 0
    text = capsys.readouterr().out
    settings = yaml.safe_load(text)
    assert settings["model"]["encoder"] == {
        "class_path": "modules.encoders.GIN",
        "init_args": {"hidden_dim": 128, "num_layers": 3, "dropout": 0.0},
    }
    lines = {line.strip() for line in text.splitlines()}
    assert lines >= {
        "class_path: modules.encoders.GIN  # encoder/gin.yaml",
        "dropout: 0.0  # default",
        "patience: 7  # mine.yaml",
        "max_epochs: 3  # option",
        "T_max: 3  # base.yaml",
        "weight_decay: 0.1  # recommended/hiv.yaml",
        "smiles_columns: [X]  # data/hiv.yaml",
        "logit_adjustment: 1.0  # method/balanced_opinions.yaml",
    }
    assert list(tmp_path.iterdir()) == [Path("mine.yaml").resolve()]
