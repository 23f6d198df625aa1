"""Time of a contrastive loss, forward and backward, relative to the minimum that any such loss computes.

The minimum is one product of all anchors with each other and two log-sum-exps of its size. Batches have 1,024 samples
in two views, projections of 128 dimensions, 70 classes with sizes proportional to 1 / rank, and ten sub-clusters per
class.

    python -m benchmarks.contrastive_step [--repeats 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measuring import describe_machine, measure_in_turns, print_table, speed_ratio, write_json
from modules.losses import ContrastiveLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.losses.contrastive.balanced_contrastive import BalancedContrastiveLoss
from modules.losses.contrastive.k_positive_contrastive import KPositiveContrastiveLoss
from modules.losses.contrastive.minority_contrastive import MinorityContrastiveLoss
from modules.unit_embeddings import unit_embeddings

SAMPLES, VIEWS, WIDTH, CLASSES, THREADS = 1_024, 2, 128, 70, 2
LOSSES: tuple[type[ContrastiveLoss], ...] = (
    SubclusterContrastiveLoss,
    SupervisedContrastiveLoss,
    KPositiveContrastiveLoss,
    BalancedContrastiveLoss,
    MinorityContrastiveLoss,
)


def minimum(views: Tensor) -> Tensor:
    """The minimum: a product and two log-sum-exps."""
    anchors = unit_embeddings(views).flatten(0, 1)
    similarity = anchors @ anchors.T
    return (similarity / 0.1).logsumexp(dim=1).sum() + (similarity / 0.2).logsumexp(dim=1).sum()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="measured turns, default 15")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    shares = 1 / torch.arange(1, CLASSES + 1)
    labels = torch.multinomial(shares, SAMPLES, replacement=True, generator=generator)
    counts = torch.bincount(labels, minlength=CLASSES).clamp(min=1)
    subclusters = 10 * labels + torch.arange(SAMPLES) % 10
    views = torch.randn(SAMPLES, VIEWS, WIDTH, generator=generator).requires_grad_()
    temperatures = torch.full((CLASSES,), 0.1)

    def step(loss: ContrastiveLoss | None) -> Callable[[int], None]:
        def run(turn: int) -> None:
            views.grad = None
            value = minimum(views) if loss is None else loss(views, labels, subclusters, temperatures)
            value.backward()

        return run

    work = {"minimum": step(None)}
    for make in LOSSES:
        loss = make()
        loss.build(counts, WIDTH)
        work[make.__name__] = step(loss)
    times, _ = measure_in_turns(work, None, options.repeats)
    ratios = {name: 1 / speed_ratio(values, times["minimum"]) for name, values in times.items()}
    rows = [[name, f"{1_000 * statistics.median(times[name]):.0f}", f"{ratios[name]:.2f}"] for name in times]
    print_table(["loss", "milliseconds", "times the minimum"], rows)
    print(describe_machine(THREADS))
    write_json(ratios, options.json)


if __name__ == "__main__":
    main()
