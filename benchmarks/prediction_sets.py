"""Coverage of prediction sets on test samples: those of `lightning predict --coverage` and plain conformal ones.

Each table is trained with its recommended settings on several splits; the sets are chosen on the validation samples and
compared on the test samples, in the mean over the splits. `classes under half` counts the classes of which less than
half of the chosen share of the test samples is covered. Where a sample may have several labels, each label that it is
known to have is one to be covered. Runs that are in the folder already are used again.

    python -m benchmarks.prediction_sets [--tables inn_stems FILE] [--fit data.labels=multi] [--splits 10]
        [--folder FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch.nn import functional

from benchmarks.measuring import CHECKOUT, print_table, write_json
from datamodules.drug_datamodule import DrugDataModule
from modules.checkpoint_file import read_checkpoint
from modules.decision_choice import read_scores
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction_sets import PredictionSets
from modules.evaluation.set_thresholds import lower_quantile
from modules.evaluation.threshold_sets import ThresholdSets
from modules.inference import infer_scores
from modules.multilabel.decision import LabelDecision
from modules.multilabel.prediction_sets import LabelPredictionSets
from modules.saved_settings.checkpoint_check import CheckpointCheck

KINDS = ("plain", "lightning predict")

Sets = TypeVar("Sets", bound=ThresholdSets)


def figures_of(members: torch.Tensor, present: torch.Tensor, coverage: float) -> dict[str, float]:
    """What sets are worth on the test samples of one split, by name.

    Args:
        members: Which classes are in each set, bool (N, C).
        present: Which classes are to be covered, bool (N, C).
        coverage: The chosen coverage.
    """
    held, counts, sizes = (members & present).sum(0).double(), present.sum(0), members.sum(1).double()
    classes = held[counts > 0] / counts[counts > 0]
    return {
        "coverage": float(held.sum() / counts.sum()),
        "mean over classes": float(classes.mean()),
        "classes under half": float((classes < coverage / 2).sum()),
        "classes": len(classes),
        "mean size": float(sizes.mean()),
        "median size": float(sizes.median()),
        "empty": float((sizes == 0).double().mean()),
    }


def plain_sets(sets: Sets, scores: torch.Tensor, present: torch.Tensor) -> Sets:
    """Sets that differ from others in having the one threshold of plain conformal prediction.

    Args:
        sets: The other sets.
        scores: What these were chosen on, as `ThresholdSets.values` takes it, fp32 (N, C).
        present: Which classes were to be covered, bool (N, C).
    """
    threshold = lower_quantile(sets.values(scores)[present], sets.coverage)
    thresholds = torch.full_like(sets.thresholds, threshold).masked_fill(sets.thresholds.isposinf(), torch.inf)
    return replace(sets, thresholds=thresholds, strength=0.0)


def fit(table: str, split: int, folder: Path, more: Sequence[str] = ()) -> Path:
    """Train on one split unless there is such a run; the path of its checkpoint.

    Args:
        table: Name of a known data set, or a table with a shipped file of settings of its name before the first `_`.
        split: Seed of the split and of the training.
        folder: Folder of the runs.
        more: Further settings, such as `data.labels=multi`.
    """
    name = Path(table).name.split(".")[0]
    run = folder / name / f"split_{split}"
    if not (run / "test_metrics.json").is_file():
        shipped = CHECKOUT / "configs" / "data" / f"{name.rsplit('_', 1)[0]}.yaml"
        config = ["--config", f"data/{shipped.name}"] if shipped.is_file() else []
        settings = {
            "data.source": table,
            "data.split_seed": split,
            "seed_everything": split,
            "run.root": folder,
            "run.name": name,
            "run.version": run.name,
            "report": "false",
            "tracking.wandb": "disabled",
        }
        options = [*(f"--{setting}={value}" for setting, value in settings.items()), *(f"--{one}" for one in more)]
        command = [sys.executable, "-m", "lightning_app.cli", "fit", *config, *options, "--quiet"]
        subprocess.run(command, check=True, cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": str(CHECKOUT)})
    return run / "checkpoints" / "best.ckpt"


def measure(checkpoint: Path, coverage: float) -> dict[str, dict[str, float]]:
    """Choose the sets on the validation samples and count on the test samples.

    Args:
        checkpoint: Checkpoint of a run.
        coverage: Share of samples whose set must contain their label.
    """
    model = DrugClassifier.load_from_checkpoint(checkpoint)
    settings = read_checkpoint(checkpoint).settings
    data = CheckpointCheck(checkpoint).make(settings, "data", DrugDataModule, ("sampling",))
    data.setup("test")
    refusal = "checkpoint: expected a model with finite scores, got NaN or infinite ones of test samples."
    test, decision = infer_scores(model, data.test_dataloader()).finite(refusal), model.decision
    own: ThresholdSets
    if isinstance(decision, LabelDecision):
        present = (test.labels == 1) & (decision.counts > 0)
        scores = read_scores(model, checkpoint)
        chosen_on, chosen_for = decision.corrected(scores.logits), (scores.labels == 1) & (decision.counts > 0)
        priors = decision.loss.log_odds(decision.counts)
        own = LabelPredictionSets.of_labels(chosen_on, scores.labels, decision.counts, priors, coverage)
        corrected = decision.corrected(test.logits)
    else:
        samples = decision.samples(read_scores(model, checkpoint), model.metrics.tail_metrics.groups["head"])
        chosen_on, chosen_for = samples.scores, functional.one_hot(samples.labels, len(decision.counts)).bool()
        own = PredictionSets.fit(samples, coverage)
        # No set promises to cover a class that the model has never seen.
        known = decision.counts[test.labels] > 0
        corrected = decision.corrected(test.logits)[known]
        present = functional.one_hot(test.labels[known], len(decision.counts)).bool()
    both = plain_sets(own, chosen_on, chosen_for), own
    return {
        kind: figures_of(sets.members(corrected), present, coverage) for kind, sets in zip(KINDS, both, strict=True)
    }


def main() -> None:
    """Measure each table and print the means over its splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["inn_stems"], help="names of known data sets, or files")
    parser.add_argument("--fit", nargs="+", default=[], help="further settings of the runs, such as data.labels=multi")
    parser.add_argument("--splits", type=int, default=10, help="number of splits, default 10")
    parser.add_argument("--coverage", type=float, default=0.9, help="default 0.9")
    parser.add_argument("--folder", type=Path, default=Path("results/prediction_sets"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    means: dict[tuple[str, str], dict[str, float]] = {}
    for table in options.tables:
        splits = [
            measure(fit(table, split, options.folder.absolute(), options.fit), options.coverage)
            for split in range(options.splits)
        ]
        for kind in KINDS:
            own = [figures[kind] for figures in splits]
            means[Path(table).name, kind] = {name: statistics.mean(one[name] for one in own) for name in own[0]}
    rows = [[*names, *(f"{value:.3f}" for value in figures.values())] for names, figures in means.items()]
    print_table(["table", "sets", *next(iter(means.values()))], rows)
    figures = {f"{table} {kind} {name}": value for (table, kind), own in means.items() for name, value in own.items()}
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
