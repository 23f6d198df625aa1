"""Settings and data description of a checkpoint, read without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.errors import InputError
from datamodules.drug_task import DrugTask
from modules.saved_settings.plain_values import plain_settings

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint written by `lightning fit`.

    Attributes:
        path: Path of the file.
        settings: Settings of the run, as plain types; the classes in them are not checked yet.
        task: Description of the data that the model was built for.
    """

    path: Path
    settings: dict[str, Any]
    task: DrugTask

    def state_dict(self) -> dict[str, Tensor]:
        """Read the parameters and buffers of the model to the CPU."""
        import torch

        state: dict[str, Tensor] = torch.load(self.path, map_location="cpu", weights_only=True)["state_dict"]
        return state


def read_checkpoint(path: Path, setting: str = "ckpt_path") -> Checkpoint:
    """Read the settings and the task of a checkpoint.

    Args:
        path: Checkpoint written by `lightning fit`.
        setting: Name of the setting that gave the path, for error messages.

    Raises:
        InputError: If the file is missing, damaged, or not a valid tailmol checkpoint.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{setting}: expected a checkpoint file, but there is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return Checkpoint(path, plain_settings(content["run_config"]), DrugTask.from_dict(content["drug_task"]))
    except Exception as error:
        raise InputError(f"{setting}: {path} is not a valid tailmol checkpoint ({error}).") from error
