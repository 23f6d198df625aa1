"""Which losses find the known Bayes classifier of a long-tailed problem."""

import torch
from torch import Tensor, nn

from modules.evaluation.logit_correction import PriorCorrection
from modules.losses import ClassificationLoss, CrossEntropyLoss
from modules.losses.classification.class_weighting import InverseFrequency
from modules.losses.classification.reweighting import Reweighted
from modules.losses.classification.vector_scaling import VectorScalingLoss

CENTERS = torch.tensor([[1.0, 0.0], [-0.6, 0.9], [-0.6, -0.9]])
# An imbalance ratio of 100.
COUNTS = torch.tensor([20_000, 2_000, 200])
TEST_SAMPLES_PER_CLASS = 200_000


def draw(counts: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Gaussian classes of equal spread, which linear scores separate best."""
    labels = torch.arange(3).repeat_interleave(counts)
    noise = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(seed))
    return CENTERS[labels] + noise, labels


def balanced_accuracy(scores: Tensor, labels: Tensor) -> float:
    hits = (scores.argmax(dim=1) == labels).float()
    return float(torch.stack([hits[labels == label].mean() for label in range(3)]).mean())


def trained(loss: ClassificationLoss) -> nn.Linear:
    """The linear classifier with the smallest training loss."""
    torch.manual_seed(0)
    points, labels = draw(COUNTS, 1)
    model = nn.Linear(2, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss(model(points), labels, torch.ones(3), COUNTS)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(step)  # type: ignore[no-untyped-call]
    return model


def test_adjusted_losses_reach_the_bayes_balanced_accuracy_and_plain_cross_entropy_does_not() -> None:
    points, labels = draw(torch.full((3,), TEST_SAMPLES_PER_CLASS), 2)
    # With equal priors the nearest center is the best guess. Its standard error here is 0.0006.
    best = balanced_accuracy(-torch.cdist(points, CENTERS), labels)
    assert 0.6 < best < 0.8
    losses = {
        "balanced softmax": CrossEntropyLoss(logit_adjustment=1.0),
        "vector scaling without scales": VectorScalingLoss(gamma=0.0, logit_adjustment=1.0),
        "inverse frequency": Reweighted(CrossEntropyLoss(), InverseFrequency()),
    }
    for name, loss in losses.items():
        assert abs(balanced_accuracy(trained(loss)(points), labels) - best) < 0.01, name
    plain = trained(CrossEntropyLoss())
    assert balanced_accuracy(plain(points), labels) < best - 0.05
    scale, offset = PriorCorrection().correction(1.0, COUNTS, nn.Sequential(plain))
    assert abs(balanced_accuracy(scale * plain(points) + offset, labels) - best) < 0.01
