"""Processor time of a contrastive loss over four processes, relative to what the anchors of one process must cost.

Each process has 512 samples in two views and projections of 128 dimensions; its 1,024 anchors are contrasted with the
4,096 keys of all processes. The minimum is one product of the anchors with the keys and one log-sum-exp for each
temperature, forward and backward, without other processes. The time of a loss includes gathering the keys and summing
their gradients. Processes have one thread each and are measured by their processor time, since they may have to wait
for each other and for a core.

    python -m benchmarks.contrast_processes [--repeats 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from benchmarks.measuring import describe_machine, print_table, write_json
from modules.losses import ContrastiveLoss, SubclusterContrastiveLoss, SupervisedContrastiveLoss
from modules.losses.contrastive.contrastive_terms import Share
from modules.processes import add_shares, gather_rows, row_counts, sum_over_processes
from modules.unit_embeddings import unit_embeddings

PROCESSES, SAMPLES, VIEWS, WIDTH, CLASSES = 4, 512, 2, 128, 70
LOSSES: dict[type[ContrastiveLoss], tuple[float, ...]] = {
    SupervisedContrastiveLoss: (0.1,),
    SubclusterContrastiveLoss: (0.1, 0.2),
}
"""The losses, and the temperatures of their terms."""


def minimum(views: Tensor, others: Tensor, temperatures: tuple[float, ...]) -> Tensor:
    """One product of the anchors with all keys, and a log-sum-exp for each temperature."""
    anchors = unit_embeddings(views).flatten(0, 1)
    similarity = anchors @ torch.cat([anchors, unit_embeddings(others).flatten(0, 1)]).T
    return torch.stack([(similarity / value).logsumexp(dim=1).sum() for value in temperatures]).sum()


def measure(rank: int, folder: str, repeats: int) -> None:
    """Write the median processor times of one process."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{folder}/rendezvous", rank=rank, world_size=PROCESSES, timeout=timedelta(seconds=600)
    )
    generator = torch.Generator().manual_seed(rank)
    classes = 1 / torch.arange(1, CLASSES + 1)
    labels = torch.multinomial(classes, SAMPLES, replacement=True, generator=generator)
    groups = torch.stack([labels, 10 * labels + torch.arange(SAMPLES) % 10], dim=1)
    views = torch.randn(SAMPLES, VIEWS, WIDTH, generator=generator).requires_grad_()
    others = torch.randn((PROCESSES - 1) * SAMPLES, VIEWS, WIDTH, generator=generator).requires_grad_()
    temperatures = torch.full((CLASSES,), 0.2)

    def over_processes(loss: ContrastiveLoss) -> Tensor:
        counts = row_counts(groups)
        share = Share(sum(counts[:rank]), sum(counts[: rank + 1]), sum_over_processes)
        keys, of_keys = gather_rows(views, counts), gather_rows(groups, counts)
        return add_shares(loss(keys, of_keys[:, 0], of_keys[:, 1], temperatures, share))

    def seconds(work: Callable[[], Tensor]) -> float:
        views.grad = others.grad = None
        start = time.process_time()
        work().backward()  # type: ignore[no-untyped-call]
        return time.process_time() - start

    times: dict[str, list[float]] = {}
    for turn in range(repeats + 1):
        for make, of_terms in LOSSES.items():
            loss = make()
            found = {
                "minimum": seconds(partial(minimum, views, others, of_terms)),
                "loss": seconds(partial(over_processes, loss)),
            }
            for kind, value in found.items():
                # The first turn is a warm-up.
                times.setdefault(f"{make.__name__}, {kind}", []).extend([value] * (turn > 0))
    distributed.destroy_process_group()
    medians = {name: statistics.median(values) for name, values in times.items()}
    for make in LOSSES:
        pairs = zip(times[f"{make.__name__}, loss"], times[f"{make.__name__}, minimum"], strict=True)
        medians[make.__name__] = statistics.median(value / least for value, least in pairs)
    Path(folder, f"{rank}.json").write_text(json.dumps(medians))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="measured turns, default 15")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spawn(measure, args=(folder, options.repeats), nprocs=PROCESSES)  # type: ignore[no-untyped-call]
        found = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(PROCESSES)]
    # The slowest of the processes counts.
    ratios = {make.__name__: max(times[make.__name__] for times in found) for make in LOSSES}
    rows = []
    for name, ratio in ratios.items():
        milliseconds = [1_000 * max(times[f"{name}, {kind}"] for times in found) for kind in ("minimum", "loss")]
        rows.append([name, *(f"{value:.0f}" for value in milliseconds), f"{ratio:.2f}"])
    print_table(["loss", "minimum, ms", "loss, ms", "times the minimum"], rows)
    print(describe_machine(PROCESSES))
    write_json(ratios, options.json)


if __name__ == "__main__":
    main()
