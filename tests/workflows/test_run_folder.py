"""Which folder a run gets."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import InputError
from workflows.run_folder import RunFolder, RunSettings, claim_run_folder, find_interrupted
from workflows.run_lock import LOCK, lock_folder, unlocking_folders

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_locks_left() -> Iterator[None]:
    with unlocking_folders():
        yield


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "LOCAL_RANK",
        "SLURM_JOB_ID",
        "SLURM_NTASKS",
        "SLURM_STEP_ID",
        "SLURM_RESTART_COUNT",
        "TORCHELASTIC_RUN_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_each_run_gets_the_next_version_of_its_data_set() -> None:
    settings = RunSettings()
    folders = [claim_run_folder(settings, "data/my_drugs.tab.gz", None).path for _ in range(3)]
    assert [str(folder) for folder in folders] == [f"runs/my_drugs/version_{number}" for number in range(3)]
    assert all(folder.is_dir() for folder in folders)


def test_names_given_by_the_user_are_used() -> None:
    settings = RunSettings(root="here", name="trial", version="best")
    folder = claim_run_folder(settings, "x.csv", None).path
    assert folder == Path("here/trial/best")
    (folder / "metrics.csv").touch()
    with pytest.raises(InputError, match=r"run.version: expected a new or empty folder, got here/trial/best"):
        claim_run_folder(settings, "x.csv", None)


def test_a_resumed_run_goes_on_in_its_folder_unless_a_version_is_given(tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs/x/version_4/checkpoints/last.ckpt"
    assert claim_run_folder(RunSettings(), "x.csv", checkpoint).path == tmp_path / "runs/x/version_4"
    assert claim_run_folder(RunSettings(version="new"), "x.csv", checkpoint).path == Path("runs/x/new")
    assert claim_run_folder(RunSettings(), "x.csv", Path("somewhere/last.ckpt")).path == Path("runs/x/version_0")


def test_a_resumed_run_removes_what_it_has_left_unfinished_and_nothing_else(tmp_path: Path) -> None:
    run, name = tmp_path / "runs/x/version_4", f".last.ckpt.{'0a' * 16}"
    own = [run / name, run / "checkpoints" / name, run / "class_means" / name]
    other = [run / "wandb" / name, tmp_path / name, run.parent / name, run.with_name("version_5") / name]
    copied = [tmp_path / "copies" / name, tmp_path / "copies/checkpoints" / name]
    for path in [*own, *other, *copied]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (run / "config.yaml").touch()
    claim_run_folder(RunSettings(), "x.csv", run / "checkpoints/last.ckpt")
    # No run has written this folder, although it has the name.
    claim_run_folder(RunSettings(), "x.csv", tmp_path / "copies/checkpoints/last.ckpt")
    assert [path.exists() for path in own] == [False] * 3
    assert all(path.exists() for path in [*other, *copied])


def checkpoint_of(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").touch()
    return folder / "checkpoints/last.ckpt"


def test_a_restarted_job_finds_the_checkpoint_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RunSettings()
    assert find_interrupted(settings, "x.csv") is None
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert find_interrupted(settings, "x.csv") is None
    last = checkpoint_of(Path("runs/x/job_77"))
    assert find_interrupted(settings, "x.csv") == last
    assert find_interrupted(settings, "y.csv") is None
    # A run of one process is not named by its job, which may start several runs.
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert find_interrupted(settings, "x.csv") is None


def test_a_restarted_job_continues_a_run_that_the_user_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, last = RunSettings(version="mine"), checkpoint_of(Path("runs/x/mine"))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert find_interrupted(settings, "x.csv") is None
    with pytest.raises(InputError, match=r"run.version: expected a new or empty folder"):
        claim_run_folder(settings, "x.csv", None)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert find_interrupted(settings, "x.csv") == last
    assert claim_run_folder(settings, "x.csv", None).path == Path("runs/x/mine")


def test_a_folder_is_removed_only_if_nothing_was_written() -> None:
    empty, used = (claim_run_folder(RunSettings(), "x.csv", None) for _ in range(2))
    (used.path / "metrics.csv").touch()
    for folder in (empty, used, RunFolder(Path("runs/none"))):
        folder.remove_if_empty()
    assert (empty.path.exists(), used.path.exists()) == (False, True)


def test_only_folders_that_the_run_created_are_removed_with_it(tmp_path: Path) -> None:
    claim_run_folder(RunSettings("a/b/runs"), "x.csv", None).remove_if_empty()
    assert list(tmp_path.iterdir()) == []
    Path("a").mkdir()
    claim_run_folder(RunSettings("a/b/runs"), "x.csv", None).remove_if_empty()
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


@pytest.mark.parametrize("version", [None, "mine"])
def test_a_refused_run_leaves_nothing(tmp_path: Path, version: str | None) -> None:
    folder = claim_run_folder(RunSettings(version=version), "x.csv", None)
    (folder.path / "wandb").mkdir()
    (folder.path / "wandb" / "log").touch()
    (folder.path / "config.yaml").touch()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_empties_the_folder_that_it_was_given() -> None:
    Path("runs/x/mine").mkdir(parents=True)
    folder = claim_run_folder(RunSettings(version="mine"), "x.csv", None)
    (folder.path / "config.yaml").touch()
    folder.discard()
    assert list(Path("runs/x/mine").iterdir()) == []


def test_a_refused_run_that_was_resumed_keeps_its_folder(tmp_path: Path) -> None:
    checkpoint = tmp_path / "runs/x/version_4/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    claim_run_folder(RunSettings(), "x.csv", checkpoint).discard()
    assert checkpoint.is_file()


def test_processes_of_a_cluster_agree_on_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert {claim_run_folder(RunSettings(), "x.csv", None).path for _ in range(2)} == {Path("runs/x/job_77")}
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert claim_run_folder(RunSettings(), "x.csv", None).path == Path("runs/x/job_77")
    monkeypatch.setenv("SLURM_STEP_ID", "1")
    assert {claim_run_folder(RunSettings(), "x.csv", None).path for _ in range(2)} == {Path("runs/x/job_77_1")}


def test_jobs_of_torchrun_that_have_the_same_name_get_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_PORT", "29500")
    first, second = (claim_run_folder(RunSettings(), "x.csv", None).path for _ in range(2))
    assert first != second


def test_a_folder_in_which_another_process_is_at_work_is_refused_and_left_alone() -> None:
    last = checkpoint_of(run := Path("runs/x/mine"))
    (run / "config.yaml").touch()
    (unfinished := last.with_name(f".last.ckpt.{'0a' * 16}")).touch()
    claims = [("run.version", RunSettings(version="mine"), None), ("ckpt_path", RunSettings(), last)]
    with (run / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for name, settings, resumed in claims:
            sentence = rf"^{name}: expected a folder in which no other process is at work, got \S*runs/x/mine\.$"
            with pytest.raises(InputError, match=sentence):
                claim_run_folder(settings, "x.csv", resumed, exclusive=True)
        assert unfinished.exists()
    claim_run_folder(RunSettings(), "x.csv", last, exclusive=True)
    assert not unfinished.exists()


def test_a_lock_is_no_content_and_is_removed_at_the_end() -> None:
    settings, run = RunSettings(version="mine"), Path("runs/x/mine")
    run.mkdir(parents=True)
    # As a killed process leaves it.
    (run / LOCK).touch()
    with unlocking_folders():
        assert claim_run_folder(settings, "x.csv", None, exclusive=True).is_new
        with (run / LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(run.iterdir()) == []
    (run / "metrics.csv").touch()
    with pytest.raises(InputError, match=r"run\.version: expected a new or empty folder"):
        claim_run_folder(settings, "x.csv", None, exclusive=True)
    assert [path.name for path in run.iterdir()] == ["metrics.csv"]


def test_a_locked_folder_is_removed_with_a_refused_run(tmp_path: Path) -> None:
    claim_run_folder(RunSettings(), "x.csv", None, exclusive=True).remove_if_empty()
    assert list(tmp_path.iterdir()) == []
    folder = claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True)
    (folder.path / "config.yaml").touch()
    folder.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("has_copy", [False, True])
def test_the_system_unlocks_the_folder_of_a_killed_process(tmp_path: Path, has_copy: bool) -> None:
    code = "import sys; from pathlib import Path; from workflows.run_lock import lock_folder\n"
    code += "import os; locked = lock_folder(Path(sys.argv[1]))\n"
    # As a worker of a data loader, which lives on for some seconds.
    code += "child = os.fork()\n" if has_copy else "child = 0\n"
    code += "if not child: print(locked, flush=True)\n"
    code += "sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not lock_folder(tmp_path)
        process.kill()
        process.wait()
        assert (tmp_path / LOCK).exists()
        assert lock_folder(tmp_path)


def test_without_locks_nothing_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (run := Path("runs/x/mine")).mkdir(parents=True)
    (run / "rejected.csv").touch()
    with pytest.raises(InputError, match=r"run\.version: expected a new or empty folder"):
        claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True)
    (run / "rejected.csv").unlink()
    assert claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True).path == run


def test_a_job_that_is_put_back_does_not_wait_for_the_lock_of_a_failed_node(monkeypatch: pytest.MonkeyPatch) -> None:
    (run := Path("runs/x/mine")).mkdir(parents=True)
    with (run / LOCK).open("w") as file:
        # Another open file stands for another process.
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"run\.version: expected a folder in which no other process is at work"):
            claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True)
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True).path == run


@pytest.mark.parametrize("written", [["wandb"], ["wandb", "rejected.csv", "splits.csv", "config.yaml", "metrics.csv"]])
def test_a_run_that_was_cut_off_before_its_first_checkpoint_starts_anew(written: list[str]) -> None:
    settings, run = RunSettings(version="mine"), Path("runs/x/mine")
    run.mkdir(parents=True)
    for name in written:
        (run / name).touch()
    folder = claim_run_folder(settings, "x.csv", None, exclusive=True)
    assert folder.path == run
    # The new run would add its rows to those of the old one.
    assert {path.name for path in run.iterdir()} == {*written, LOCK} - {"metrics.csv"}
    # What it had not written is not its own.
    folder.discard()
    assert {path.name for path in run.iterdir()} >= {*written} - {"metrics.csv"}
    # One that has a checkpoint or a result is not begun again.
    for name in ("checkpoints/best.ckpt", "val_metrics.json"):
        (path := run / name).parent.mkdir(exist_ok=True)
        path.touch()
        with pytest.raises(InputError, match=r"run\.version: expected a new or empty folder"):
            claim_run_folder(settings, "x.csv", None, exclusive=True)
        path.unlink()


def test_a_folder_of_other_files_is_no_run_that_was_cut_off() -> None:
    (run := Path("runs/x/mine")).mkdir(parents=True)
    for name in ("config.yaml", "metrics.csv"):
        (run / name).touch()
    with pytest.raises(InputError, match=r"run\.version: expected a new or empty folder"):
        claim_run_folder(RunSettings(version="mine"), "x.csv", None, exclusive=True)
    assert {path.name for path in run.iterdir()} == {"config.yaml", "metrics.csv"}
