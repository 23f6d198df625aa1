"""The collection of the scores of a split."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from base.errors import InputError
from modules.evaluation.split_scores import ScoreCollector
from tests.modules.small_model import make_batch


def test_scores_are_those_of_all_batches_in_order_and_forgotten() -> None:
    batch = make_batch()
    logits = torch.randn(len(batch), 3, generator=torch.Generator().manual_seed(0))
    collector = ScoreCollector(3)
    collector.add(batch, logits)
    collector.add(replace(batch, sample_index=batch.sample_index + 100), logits.half())
    scores = collector.take(torch.device("cpu"), "unused")
    assert scores.rows.tolist() == [*batch.sample_index.tolist(), *(batch.sample_index + 100).tolist()]
    assert scores.labels.tolist() == batch.labels.tolist() * 2
    assert scores.logits.dtype == torch.float32
    torch.testing.assert_close(scores.logits[: len(batch)], logits)
    assert collector.take(torch.device("cpu"), "unused").logits.shape == (0, 3)


def test_infinite_scores_are_refused_and_forgotten() -> None:
    batch, collector = make_batch(), ScoreCollector(2)
    collector.add(batch, torch.full((len(batch), 2), torch.inf))
    with pytest.raises(InputError, match=r"^the reason$"):
        collector.take(torch.device("cpu"), "the reason")
    assert len(collector.take(torch.device("cpu"), "unused").rows) == 0
