"""What a checkpoint says about how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from base.errors import InputError
from datamodules.drug_task import DrugTask

if TYPE_CHECKING:
    from modules.drug_classifier import DrugClassifier


def read_checkpoint(path: Path, setting: str = "ckpt_path") -> tuple[dict[str, Any], DrugTask]:
    """Read the settings and the task of a checkpoint, without pickle.

    Args:
        path: A checkpoint that `lightning fit` wrote.
        setting: Where the user named it.

    Returns:
        The settings of the run, as plain types, and what its model knows of its data.

    Raises:
        InputError: If the file is missing, damaged, or not such a checkpoint.
    """
    import torch

    if not path.is_file():
        raise InputError(f"{setting}: there is no file {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return dict(checkpoint["run_config"]), DrugTask.from_dict(checkpoint["drug_task"])
    except Exception as error:
        raise InputError(f"{setting}: {path} is no whole checkpoint of lightning fit ({error}).") from error


def load_model(path: Path, setting: str = "ckpt_path") -> DrugClassifier:
    """Make the model of a checkpoint, with its weights, on the CPU.

    Args:
        path: A checkpoint that `lightning fit` wrote.
        setting: Where the user named it.

    Raises:
        InputError: If the file is missing, damaged, or not such a checkpoint.
    """
    import torch
    from jsonargparse import ArgumentParser

    from modules.drug_classifier import DrugClassifier

    settings, _ = read_checkpoint(path, setting)
    parser = ArgumentParser()
    parser.add_class_arguments(DrugClassifier, "model")
    model = parser.instantiate(parser.parse_object({"model": settings["model"]})).model
    assert isinstance(model, DrugClassifier)
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    return model
