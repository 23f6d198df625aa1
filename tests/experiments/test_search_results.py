"""The printed results of a search."""

from __future__ import annotations

import io
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from rich.console import Console

from experiments.search_results import print_results

NAMES = (
    "model.optimizer.init_args.lr",
    "model.optimizer.init_args.weight_decay",
    "model.classification_loss.init_args.logit_adjustment",
    "model.contrast.weight",
    "recluster.strength",
)
METHODS = ("method/cross_entropy.yaml", "method/class_balanced_focal.yaml")


def printed(width: int, command: str = "lightning") -> list[str]:
    """The lines for a search over six settings: trial 9 is the best, trial 0 the worst, and trial 10 failed."""
    study = optuna.create_study(direction="maximize")
    distributions: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in NAMES}
    distributions["config"] = CategoricalDistribution(METHODS)
    for place in range(10):
        params = dict.fromkeys(NAMES, (place + 1) / 70000.0) | {"config": METHODS[place % 2]}
        study.add_trial(
            optuna.trial.create_trial(value=place / 10 + 0.0123, params=params, distributions=distributions)
        )
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    written = io.StringIO()
    console = Console(file=written, width=width)
    print_results(study, Path("sweeps/default"), "val/balanced_accuracy", console, command)
    return written.getvalue().splitlines()


@pytest.mark.parametrize(("width", "trials"), [(60, [9]), (80, [9, 8]), (200, [9, 8, 7, 6, 5])])
def test_the_best_trials_are_side_by_side_as_far_as_they_fit(width: int, trials: list[int]) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    rows = [[cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in lines if "│" in line]
    head = next(line for line in lines if "┃" in line)
    assert head.replace("┃", " ").split() == ["Trial", *map(str, trials)]
    cells = {name: row for name, *row in rows}
    assert cells["val/balanced_accuracy"] == [f"{place / 10 + 0.0123:.3f}" for place in trials]
    assert cells["lr"] == cells["strength"] == [f"{(place + 1) / 7e4:.3g}" for place in trials]
    assert cells["config"] == [("cross_entropy", "class_balanced_focal")[place % 2] for place in trials]
    assert len(cells) == 7


def test_the_first_line_counts_the_trials_by_their_state() -> None:
    assert printed(80)[0] == "Trials in sweeps/default: 10 complete, 1 failed"


@pytest.mark.parametrize("command", ["lightning", "tailmol"])
def test_the_last_line_trains_with_the_best_settings(command: str) -> None:
    assert printed(80, command)[-1] == f"  {command} fit --config sweeps/default/best.yaml"
