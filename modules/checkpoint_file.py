"""What a checkpoint says about how it was made, read without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.errors import InputError
from datamodules.drug_task import DrugTask

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of `lightning fit`.

    Attributes:
        path: The file.
        settings: The settings of the run, as plain types.
        task: What the model knows about its data.
    """

    path: Path
    settings: dict[str, Any]
    task: DrugTask

    def state_dict(self) -> dict[str, Tensor]:
        """The weights and buffers of the model, on the CPU."""
        import torch

        state: dict[str, Tensor] = torch.load(self.path, map_location="cpu", weights_only=True)["state_dict"]
        return state


def read_checkpoint(path: Path, setting: str = "ckpt_path") -> Checkpoint:
    """Read the settings and the task of a checkpoint.

    Args:
        path: A checkpoint that `lightning fit` wrote.
        setting: The setting that named the file, for messages.

    Raises:
        InputError: If the file is missing, damaged, or not a valid tailmol checkpoint.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{setting}: expected a checkpoint file, but there is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return Checkpoint(path, dict(content["run_config"]), DrugTask.from_dict(content["drug_task"]))
    except Exception as error:
        raise InputError(f"{setting}: {path} is not a valid tailmol checkpoint ({error}).") from error
