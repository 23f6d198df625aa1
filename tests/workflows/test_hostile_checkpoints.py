"""No command and no function runs, imports or writes what a checkpoint from elsewhere wants it to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tailmol
from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from tests.lightning_app.command import TINY, in_this_process, succeed_here
from tests.workflows.hostile_settings import (
    DISTILLATION,
    FILES,
    MODEL,
    NO_SETTINGS,
    OBJECTS,
    TRAINING,
    Settings,
    make_run,
    spec,
    write_hostile_evidence,
    write_hostile_pickle,
    write_trap,
)

pytestmark = pytest.mark.slow

SHORT = (*TINY, "--tracking.wandb=disabled", "--config=debug.yaml", "--config=encoder/fingerprint.yaml")
QUIET = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false")
COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": (
        "predict",
        "--ckpt_path=run/checkpoints/best.ckpt",
        "--data.source=new.csv",
        "--output=out.csv",
        *QUIET,
    ),
    "smiles": ("predict", "--ckpt_path=run/checkpoints/best.ckpt", "--smiles=CCO", *QUIET),
    "test": ("test", "--ckpt_path=run/checkpoints/best.ckpt", "--tracking.wandb=disabled", *QUIET),
    "validate": ("validate", "--ckpt_path=run/checkpoints/best.ckpt", "--tracking.wandb=disabled", *QUIET),
    "report": ("report", "run"),
    "compare": ("compare", "run", "teacher"),
    "submit": ("submit", "run", "--form=polaris", "--test=new.csv", "--output=out.json"),
    "decide": ("decide", "run", "--objective=accuracy"),
    "resume": ("fit", "--ckpt_path=run/checkpoints/last.ckpt", "--trainer.max_epochs=3", *QUIET),
    "prepare": ("prepare", "--ckpt_path=run/checkpoints/last.ckpt", *QUIET),
    "teacher": (
        "fit",
        *SHORT,
        "--stages",
        json.dumps([{"distillation": spec(DISTILLATION, teacher="run/checkpoints/best.ckpt")}]),
    ),
}
DOORS: dict[str, Callable[[], object]] = {
    "load": lambda: tailmol.load("run").predict(["CCO"]),
    "classifier": lambda: DrugClassifier.load_from_checkpoint("run/checkpoints/best.ckpt"),
}
EVERYTHING = (*COMMANDS, *DOORS)
COMPUTING = tuple(name for name in EVERYTHING if name != "compare")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    succeed_here(folder, "fit", *SHORT)
    return folder / "runs/inn_stems/version_0"


class Machine:
    """The folder of a user, in which `run` is from elsewhere and would run `trap`, which Python finds."""

    def __init__(self, trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained, self.folder, self.site, self._patch = trained, folder, folder / "site", monkeypatch
        write_trap(self.site)
        (folder / "new.csv").write_text("smiles\nCCO\nc1ccccc1\n")
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(self.site)
        sys.modules.pop("trap", None)

    def receive(self, *changes: Callable[[Settings, Path], None]) -> None:
        """Put the run there, and one that would teach it."""
        make_run(self.trained, self.folder / "run", self.site, *changes)
        make_run(self.trained, self.folder / "teacher", self.site, MODEL["encoder"])

    def use(self, name: str) -> int:
        """Run a command, or call a function; returns the exit status."""
        if name in COMMANDS:
            return in_this_process(self._patch, *COMMANDS[name])
        try:
            DOORS[name]()
        except InputError as error:
            print(f"lightning: error: {error}", file=sys.stderr)
            return 2
        return 0

    def check_untouched(self) -> None:
        """Nothing was imported, called or written where the checkpoint wanted it."""
        assert "trap" not in sys.modules
        assert {path.name for path in self.site.iterdir()} == {"trap.py", *FILES}
        written = {path.name for path in self.folder.iterdir()}
        assert written <= {"run", "teacher", "site", "new.csv", "runs", "out.csv", "out.json", "comparison.html"}


@pytest.fixture
def machine(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(trained, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("change", "command"),
    [
        *((change, command) for change in MODEL for command in COMPUTING),
        *((change, command) for change in NO_SETTINGS for command in EVERYTHING),
        *((change, "resume") for change in TRAINING),
        *((change, "prepare") for change in TRAINING if change != "teacher"),
    ],
)
def test_a_checkpoint_that_names_more_than_known_classes_is_refused_in_one_sentence(
    machine: Machine, capsys: pytest.CaptureFixture[str], change: str, command: str
) -> None:
    machine.receive({**MODEL, **NO_SETTINGS, **TRAINING}[change])
    assert machine.use(command) == 2
    machine.check_untouched()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("lightning: error: ")
    assert ".ckpt" in line
    assert "bug" not in line


@pytest.mark.parametrize("command", [name for name in EVERYTHING if name not in ("resume", "prepare")])
def test_what_a_command_does_not_need_is_not_touched(machine: Machine, command: str) -> None:
    # A report describes the stages, and so needs them in their form.
    changes = {name: change for name, change in {**TRAINING, **OBJECTS}.items() if name != "file for stages"}
    machine.receive(*changes.values())
    assert machine.use(command) == 0
    machine.check_untouched()


def test_a_resumed_run_takes_objects_and_folders_from_the_user(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.receive(*OBJECTS.values())
    assert machine.use("resume") == 0
    machine.check_untouched()
    told = capsys.readouterr().err
    for name in ("trainer.callbacks", "trainer.profiler", "trainer.strategy", "data.cache_folder", "tracking.entity"):
        assert f"{name}: the checkpoint's value has no effect" in told
    assert json.loads(Path("run/test_metrics.json").read_text())


def test_a_resumed_run_writes_and_deletes_only_in_its_own_folder(machine: Machine) -> None:
    machine.receive()
    valuable = machine.folder / "valuable"
    (valuable / "inside").mkdir(parents=True)
    best = machine.folder / "best elsewhere.ckpt"
    best.write_bytes(Path("run/checkpoints/best.ckpt").read_bytes())
    before, path = best.read_bytes(), Path("run/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    own = Path("run/checkpoints").resolve()
    # The path begins with the folder of the run, so that Lightning would delete it.
    hostile, worst = f"{own}/../../valuable", torch.tensor(-1.0)
    changes = {"kth_best_model_path": hostile, "kth_value": worst, "best_k_models": {hostile: worst}}
    for name, state in checkpoint["callbacks"].items():
        if "Checkpoint" in name:
            monitored = "val/balanced_accuracy" in name
            state.update({"dirpath": str(own), "best_model_path": str(best), **(changes if monitored else {})})
    torch.save(checkpoint, path)
    assert machine.use("resume") == 0
    assert (valuable / "inside").is_dir()
    assert best.read_bytes() == before
    assert not best.with_suffix(".evidence.npz").exists()
    assert not best.with_suffix(".scores.npz").exists()


@pytest.mark.parametrize("command", ["predict", "smiles", "load"])
def test_evidence_is_read_without_pickle(machine: Machine, capsys: pytest.CaptureFixture[str], command: str) -> None:
    machine.receive()
    write_hostile_evidence(Path("run"), machine.site / "called")
    assert machine.use(command) == 2
    assert "is not a valid evidence file" in capsys.readouterr().err
    machine.check_untouched()


@pytest.mark.parametrize("command", EVERYTHING)
def test_a_checkpoint_is_read_without_pickle(machine: Machine, command: str) -> None:
    machine.receive()
    write_hostile_pickle(Path("run"), machine.site / "called")
    assert machine.use(command) == 2
    machine.check_untouched()


@pytest.mark.parametrize("command", EVERYTHING)
def test_the_trap_snaps_where_the_user_trusts_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Without which the tests above could not fail."""
    machine.receive(MODEL["encoder"])
    if command in COMMANDS and command != "compare":
        monkeypatch.setitem(COMMANDS, command, (*COMMANDS[command], "--trust=trap"))
    monkeypatch.setitem(DOORS, "load", lambda: tailmol.load("run", trust="trap").predict(["CCO"]))
    classifier = lambda: DrugClassifier.load_from_checkpoint("run/checkpoints/best.ckpt", trust=["trap"])  # noqa: E731
    monkeypatch.setitem(DOORS, "classifier", classifier)
    assert machine.use(command) == 0
    assert (machine.site / "called").exists() == (command != "compare")
