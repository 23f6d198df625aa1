"""Keeps a resumed run within its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


class OwnCheckpoints(lightning.Callback):
    """Replaces the paths that a checkpoint holds by files of the same names in the folder of the run.

    Lightning would test, overwrite or delete what these paths name, wherever it is; a run whose folder was moved would
    not find its best checkpoint.
    """

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Replace the paths before the callbacks that write checkpoints read them."""
        states = checkpoint.get("callbacks") or {}
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.state_key in states:
                state = states[callback.state_key]
                states[callback.state_key] = own_paths(state, Path(str(callback.dirpath)), callback.save_top_k)


def own_paths(state: dict[str, Any], folder: Path, most: int) -> dict[str, Any]:
    """Replace the paths in the state of a `ModelCheckpoint`.

    Args:
        state: The state.
        folder: The folder of the checkpoints.
        most: Number of the best checkpoints that are kept, as of `save_top_k`.

    Returns:
        The state with paths in this folder alone; empty text where there is no such file.
    """

    def own(path: object) -> str:
        found = folder / Path(str(path)).name
        return str(found) if found.suffix == ModelCheckpoint.FILE_EXTENSION and found.is_file() else ""

    paths = {name: own(state.get(name, "")) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    best = {own(path): score for path, score in state.get("best_k_models", {}).items() if own(path)}
    # While there are fewer than are kept, none of them is named as the worst one.
    unfinished = not state.get("kth_best_model_path") and (most < 0 or len(best) < most)
    if paths["kth_best_model_path"] not in best and not unfinished:
        best, paths["kth_best_model_path"] = {}, ""
    return {**state, **paths, "dirpath": str(folder), "best_k_models": best}
