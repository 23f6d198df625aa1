"""Which predictions are finite."""

from __future__ import annotations

import math

import pytest
import torch

from modules.evaluation.prediction import Prediction


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["probabilities", "calibrated", "uncertainty", "embeddings"])
def test_a_sample_with_any_value_that_is_not_finite_is_not(name: str, value: float) -> None:
    tensors = {"probabilities": torch.ones(3, 2), "calibrated": torch.ones(3, 2), "embeddings": torch.ones(3, 4)}
    tensors["uncertainty"] = torch.ones(3)
    tensors[name][1] = value
    labels = torch.zeros(3, dtype=torch.int64)
    others = {"logits": torch.ones(3, 2), "labels": labels, "at_prior": labels}
    assert Prediction(torch.arange(3), **tensors, **others).finite.tolist() == [True, False, True]


def test_a_prediction_without_uncertainty_is_finite() -> None:
    shares = torch.ones(2, 3)
    labels = torch.zeros(2, dtype=torch.int64)
    tensors = (shares, shares, None, torch.ones(2, 5), shares, labels, labels)
    assert Prediction(torch.arange(2), *tensors).finite.tolist() == [True, True]
