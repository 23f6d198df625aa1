"""The wheel in an environment of its own, which sees the installed dependencies but not this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import polars
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]


QUIET = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")


def run(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder, without the checkout on the import path; it must exit with 0."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Building leaves files beside the sources.
    sources = tmp_path_factory.mktemp("sources")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", ".")
    run(sources, *pip)
    (built,) = (sources / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a virtual environment with the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    run(folder, sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    run(folder, *pip)
    # A folder in a .pth file comes after the environment's own, and its .pth files, an editable install, do not count.
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    installed = Path(run(folder, python, "-c", code).strip())
    paths = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (installed / "dependencies.pth").write_text("\n".join(paths))
    # The development dependencies have DGL, and those of the wheel have not.
    (installed / "dgl.py").write_text("raise ModuleNotFoundError('DGL is not installed.', name='dgl')\n")
    return folder


@pytest.mark.slow
def test_the_wheel_has_every_shipped_file(environment: Path) -> None:
    (installed,) = environment.glob("lib/python*/site-packages")
    shipped = [*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "reports/page").iterdir()]
    shipped += [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    shipped += (ROOT / "datamodules/datasets/inn_stems").iterdir()
    names = [path.relative_to(ROOT) for path in shipped if path.is_file()]
    assert [str(name) for name in names if not (installed / name).is_file()] == []


@pytest.mark.slow
def test_the_installed_commands_train_and_predict_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    code = f"import importlib; print(*(importlib.import_module(name).__file__ for name in {PACKAGES}), sep='\\n')"
    imported = run(tmp_path, environment / "bin/python", "-c", code).splitlines()
    assert len(imported) == len(PACKAGES)
    assert [path for path in imported if not Path(path).is_relative_to(environment)] == []
    run(tmp_path, environment / "bin/lightning", "fit", "--config", "debug.yaml", "--run.name=first", *QUIET)
    assert (tmp_path / "runs/first/version_0/report.html").is_file()
    (tmp_path / "new.csv").write_text("smiles\nCCO\nc1ccccc1\n")
    checkpoint = ("--ckpt_path", "runs/first/version_0/checkpoints/best.ckpt")
    table = ("--data.source", "new.csv", "--output", "out.csv")
    run(tmp_path, environment / "bin/tailmol", "predict", *checkpoint, *table)
    assert polars.read_csv(tmp_path / "out.csv")["probability"].is_between(0, 1).all()
    answer = run(tmp_path, environment / "bin/tailmol", "predict", *checkpoint, "--smiles", "CCO", "--json")
    assert '"predicted_label"' in answer


@pytest.mark.slow
def test_the_papers_method_trains_without_dgl(environment: Path, tmp_path: Path) -> None:
    configs = ("--config", "method/paper.yaml", "--config", "debug.yaml")
    run(tmp_path, environment / "bin/tailmol", "fit", *configs, "--run.name=paper", "--report=false", *QUIET)
    written = tmp_path / "runs/paper/version_0"
    assert "class_path: modules.encoders.GCN" in (written / "config.yaml").read_text()
    assert (written / "test_metrics.json").is_file()
