"""The setting `init_from`: the trained model whose encoder a run starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from base.errors import InputError
from callbacks.initial_encoder import InitialEncoder
from modules.checkpoint_file import checkpoint_to_predict_with
from modules.drug_classifier import DrugClassifier


def read_initial_encoder(path: Path, settings: Mapping[str, Any], trust: Sequence[str]) -> InitialEncoder:
    """Read the encoder of a trained model, the first one of an ensemble.

    Args:
        path: Folder of a run, or a checkpoint.
        settings: Settings of the run that starts from it, as plain types.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        InputError: If there is no valid checkpoint, or its encoder has other settings.
    """
    source = checkpoint_to_predict_with(path)
    trained = DrugClassifier.load_from_checkpoint(source, setting="init_from", trust=trust)
    assert trained.run_config is not None and trained.task is not None  # noqa: PT018
    differing = _difference(trained.run_config["model"]["encoder"], settings["model"]["encoder"], "model.encoder")
    if differing is not None:
        name, known, given = differing
        raise InputError(f"init_from: expected {name} to be {known!r}, as in {source}, got {given!r}.")
    return InitialEncoder(source, trained.task, trained.network.encoder.state_dict())


def _difference(known: Any, given: Any, name: str) -> tuple[str, Any, Any] | None:
    """The first setting with different values: its name, and both values."""
    if not isinstance(known, dict) or not isinstance(given, dict):
        return None if known == given else (name, known, given)
    inner = (_difference(known.get(one), given.get(one), f"{name}.{one}") for one in {**known, **given})
    return next((found for found in inner if found is not None), None)
