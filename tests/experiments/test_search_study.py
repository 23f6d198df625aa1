"""Which searches the study in a folder may go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from base.errors import InputError
from experiments.search_space import SearchSpace, read_search_space
from experiments.search_study import open_study
from workflows.settings.layers import settings_files


def made_space(folder: Path, epochs: int = 1, parameters: Any = None) -> SearchSpace:
    """A search, of the weight of contrast unless other parameters are given."""
    space = {
        "name": "small",
        "method": "bayes",
        "metric": {"name": "val/balanced_accuracy", "goal": "maximize"},
        "parameters": parameters or {"model.contrast.weight": {"min": 0.0, "max": 1.0}},
        "command": ["fit", "--config=encoder/fingerprint.yaml", f"--trainer.max_epochs={epochs}", "${args}"],
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(space))
    return read_search_space(folder / "small.yaml")


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sweeps/small"
    open_study(made_space(tmp_path), folder, None, settings_files)
    other = made_space(tmp_path, parameters={"model.dropout": {"values": [0.1, 0.2]}})
    with pytest.raises(InputError, match="holds one over other parameters"):
        open_study(other, folder, None, settings_files)
    (folder / "trial_0").mkdir()
    with pytest.raises(InputError, match=r"expected trials that the storage contains, got .*small with others"):
        open_study(other, folder, f"sqlite:///{tmp_path / 'other.db'}", settings_files)


def test_trials_of_other_data_or_options_are_not_mixed(tmp_path: Path) -> None:
    folder, space = tmp_path / "sweeps/small", made_space(tmp_path)
    given = ["--data.source", "one.csv", "--trainer.max_epochs=3"]
    open_study(space, folder, None, settings_files, given)
    open_study(space, folder, None, settings_files, [*given, "--trainer.devices", "[1]", "--run.root=elsewhere"])
    open_study(space, folder, None, settings_files)
    for other in (["--data.source", "two.csv", "--trainer.max_epochs=3"], given[:2], []):
        with pytest.raises(InputError, match=r"were trained with, --config=encoder/fingerprint.yaml .*one\.csv"):
            open_study(space, folder, None, settings_files, other)
    longer = made_space(tmp_path, epochs=2)
    with pytest.raises(InputError, match="cannot be compared"):
        open_study(longer, folder, None, settings_files, given)


def test_trials_of_edited_settings_files_are_not_mixed(tmp_path: Path) -> None:
    for name in ("mine", "one", "two"):
        (tmp_path / f"{name}.yaml").write_text("model: {dropout: 0.5}\n")
    values = {"config": {"values": [str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")]}}
    folder, space = tmp_path / "sweeps/small", made_space(tmp_path, parameters=values)
    given = [f"--config={tmp_path / 'mine.yaml'}"]
    open_study(space, folder, None, settings_files, given)
    (tmp_path / "mine.yaml").write_text("# A comment is no setting.\nmodel:\n  dropout: 0.5\n")
    open_study(space, folder, None, settings_files, given)
    for name in ("mine", "two"):
        before = (tmp_path / f"{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text("model: {dropout: 0.25}\n")
        with pytest.raises(
            InputError, match=r"expected the settings files .* were trained with, .* cannot be compared"
        ):
            open_study(space, folder, None, settings_files, given)
        open_study(space, folder, None, settings_files)
        (tmp_path / f"{name}.yaml").write_text(before)
    open_study(space, folder, None, settings_files, given)
