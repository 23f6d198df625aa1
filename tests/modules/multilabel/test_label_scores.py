"""Scores of single labels against scikit-learn, where some entries are not known."""

from __future__ import annotations

import math
import warnings

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from modules.multilabel.label_scores import label_scores, micro_f1
from tests.modules.multilabel.drawn_labels import Drawn, draw


def expected(drawn: Drawn) -> dict[str, list[float]]:
    """The scores of each label by scikit-learn, NaN where they do not exist."""
    found: dict[str, list[float]] = {}
    for shares, chosen, labels in zip(*(values.T.numpy() for values in drawn), strict=True):
        known = labels >= 0
        shares, chosen, labels = shares[known], chosen[known], labels[known]
        has, has_not = (labels == 1).any(), (labels == 0).any()
        of_label = {
            "average_precision": average_precision_score(labels, shares) if has and has_not else math.nan,
            "auroc": roc_auc_score(labels, shares) if has and has_not else math.nan,
            "recall": recall_score(labels, chosen) if has else math.nan,
            "specificity": recall_score(labels, chosen, pos_label=0) if has_not else math.nan,
            "precision": precision_score(labels, chosen, zero_division=0) if has else math.nan,
            "f1": f1_score(labels, chosen, zero_division=0) if has else math.nan,
        }
        for name, value in of_label.items():
            found.setdefault(name, []).append(float(value))
    return found


def check(drawn: Drawn) -> None:
    found, wanted = label_scores(*drawn), expected(drawn)
    assert set(found) == set(wanted)
    for name, values in found.items():
        assert values.dtype == torch.float32
        numpy.testing.assert_allclose(values.numpy(), wanted[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    check(draw(seed))


@settings(max_examples=60)
@given(data=st.data(), samples=st.integers(1, 8), labels=st.integers(1, 3))
def test_scores_of_few_samples_are_those_of_scikit_learn(data: st.DataObject, samples: int, labels: int) -> None:
    def table(values: st.SearchStrategy[int]) -> torch.Tensor:
        row = st.lists(values, min_size=labels, max_size=labels)
        return torch.tensor(data.draw(st.lists(row, min_size=samples, max_size=samples)))

    check(Drawn(table(st.integers(0, 4)) / 4, table(st.integers(0, 1)), table(st.integers(-1, 1))))


def test_by_hand() -> None:
    shares = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    labels = torch.tensor([[1, 0], [0, 0], [1, -1], [-1, 0]])
    found = label_scores(shares, torch.tensor([[1, 1], [1, 0], [0, 1], [1, 0]]), labels)
    # Of the first label the samples with it are ranked first and third of three.
    assert found["average_precision"][0] == pytest.approx((1 + 2 / 3) / 2)
    assert found["auroc"][0] == pytest.approx(1 / 2)
    assert [found[name][0] for name in ("recall", "specificity", "precision", "f1")] == [0.5, 0, 0.5, 0.5]
    # No sample is known to have the second one.
    assert found["specificity"][1] == pytest.approx(2 / 3)
    assert all(found[name][1].isnan() for name in set(found) - {"specificity"})


def test_what_is_not_known_changes_nothing() -> None:
    drawn = draw(0)
    unknown = drawn.labels == -1
    changed = Drawn(
        drawn.probabilities.masked_fill(unknown, 0.99), drawn.predicted.masked_fill(unknown, 1), drawn.labels
    )
    for name, values in label_scores(*drawn).items():
        assert torch.equal(values, label_scores(*changed)[name])
    assert micro_f1(*drawn[1:]) == micro_f1(*changed[1:])


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), samples=st.integers(1, 6))
def test_micro_f1_is_that_of_all_known_entries(seed: int, samples: int) -> None:
    _, predicted, labels = draw(seed, samples, 2)
    known = labels >= 0
    found = micro_f1(predicted, labels)
    if not bool((labels == 1).any()):
        assert found.isnan()
        return
    with warnings.catch_warnings():
        # Where there is one class, scikit-learn says so.
        warnings.simplefilter("ignore")
        wanted = f1_score(labels[known].numpy(), predicted[known].numpy(), zero_division=0)
    assert float(found) == pytest.approx(wanted)
