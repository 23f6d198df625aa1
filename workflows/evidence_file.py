"""The file beside a checkpoint that predictions are compared with."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from callbacks.recluster import Recluster
    from modules.drug_classifier import DrugClassifier
    from modules.evaluation.prediction_evidence import PredictionEvidence

_log = logging.getLogger("tailmol")


def evidence_path(checkpoint: Path) -> Path:
    """Where the evidence of a checkpoint lies: `best.evidence.npz` beside `best.ckpt`."""
    return checkpoint.with_suffix(".evidence.npz")


def write_evidence(trainer: Trainer, model: DrugClassifier, recluster: Recluster, checkpoint: Path) -> None:
    """Write the evidence beside a checkpoint, from the first process; all processes must call it.

    Args:
        trainer: It has trained the model; its data module is a `DrugDataModule`.
        model: With the weights of the checkpoint.
        recluster: How the run reclusters.
        checkpoint: The file.
    """
    from callbacks.evidence_writer import find_evidence

    evidence = find_evidence(trainer, model, recluster, encoder_digest(checkpoint))
    if trainer.is_global_zero:
        evidence.save(evidence_path(checkpoint))


def find_evidence_of(checkpoint: Path) -> PredictionEvidence | None:
    """The evidence of a checkpoint, or None, which is said, where there is no file or it is of other weights.

    Args:
        checkpoint: The file.

    Raises:
        InputError: If the evidence is damaged.
    """
    from modules.evaluation.prediction_evidence import load_evidence

    path = evidence_path(checkpoint)
    if not path.is_file():
        _log.info(f"There is no {path}, so predictions come without sub-clusters and out_of_distribution.")
        return None
    evidence = load_evidence(path)
    if evidence.checkpoint != encoder_digest(checkpoint):
        _log.warning(f"{path} is of other weights than {checkpoint}; predictions come without it.")
        return None
    return evidence


def encoder_digest(checkpoint: Path) -> str:
    """A hash of the encoder's weights, which decide the embeddings.

    Args:
        checkpoint: A file that `lightning fit` wrote.
    """
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith("encoder."):
            digest.update(name.encode())
            digest.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]
