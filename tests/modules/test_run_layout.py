"""A checkpoint belongs to the run in whose folder of checkpoints it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.run_layout import best_checkpoint, final_checkpoint, folder_of, is_best, last_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with its checkpoints."""
    folder = tmp_path / "runs/drugs/version_0"
    (folder / "checkpoints").mkdir(parents=True)
    for path in (best_checkpoint(folder), last_checkpoint(folder)):
        path.touch()
    return folder


def test_the_folder_of_a_checkpoint(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder_of(best_checkpoint(run)) == folder_of(last_checkpoint(run)) == run
    link = tmp_path / "mine.ckpt"
    link.symlink_to(best_checkpoint(run))
    assert folder_of(link) == run
    monkeypatch.chdir(run / "checkpoints")
    assert folder_of(Path("last.ckpt")) == run


def test_a_checkpoint_elsewhere_belongs_to_no_run(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "models/best.ckpt") is None
    assert folder_of(tmp_path / "checkpoints/older/best.ckpt") is None


def test_the_best_checkpoint_is_told_by_its_place(run: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(run)
    assert is_best(best_checkpoint(link), run)
    assert is_best(best_checkpoint(run), link)
    assert not is_best(last_checkpoint(run), run)
    assert not is_best(run / "best.ckpt", run)


def test_only_the_best_checkpoint_has_a_refit(run: Path) -> None:
    assert final_checkpoint(best_checkpoint(run)) is None
    (run / "checkpoints/final.ckpt").touch()
    assert final_checkpoint(best_checkpoint(run)) == run / "checkpoints/final.ckpt"
    assert final_checkpoint(last_checkpoint(run)) is None
