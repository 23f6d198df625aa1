"""Paths in a checkpoint lead to files of the run alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callbacks.own_checkpoints import own_paths


def state(*paths: str, score: float = 0.5) -> dict[str, Any]:
    return {
        "dirpath": "/elsewhere",
        "best_model_score": score,
        "best_model_path": paths[0],
        "kth_best_model_path": paths[0],
        "kth_value": score,
        "last_model_path": "",
        "best_k_models": dict.fromkeys(paths, score),
    }


def test_a_moved_run_finds_its_best_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    found = own_paths(state("/from/another/machine/best.ckpt"), tmp_path, 1)
    best = str(tmp_path / "best.ckpt")
    assert found == {**state(best), "dirpath": str(tmp_path)}


def test_paths_of_other_files_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    (folder / "folder.ckpt").mkdir(parents=True)
    (folder / "best.evidence.npz").touch()
    (tmp_path / "config.yaml").touch()
    for path in ("", "gone.ckpt", "folder.ckpt", "best.evidence.npz", f"{folder}/../config.yaml", "file:///x.ckpt"):
        found = own_paths(state(path), folder, 1)
        assert found["best_model_path"] == found["kth_best_model_path"] == ""
        assert found["best_k_models"] == {}


def test_the_worst_checkpoint_is_one_of_the_best(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    found = own_paths({**state("best.ckpt"), "kth_best_model_path": "other.ckpt"}, tmp_path, 1)
    assert found["best_k_models"] == {}
    assert found["best_model_path"] == str(tmp_path / "best.ckpt")


def test_fewer_checkpoints_than_are_kept_stay_known(tmp_path: Path) -> None:
    (tmp_path / "one.ckpt").touch()
    (tmp_path / "two.ckpt").touch()
    saved = {**state("one.ckpt", "two.ckpt"), "kth_best_model_path": ""}
    expected = {str(tmp_path / name): 0.5 for name in ("one.ckpt", "two.ckpt")}
    assert [own_paths(saved, tmp_path, most)["best_k_models"] for most in (3, -1, 2)] == [expected, expected, {}]
