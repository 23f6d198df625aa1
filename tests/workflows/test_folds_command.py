"""What the command of an ensemble says of its folder and its processes."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_only

from base.errors import InputError
from tests.lightning_app.command import TINY
from workflows import fit_folds
from workflows.fit import fit
from workflows.run_folder import RunFolder, RunSettings, claim_run_folder
from workflows.run_trainer import idle_trainer
from workflows.settings.command_line import split_command_line

SHORT = [*TINY, "--tracking.wandb=disabled", "--folds=5"]
SLURM = {"JOB_ID": 7, "JOB_NAME": "night", "NTASKS": 2, "NTASKS_PER_NODE": 2, "NNODES": 1, "NODEID": 0}
USUAL = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "plugins": None}


class _AskedError(Exception):
    """Ends a command when its first member would be trained."""


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    """The command lines of members, of which none is trained."""
    found: list[Sequence[str]] = []

    def refuse(words: Sequence[str], command: str, show_progress: bool) -> None:
        found.append(words)
        if "--run.root" in words:
            Path(words[words.index("--run.root") + 1], "folds").mkdir(parents=True, exist_ok=True)
        raise _AskedError

    monkeypatch.setattr(fit_folds, "FitCLI", refuse)
    # A trainer of several processes sets the rank of this one.
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    monkeypatch.chdir(tmp_path)
    return found


def on_slurm(monkeypatch: pytest.MonkeyPatch, task: int, **others: object) -> None:
    for name, value in {**SLURM, "PROCID": task, "LOCALID": task, **others}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))


@pytest.mark.parametrize(
    ("options", "settings", "folder"),
    [
        (["--run.version=1", "--run.name=2026"], None, "runs/2026/1"),
        ([], "run:\nreport: false\n", "runs/inn_stems/version_0"),
    ],
)
def test_the_folder_has_the_names_of_a_run_without_folds(
    options: list[str], settings: str | None, folder: str, tmp_path: Path
) -> None:
    if settings is not None:
        (tmp_path / "own.yaml").write_text(settings)
        options = [*options, "--config=own.yaml"]
    with pytest.raises(_AskedError):
        fit([*SHORT, *options], show_progress=False)
    assert [str(path) for path in Path("runs").glob("*/*")] == [folder]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--run.verison=x", r"options: .*, got --run\.verison\. Did you mean --run\.version\?"),
        ("--config=own.yaml", r"run\.name: expected a string or null, got '2026'"),
    ],
)
def test_names_that_a_run_without_folds_does_not_take_are_refused(option: str, message: str) -> None:
    Path("own.yaml").write_text("run:\n  name: 2026\n")
    with pytest.raises(InputError, match=message):
        fit([*SHORT, option], show_progress=False)
    assert not Path("runs").exists()


def test_a_member_that_another_process_trains_is_left_alone() -> None:
    options = [*SHORT, "--run.version=night"]
    with pytest.raises(_AskedError):
        fit(options, show_progress=False)
    member = Path("runs/inn_stems/night/folds/0")
    member.mkdir()
    (member / "rejected.csv").write_text("row\n")
    refusal = r"^run\.version: expected members that no other command is training, got .*; --only_folds names others"
    with (member / ".lock").open("w") as file:
        # Another open file stands for another process.
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=refusal):
            fit(options, show_progress=False)
        (member / "checkpoints").mkdir()
        (member / "checkpoints" / "last.ckpt").touch()
        with pytest.raises(InputError, match=refusal):
            fit(options, show_progress=False)
        (member / "checkpoints" / "last.ckpt").unlink()
        assert (member / "rejected.csv").is_file()
    with pytest.raises(_AskedError):
        fit(options, show_progress=False)
    assert not member.exists()


def test_members_are_tracked_as_the_command_says_also_when_they_go_on(asked: list[Sequence[str]]) -> None:
    options = [*SHORT, "--run.version=night", "--tracking.tags=[a, b]", "--tracking.entity=team"]
    with pytest.raises(_AskedError):
        fit(options, show_progress=False)
    member = Path("runs/inn_stems/night/folds/0")
    (member / "checkpoints").mkdir(parents=True)
    (member / "checkpoints/last.ckpt").touch()
    with pytest.raises(_AskedError):
        fit([*options, "--tracking.project=other"], show_progress=False)
    fresh, resumed = (split_command_line(words).layer().settings for words in asked)
    assert "ckpt_path" not in fresh
    assert resumed["ckpt_path"] == str(member / "checkpoints/last.ckpt")
    expected = {"wandb": "disabled", "entity": "team", "tags": ["a", "b"], "notes": None}
    expected |= {"name": "inn_stems night fold 0", "group": "inn_stems night"}
    assert fresh["tracking"].items() >= {**expected, "project": "tailmol"}.items()
    assert resumed["tracking"].items() >= {**expected, "project": "other"}.items()


def test_another_task_of_the_job_claims_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    on_slurm(monkeypatch, task=1)
    options = [*SHORT, "--trainer.devices=2", "--trainer.strategy=ddp", "--run.version=night"]
    with pytest.raises(_AskedError):
        fit(options, show_progress=False)
    assert not Path("runs/inn_stems/night/folds.yaml").exists()


@pytest.mark.parametrize(
    ("slurm", "settings", "is_first"),
    [
        ({"task": 0}, {"devices": 2, "strategy": "ddp"}, True),
        ({"task": 1}, {"devices": 2, "strategy": "ddp"}, False),
        # Lightning starts the second process itself.
        ({"task": 1, "JOB_NAME": "bash"}, {"devices": 2, "strategy": "ddp"}, True),
        # A worker of a benchmark trains alone.
        ({"task": 1}, {"devices": 1}, True),
    ],
)
def test_the_first_task_of_a_job_is_the_first_process(
    slurm: dict[str, Any], settings: dict[str, Any], is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_slurm(monkeypatch, **slurm)
    assert idle_trainer({**USUAL, **settings}).is_global_zero == is_first


@pytest.mark.parametrize("node", [0, 1])
def test_the_first_node_has_the_first_process(node: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_RANK", str(node))
    assert idle_trainer({**USUAL, "devices": 2, "num_nodes": 2, "strategy": "ddp"}).is_global_zero == (node == 0)


def test_commands_that_start_together_agree_on_their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    run, others = RunSettings(version="night"), []
    other = threading.Thread(target=lambda: others.append(fit_folds.claim_folder(run, "drugs.csv", "folds: 5", True)))

    def claim_slowly(*given: Any) -> RunFolder:
        folder = claim_run_folder(*given)
        # As a plan that is being written.
        (folder.path / ".folds.yaml.part").touch()
        other.start()
        other.join(timeout=0.5)
        return folder

    monkeypatch.setattr(fit_folds, "claim_run_folder", claim_slowly)
    assert fit_folds.claim_folder(run, "drugs.csv", "folds: 5", True).is_new
    other.join()
    assert [(folder.path, folder.is_new) for folder in others] == [(Path("runs/drugs/night"), False)]
    with pytest.raises(InputError, match=r"run\.version: expected the settings that the run in runs/drugs/night was"):
        fit_folds.claim_folder(run, "drugs.csv", "folds: 3", True)
    assert [path.name for path in Path("runs/drugs").iterdir()] == ["night"]


def test_all_tasks_of_a_job_look_for_members_in_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in (0, 1):
        on_slurm(monkeypatch, task=task)
        claimed = fit_folds.claim_folder(RunSettings(), "drugs.csv", "folds: 5", is_first=task == 0)
        assert claimed.path == Path("runs/drugs/job_7")
    # The job was restarted.
    on_slurm(monkeypatch, task=0)
    assert fit_folds.claim_folder(RunSettings(), "drugs.csv", "folds: 5", is_first=True).path == claimed.path


def test_a_refused_ensemble_leaves_nothing(tmp_path: Path) -> None:
    fit_folds.claim_folder(RunSettings(version="night"), "drugs.csv", "folds: 5", True).discard()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_another_run_is_refused() -> None:
    used = Path("runs/drugs/night")
    used.mkdir(parents=True)
    (used / "metrics.csv").touch()
    with pytest.raises(InputError, match=r"run\.version: expected a new or empty folder, got runs/drugs/night"):
        fit_folds.claim_folder(RunSettings(version="night"), "drugs.csv", "folds: 5", True)
    assert [path.name for path in used.parent.iterdir()] == ["night"]
