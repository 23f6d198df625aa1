from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import InputError
from workflows.settings.config_files import CONFIGS, find_config, read_layer


def test_a_file_of_the_current_folder_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = CONFIGS / "debug.yaml"
    assert find_config("debug.yaml") == find_config("configs/debug.yaml") == shipped
    (tmp_path / "debug.yaml").write_text("{}")
    assert find_config("debug.yaml") == Path("debug.yaml")
    with pytest.raises(InputError, match=r"^config: expected an existing or shipped file, got 'nope.yaml'\. .*debug"):
        find_config("nope.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^config: \S*mine.yaml cannot be read as YAML"),
        (
            "a: " + "[" * 60,
            r"^config: \S*mine.yaml cannot be read as YAML \(its values nest more than 50 levels deep\)\.$",
        ),
        ("[1]", r"^config: expected a mapping of settings in \S*mine.yaml, got list\."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_layer(path)


def test_a_small_number_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {optimizer: {init_args: {lr: 1e-4}}}\n")
    assert read_layer(path).settings["model"]["optimizer"]["init_args"]["lr"] == 0.0001


def test_the_folder_of_a_layer_is_that_of_a_shipped_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "method" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("")
    assert read_layer(path).folder is None
    assert read_layer(CONFIGS / "method" / "paper.yaml").folder == "method"
    assert read_layer(CONFIGS / "method" / "paper.yaml").name == "method/paper.yaml"
