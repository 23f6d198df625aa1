"""Evidence reported with predictions: the nearest training samples, and how often labels like it are right."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from base.atomic_file import write_binary
from base.errors import InputError
from modules.checkpoint_file import tensors_digest
from modules.evaluation.applicability import Applicability
from modules.neighbors.training_samples import Neighbors, TrainingSamples

_log = logging.getLogger("tailmol")

_ENCODER = "network.encoder."


@dataclass(frozen=True)
class UnseenSamples:
    """V samples that training did not see, and their nearest training samples.

    Attributes:
        rows: Row of each sample in its table, int64 (V,), ascending.
        neighbors: The nearest training samples; of an ensemble, those that the member has seen which tested the sample.
    """

    rows: NDArray[Any]
    neighbors: Neighbors

    def of_rows(self, rows: NDArray[Any]) -> UnseenSamples:
        """Those that are among some rows.

        Args:
            rows: The rows, (n,).
        """
        own = numpy.isin(self.rows, rows)
        near = self.neighbors
        return UnseenSamples(self.rows[own], Neighbors(near.codes[own], near.tanimoto[own], near.cosine[own]))


@dataclass(frozen=True)
class PredictionEvidence:
    """What new samples are compared with.

    Attributes:
        checkpoint: `encoder_digest` of the weights that computed the embeddings.
        samples: The training samples.
        unseen: Samples that training did not see.
        applicability: How often labels are right, estimated on these.
    """

    checkpoint: str
    samples: TrainingSamples
    unseen: UnseenSamples
    applicability: Applicability

    def save(self, path: Path) -> None:
        """Write the evidence as an .npz file of plain arrays.

        Args:
            path: Path of the file.
        """
        near = self.unseen.neighbors
        arrays = {
            **self.samples.to_arrays(),
            **self.applicability.to_arrays(),
            "checkpoint": numpy.array(self.checkpoint),
            "unseen_rows": self.unseen.rows,
            "unseen_codes": near.codes,
            "unseen_tanimoto": near.tanimoto,
            "unseen_cosine": near.cosine,
        }
        write_binary(path, lambda file: numpy.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def evidence_path(checkpoint: Path) -> Path:
    """Path of the evidence of a checkpoint, such as `best.evidence.npz` beside `best.ckpt`."""
    return checkpoint.with_suffix(".evidence.npz")


def load_evidence(checkpoint: Path) -> PredictionEvidence | None:
    """Read the evidence of a checkpoint, without pickle.

    Args:
        checkpoint: Checkpoint written by `lightning fit`.

    Returns:
        The evidence; None, with a log message, if there is no file or it belongs to other weights.

    Raises:
        InputError: If the file is damaged.
    """
    path = evidence_path(checkpoint)
    if not path.is_file():
        _log.info(f"There is no {path}, so predictions come without nearest training samples and applicability.")
        return None
    try:
        # Opened here, since numpy leaves a file open that it cannot read.
        with path.open("rb") as opened, numpy.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
        samples, applicability = TrainingSamples.from_arrays(arrays), Applicability.from_arrays(arrays)
        near = (arrays[f"unseen_{name}"] for name in ("codes", "tanimoto", "cosine"))
        unseen = UnseenSamples(arrays["unseen_rows"], Neighbors(*near))
        evidence = PredictionEvidence(str(arrays["checkpoint"]), samples, unseen, applicability)
    except Exception as error:
        raise InputError(f"evidence: {path} is not a valid evidence file ({error}); delete it.") from error
    if evidence.checkpoint != encoder_digest(checkpoint):
        _log.warning(f"{path} belongs to other weights than {checkpoint}; predictions come without it.")
        return None
    return evidence


def encoder_digest(checkpoint: Path) -> str:
    """Compute a hash of the encoder's weights, which determine the embeddings.

    Args:
        checkpoint: Checkpoint written by `lightning fit`.

    Returns:
        32 hexadecimal digits.
    """
    return tensors_digest(checkpoint, lambda name: name.startswith(_ENCODER))
