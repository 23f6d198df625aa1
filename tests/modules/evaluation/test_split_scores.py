"""The collection of the scores of a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from base.errors import InputError
from modules.evaluation.split_scores import ScoreCollector, SplitScores, scores_path
from tests.modules.small_model import make_batch


def test_scores_are_those_of_all_batches_in_order_and_forgotten() -> None:
    batch = make_batch()
    logits = torch.randn(len(batch), 3, generator=torch.Generator().manual_seed(0))
    collector = ScoreCollector(3)
    at_prior = logits.argmax(dim=1)
    collector.add(batch, logits, at_prior)
    collector.add(replace(batch, sample_index=batch.sample_index + 100), logits.half(), 2 - at_prior)
    scores = collector.take(torch.device("cpu"))
    assert scores.rows.tolist() == [*batch.sample_index.tolist(), *(batch.sample_index + 100).tolist()]
    assert scores.labels.tolist() == batch.labels.tolist() * 2
    assert scores.at_prior.tolist() == torch.cat([at_prior, 2 - at_prior]).tolist()
    assert scores.logits.dtype == torch.float32
    torch.testing.assert_close(scores.logits[: len(batch)], logits)
    assert collector.take(torch.device("cpu")).logits.shape == (0, 3)


def test_infinite_scores_are_refused_and_forgotten() -> None:
    batch, collector = make_batch(), ScoreCollector(2)
    collector.add(batch, torch.full((len(batch), 2), torch.inf), batch.labels)
    with pytest.raises(InputError, match=r"^the reason$"):
        collector.take_finite(torch.device("cpu"), "the reason")
    assert len(collector.take(torch.device("cpu")).rows) == 0
    assert len(collector.take_finite(torch.device("cpu"), "unused").rows) == 0


def test_finite_scores_are_the_same_and_others_are_refused() -> None:
    scores = made()
    assert scores.finite("unused") is scores
    with pytest.raises(InputError, match=r"^the reason$"):
        replace(scores, logits=scores.logits.log()).finite("the reason")


def made() -> SplitScores:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, generator=generator)
    return SplitScores(torch.tensor([4, 0, 9]), torch.tensor([1, 0, 1]), logits, torch.tensor([0, 0, 1]))


def test_saved_scores_are_loaded_to_the_last_bit_and_without_pickle(tmp_path: Path) -> None:
    path = scores_path(tmp_path / "best.ckpt")
    assert path.name == "best.scores.npz"
    made().save(path)
    loaded = SplitScores.load(path, 2)
    for name in ("rows", "labels", "logits", "at_prior"):
        assert torch.equal(getattr(loaded, name), getattr(made(), name))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    ones = numpy.ones(1, dtype=numpy.int64)
    numpy.savez(path, rows=numpy.array([object()]), labels=ones, logits=ones, at_prior=ones)
    with pytest.raises(InputError, match="is not a valid file of scores"):
        SplitScores.load(path, 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"logits": torch.zeros(3, 3)},
        {"logits": torch.zeros(3, 2, dtype=torch.float64)},
        {"logits": torch.full((3, 2), torch.nan)},
        {"labels": torch.tensor([0, 1, 2])},
        {"labels": torch.tensor([0, 1])},
        {"labels": torch.zeros(3)},
        {"rows": torch.zeros(4, dtype=torch.int64)},
        {"at_prior": torch.tensor([0, 1, -1])},
        {"at_prior": torch.tensor([0, 1])},
    ],
)
def test_scores_that_do_not_fit_are_refused(changed: dict[str, torch.Tensor], tmp_path: Path) -> None:
    replace(made(), **changed).save(tmp_path / "scores.npz")
    with pytest.raises(InputError, match=r"^scores: .* is not a valid file of scores \("):
        SplitScores.load(tmp_path / "scores.npz", 2)


def test_scores_of_the_other_kind_of_samples_are_refused(tmp_path: Path) -> None:
    several = torch.tensor([[0, 1], [1, -1], [0, 0]])
    made().save(tmp_path / "one.npz")
    replace(made(), labels=several, at_prior=several.clamp(0)).save(tmp_path / "several.npz")
    assert SplitScores.load(tmp_path / "several.npz", 2, several=True).labels.equal(several)
    with pytest.raises(InputError, match=r"\(labels: expected several labels a sample, got one label\)\.$"):
        SplitScores.load(tmp_path / "one.npz", 2, several=True)
    with pytest.raises(InputError, match=r"\(labels: expected one label a sample, got several labels\)\.$"):
        SplitScores.load(tmp_path / "several.npz", 2, several=False)


def test_scores_in_order_and_of_some_samples() -> None:
    assert made().in_order().rows.tolist() == [0, 4, 9]
    assert made().in_order().labels.tolist() == [0, 1, 1]
    assert made().part(torch.tensor([True, False, True])).rows.tolist() == [4, 9]
