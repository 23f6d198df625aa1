"""Settings and data description of a checkpoint, read without pickle."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.atomic_file import write_binary
from base.errors import InputError
from datamodules.drug_task import DrugTask
from modules.run_layout import BEST, best_checkpoint, final_checkpoint
from modules.saved_settings.plain_values import plain_settings

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("tailmol")

_DECISION = "decision."
"""Prefix of the names of the decision's state."""

OF_LIGHTNING = ("epoch", "global_step", "pytorch-lightning_version")
"""What Lightning needs of a checkpoint that is not resumed."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint written by `lightning fit`.

    Attributes:
        path: Path of the file.
        settings: Settings of the run, as plain types; the classes in them are not checked yet.
        task: Description of the data that the model was built for.
        decision: Settings of the objective that chose the decision, as plain types; empty before the choice.
        epoch: Epoch in which it was written, from 0; None if unknown.
    """

    path: Path
    settings: dict[str, Any]
    task: DrugTask
    decision: dict[str, Any] = field(default_factory=dict)
    epoch: int | None = None

    @property
    def is_refit(self) -> bool:
        """Whether all rows of the table have trained the model, so that none could choose its decision or test it."""
        return bool((self.settings.get("data") or {}).get("train_on_all"))

    @property
    def measured(self) -> Path:
        """The checkpoint whose scores choose the decision: `best.ckpt` beside that of a refit, else this one."""
        return self.path.with_name(BEST) if self.is_refit else self.path

    def state_dict(self) -> dict[str, Tensor]:
        """Read the parameters and buffers of the model to the CPU."""
        import torch

        state: dict[str, Tensor] = torch.load(self.path, map_location="cpu", weights_only=True)["state_dict"]
        return state

    def decision_state(self) -> dict[str, Any]:
        """Read the state of the decision to the CPU, as its `load_state_dict` takes it."""
        own = self.state_dict().items()
        return {name.removeprefix(_DECISION): value for name, value in own if name.startswith(_DECISION)}


def read_checkpoint(path: Path, setting: str = "ckpt_path") -> Checkpoint:
    """Read the settings and the task of a checkpoint.

    Args:
        path: Checkpoint written by `lightning fit`.
        setting: Name of the setting that gave the path, for error messages.

    Raises:
        InputError: If the file is missing, damaged, or not a valid tailmol checkpoint.
    """
    import torch

    if path.is_dir():
        raise InputError(
            f"{setting}: expected a checkpoint file such as {best_checkpoint(path)}, got the folder {path}."
        )
    if not path.is_file():
        raise InputError(f"{setting}: expected a checkpoint file, but there is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        settings, decision = plain_settings(content["run_config"]), plain_settings(content.get("decision", {}))
        epoch = content.get("epoch")
        known = epoch if isinstance(epoch, int) else None
        return Checkpoint(path, settings, DrugTask.from_dict(content["drug_task"]), decision, known)
    except Exception as error:
        raise InputError(f"{setting}: {path} is not a valid tailmol checkpoint ({error}).") from error


def checkpoint_to_predict_with(path: Path) -> Path:
    """The checkpoint of a run that predicts: that of its refit, or else the best one.

    Args:
        path: Folder of a run, or a checkpoint, which is returned.
    """
    if not path.is_dir():
        return path
    best = best_checkpoint(path)
    final = final_checkpoint(best)
    if final is not None:
        _log.info(f"{final} predicts, which was trained on all rows; best.ckpt beside it was tested.")
    return final or best


def weights_digest(path: Path) -> str:
    """Compute a hash of all tensors of a checkpoint's model that its scores depend on, which are not the decision's.

    Args:
        path: Checkpoint written by `lightning fit`.

    Returns:
        32 hexadecimal digits.
    """
    return tensors_digest(path, lambda name: not name.startswith(_DECISION))


def tensors_digest(path: Path, is_counted: Callable[[str], bool]) -> str:
    """Compute a hash, as `weights_digest` does, of the tensors whose names a function chooses."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        if isinstance(state[name], torch.Tensor) and is_counted(name):
            digest.update(name.encode())
            digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def write_decision(path: Path, state: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Replace the decision of a checkpoint, atomically; everything else in it stays the same.

    Args:
        path: Checkpoint written by `lightning fit`.
        state: State of the new decision, as its `state_dict` returns it.
        settings: Settings of the objective that chose it, as plain types.

    Raises:
        DiskFullError: If no space is left; the checkpoint is unchanged.
    """
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    own = {f"{_DECISION}{name}": _to_cpu(value) for name, value in state.items()}
    _write(path, _with_decision(content, own, settings))


def write_refit(path: Path, refit: Path, best: Path) -> None:
    """Write the checkpoint of a refit with the decision of the best checkpoint, atomically.

    Args:
        path: The file to write.
        refit: Checkpoint of the refit, as its training left it.
        best: The best checkpoint of the run.

    Raises:
        DiskFullError: If no space is left; an existing file is unchanged.
    """
    import torch

    trained, tested = (torch.load(one, map_location="cpu", weights_only=True) for one in (refit, best))
    kept = {name: trained[name] for name in (*OF_LIGHTNING, "state_dict", "drug_task", "run_config")}
    own = {name: value for name, value in tested["state_dict"].items() if name.startswith(_DECISION)}
    _write(path, _with_decision(kept, own, tested["decision"]))


def _with_decision(content: dict[str, Any], own: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "state_dict": {**content["state_dict"], **own}, "decision": dict(settings)}


def _write(path: Path, content: dict[str, Any]) -> None:
    import torch

    write_binary(path, lambda file: torch.save(content, file))


def _to_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_cpu(inner) for name, inner in value.items()}
    return value.cpu() if hasattr(value, "cpu") else value
