"""What TAB offers, asked of real shells that have read the script."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from datamodules.datasets.dataset_catalog import CATALOGUE
from lightning_app.cli import SUBCOMMANDS
from lightning_app.completion import completion_script
from tests.lightning_app.command import in_this_process
from workflows.setting_layers import CONFIGS

# Reads the script, presses TAB at the end of the words given, and prints what is offered; `python` must not be needed.
TAB = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) PATH=
function=$(complete -p lightning)
function=${function##*-F }
"${function%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "lightning.bash"
    path.write_text(completion_script("bash"))
    return path


def offered(script: Path, folder: Path, *words: str) -> list[str]:
    """What TAB offers after the last of the words."""
    command = ["bash", "--norc", "-c", TAB, "bash", str(script), "lightning", *words]
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
        (["fit", "--config", "=", "method/pap"], ["method/paper.yaml"]),
        (["fit", "--config", "=", "method/paper.yaml", "--data.so"], ["--data.source"]),
        (["fit", "--config", ""], ["data/", "debug.yaml", "default.yaml", "encoder/", "method/"]),
        (["benchmark", "-c", "b"], ["benchmark/"]),
        (["sweep", "--config", "sweep/"], ["sweep/default.yaml", "sweep/method.yaml"]),
        (["sweep", "--trials", "3", "--", "--recluster.stre"], ["--recluster.strength"]),
        (["fit", "--data.source", "di"], ["digits"]),
        (["fit", "--data.source", "=", "di"], ["digits"]),
        (["fit", "--report", ""], ["false", "true"]),
        (["fit", "--report", "="], ["false", "true"]),
        (["validate", "--data.split_part", ""], ["both", "first", "second"]),
        (["fit", "--trainer.max_epochs", ""], [""]),
        (
            ["fit", "--model.classification_loss", "modules.losses.fo"],
            ["modules.losses.classification.focal.FocalLoss"],
        ),
        (["fit", "--model.optimizer", "torch.optim.AdamW"], ["torch.optim.AdamW"]),
        (["fit", "--model.encod"], ["--model.encoder"]),
        (["fit", "--model.encoder.init_args.sta"], ["--model.encoder.init_args.standardize"]),
        (["fit", "--model.mixing.init_args.al"], ["--model.mixing.init_args.alpha"]),
        (["fit", "--model.optimizer.init_args.param"], [""]),
        (["predict", "--chunk"], ["--chunk_rows"]),
        (["benchmark", "--dry"], ["--dry-run"]),
        (["report", "--po"], ["--points"]),
        (["datasets", "--h"], ["--help"]),
        (["completion", ""], ["bash", "zsh"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_tab_offers(script: Path, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    assert offered(script, tmp_path, *words) == expected


@pytest.mark.slow
def test_every_subcommand_data_set_and_setting_file_is_offered(script: Path, tmp_path: Path) -> None:
    assert offered(script, tmp_path, "") == sorted(SUBCOMMANDS)
    assert offered(script, tmp_path, "prepare", "--data.source", "") == sorted(CATALOGUE)
    shipped = {f"method/{path.name}" for path in (CONFIGS / "method").glob("*.yaml")}
    assert set(offered(script, tmp_path, "fit", "--config", "method/")) == shipped


@pytest.mark.slow
def test_every_default_setting_is_an_option(script: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((CONFIGS / "default.yaml").read_text())
    sections = {name: values for name, values in settings.items() if isinstance(values, dict)}
    expected = {f"--{section}.{name}" for section, values in sections.items() for name in values}
    assert len(expected) > 10
    shown = {option for section in sections for option in offered(script, tmp_path, "fit", f"--{section}.")}
    assert expected <= shown
    assert max(option.count(".") for option in shown) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--data.source"],
        ["fit", "--config"],
        ["test", "--ckpt_path"],
        ["predict", "--output"],
        ["compare", "--output"],
        ["report"],
        ["compare", "run"],
    ],
    ids=" ".join,
)
def test_files_of_the_folder_are_offered(script: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "zinc table.csv").touch()
    assert offered(script, tmp_path, *words, "zi") == ["zinc table.csv"]
    assert offered(script, tmp_path, *words, "za") == [""]


@pytest.mark.slow
def test_folders_are_offered_where_a_folder_is_meant(script: Path, tmp_path: Path) -> None:
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "a_file").touch()
    assert offered(script, tmp_path, "fit", "--run.root", "a_") == ["a_folder"]


@pytest.mark.slow
def test_zsh_gets_a_script_of_its_own() -> None:
    script = completion_script("zsh")
    assert script.startswith("#compdef lightning\n")
    assert '"--recluster.method=[' in script
    assert ":(kmeans bounded)" in script


@pytest.fixture(scope="module")
def zsh_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zsh")
    (folder / "_lightning").write_text(completion_script("zsh"))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("f", "fit "),
        ("fit --data.so", "fit --data.source="),
        ("fit --data.source di", "fit --data.source digits "),
        ("fit --data.source=di", "fit --data.source=digits "),
        ("fit -c method/paper.yaml --config method/ldam_", "--config method/ldam_drw.yaml "),
        ("fit --report t", "fit --report true "),
        ("report --um", "report --umap "),
    ],
)
def test_zsh_completes_on_a_terminal(zsh_folder: Path, typed: str, completed: str) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(zsh_folder)
        variables = {**os.environ, "TERM": "dumb", "PS1": "> ", "COLUMNS": "200", "HOME": str(zsh_folder)}
        os.execvpe("zsh", ["zsh", "-f"], variables)
    os.write(terminal, b"fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; print rea''dy\n")
    _read_until(terminal, "ready\r\n")
    os.write(terminal, f"lightning {typed}\t".encode())
    shown = _read_until(terminal, completed)
    os.close(terminal)
    os.waitpid(process, 0)
    assert completed in shown


def _read_until(terminal: int, text: str) -> str:
    """What a terminal shows until it shows `text`, at most ten seconds without anything new."""
    shown = ""
    while text not in shown and select.select([terminal], [], [], 10)[0]:
        shown += os.read(terminal, 65536).decode()
    return shown


def test_another_shell_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_this_process(monkeypatch, "completion", "fish") == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("lightning completion: error: argument shell: invalid choice: 'fish' (choose from ")
