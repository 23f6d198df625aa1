"""Checkpoints of a run that may be resumed in another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint callback that keeps the best score when the folder of the run was moved or is a new one.

    Lightning forgets it then, so that the next epoch would replace the best checkpoint whatever its metric, and warns
    of the folder.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state; files that are in the present folder, too, are those of this run."""
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                **{
                    name: self._here(state_dict[name])
                    for name in ("best_model_path", "kth_best_model_path", "last_model_path")
                    if name in state_dict
                },
                "best_k_models": {self._here(path): score for path, score in state_dict["best_k_models"].items()},
            }
        )

    def _here(self, path: str) -> str:
        here = Path(self.dirpath or "") / Path(path).name
        return str(here) if path and here.is_file() else path
