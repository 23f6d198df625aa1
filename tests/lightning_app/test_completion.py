"""What TAB offers, asked of a real shell that has read the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from datamodules.datasets.dataset_catalog import CATALOG
from lightning_app.cli import SUBCOMMANDS
from lightning_app.completion import completion_script
from tests.lightning_app.command import in_this_process
from workflows.settings.config_files import CONFIGS

# Reads the script, presses TAB at the end of the words given, and prints what is offered; `python` must not be needed.
TAB = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) PATH=
function=$(complete -p tailmol)
function=${function##*-F }
"${function%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "tailmol.bash"
    path.write_text(completion_script("bash", "tailmol"))
    return path


def offered(script: Path, folder: Path, *words: str) -> list[str]:
    """What TAB offers after the last of the words."""
    command = ["bash", "--norc", "-c", TAB, "bash", str(script), "tailmol", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return sorted(done.stdout.split("\n")[:-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["f"], ["fit"]),
        (["fit", "--recluster.st"], ["--recluster.start_epoch", "--recluster.strength"]),
        (["fit", "--quiet", "--data.so"], ["--data.source"]),
        (["fit", "--config", "method/pap"], ["method/paper.yaml"]),
        (["sweep", "--config", "swe"], ["sweep/default.yaml", "sweep/method.yaml"]),
        (["fit", "--data.source", "di"], ["digits"]),
        (["fit", "--data.source", "zi"], ["zinc table.csv"]),
        (["test", "--ckpt_path", "zi"], ["zinc table.csv"]),
        (["report", "zi"], ["zinc table.csv"]),
        (["fit", "--run.root", "a_"], ["a_folder"]),
        (["fit", "--report", ""], ["false", "true"]),
        (["fit", "--recluster.method", ""], ["bounded", "kmeans"]),
        (["predict", "--chunk"], ["--chunk_rows"]),
        (["benchmark", "--dry"], ["--dry-run"]),
        (["completion", "ba"], ["bash"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_tab_offers(script: Path, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    (tmp_path / "zinc table.csv").touch()
    (tmp_path / "a_folder").mkdir()
    assert offered(script, tmp_path, *words) == expected


@pytest.mark.slow
def test_every_subcommand_data_set_and_setting_file_is_offered(script: Path, tmp_path: Path) -> None:
    assert offered(script, tmp_path, "") == sorted(SUBCOMMANDS)
    assert offered(script, tmp_path, "prepare", "--data.source", "") == sorted(CATALOG)
    shipped = {f"method/{path.name}" for path in (CONFIGS / "method").glob("*.yaml")}
    assert set(offered(script, tmp_path, "fit", "--config", "method/")) == shipped


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_a_script_of_their_own(shell: str) -> None:
    script = completion_script(shell, "tailmol")
    assert "recluster.method" in script
    assert script.startswith("#compdef tailmol\n") == (shell == "zsh")


def test_another_shell_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_this_process(monkeypatch, "completion", "nosh") == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("lightning completion: error: argument shell: invalid choice: 'nosh' (choose from ")
