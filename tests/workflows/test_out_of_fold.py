"""Out-of-fold metrics against those of samples that no member has seen."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy
import pytest
import torch

import tailmol
from tests.lightning_app.command import TINY
from workflows.fit import fit

SIZES = {"a": 150, "b": 50, "c": 20, "d": 8}
FRESH = 400
"""New samples of each class."""
OPTIONS = [*TINY, "--tracking.wandb=disabled", "--config=method/cross_entropy.yaml", "--folds=5"]
# Out-of-fold metrics are of single members, so members must be trained to the end: the mean of unfinished ones is much
# better than one of them, and fewer tables agree after 6 or 12 epochs.
OPTIONS += ["--data.input=array", "--data.batch_size=64", "--trainer.max_epochs=30"]
OPTIONS += ["--model.encoder=modules.encoders.ArrayMLP", "--model.encoder.init_args.hidden_dims=[16]"]
OPTIONS += ["--model.classification_loss.init_args.logit_adjustment=1", "--model.optimizer.init_args.lr=0.01"]


def draw(generator: numpy.random.Generator, centers: numpy.ndarray, sizes: list[int], path: Path) -> None:
    """Write samples around the centers of the classes."""
    labels = numpy.repeat(numpy.arange(len(sizes)), sizes)
    arrays = centers[labels] + generator.normal(size=(len(labels), centers.shape[1]))
    numpy.savez(path, features=arrays.astype(numpy.float32), labels=numpy.array(list(SIZES))[labels])


def variance(recalls: list[float], sizes: list[int]) -> float:
    """Variance of the mean of recalls that are estimated from samples of these sizes."""
    # One half of a success and of a failure more, or a recall of 1 would have no variance.
    smoothed = [(recall * size + 0.5) / (size + 1) for recall, size in zip(recalls, sizes, strict=True)]
    own = [recall * (1 - recall) / size for recall, size in zip(smoothed, sizes, strict=True)]
    return sum(own) / len(sizes) ** 2


@pytest.mark.slow
def test_out_of_fold_metrics_agree_with_fresh_samples_in_19_of_20_tables(tmp_path: Path) -> None:
    # Models as small as these are slower with more threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    agreed = []
    for seed in range(20):
        generator = numpy.random.default_rng(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        centers = generator.normal(size=(4, 6))
        draw(generator, centers, list(SIZES.values()), folder / "table.npz")
        draw(generator, centers, [FRESH] * 4, folder / "fresh.npz")
        run = fit([*OPTIONS, f"--data.source={folder / 'table.npz'}", f"--run.root={folder}"], show_progress=False)
        found = [float(run.metrics[f"test/recall/{name}"] or 0) for name in SIZES]
        assert run.metrics["test/balanced_accuracy"] == pytest.approx(sum(found) / 4)
        fresh = tailmol.load(run.folder).evaluate(folder / "fresh.npz")
        expected = [fresh[f"recall/{name}"] for name in SIZES]
        width = sqrt(variance(found, list(SIZES.values())) + variance(expected, [FRESH] * 4))
        agreed.append(abs(sum(found) / 4 - fresh["balanced_accuracy"]) <= 1.96 * width)
    torch.set_num_threads(threads)
    assert sum(agreed) >= 19
