"""The file of the evidence of predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from base.errors import InputError
from modules.evaluation.prediction_evidence import encoder_digest, evidence_path, load_evidence
from tests.modules.evaluation.made_evidence import made_evidence


def write_checkpoint(path: Path, weight: float) -> str:
    """A file with the weight of an encoder, and its digest."""
    torch.save({"state_dict": {"network.encoder.weight": torch.tensor([weight]), "head": torch.ones(1)}}, path)
    return encoder_digest(path)


def test_the_file_holds_plain_arrays_and_belongs_to_its_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "best.ckpt"
    with caplog.at_level("INFO", logger="tailmol"):
        assert load_evidence(checkpoint) is None
    assert "so predictions come without nearest training samples" in caplog.text
    evidence = replace(made_evidence(), checkpoint=write_checkpoint(checkpoint, 1.0))
    evidence.save(evidence_path(checkpoint))
    read = load_evidence(checkpoint)
    assert read is not None
    assert (read.checkpoint, read.samples.names) == (evidence.checkpoint, evidence.samples.names)
    numpy.testing.assert_array_equal(read.unseen.rows, evidence.unseen.rows)
    for name in ("codes", "tanimoto", "cosine"):
        numpy.testing.assert_array_equal(getattr(read.unseen.neighbors, name), getattr(evidence.unseen.neighbors, name))
    numpy.testing.assert_array_equal(read.applicability.weights, evidence.applicability.weights)
    with numpy.load(tmp_path / "best.evidence.npz", allow_pickle=False) as file:
        assert not any(file[name].dtype.hasobject for name in file)
    write_checkpoint(checkpoint, 2.0)
    assert load_evidence(checkpoint) is None
    assert "belongs to other weights than" in caplog.text


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.ckpt"
    path = evidence_path(checkpoint)
    made_evidence().save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="is not a valid evidence file"):
        load_evidence(checkpoint)


def test_unseen_samples_of_some_rows() -> None:
    unseen = made_evidence().unseen
    part = unseen.of_rows(numpy.array([3, 7, 99]))
    assert part.rows.tolist() == [3, 7]
    numpy.testing.assert_array_equal(part.neighbors.cosine, unseen.neighbors.cosine[[3, 7]])
