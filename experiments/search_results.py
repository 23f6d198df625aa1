"""What a search leaves behind: the best settings, a table, and two figures."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from base.atomic_file import write_csv, write_file

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.console import Console


_log = logging.getLogger("tailmol")

SETTINGS, ERROR = "settings", "error"
"""Under these names a trial keeps its resolved settings, and why it failed."""

_SHOWN = 5
_ENOUGH = 5
"""Complete trials below which the importance of settings is noise."""


def one_line(error: BaseException) -> str:
    """An error's message without line breaks.

    Args:
        error: Its type is named if it says nothing.
    """
    return " ".join(str(error).split()) or type(error).__name__


def write_results(study: Study, folder: Path) -> None:
    """Write `trials.csv` and, as far as there are complete trials, `best.yaml`, `history.svg` and `importance.svg`.

    Args:
        study: Also one that other workers go on with.
        folder: The sweep's.
    """
    _write_trials(study, folder / "trials.csv")
    ranked = rank_trials(study)
    if not ranked:
        _log.info("best.yaml, history.svg, importance.svg: not written, for no trial is complete.")
        return
    settings = yaml.safe_dump(rerun_settings(ranked[0].user_attrs[SETTINGS]), sort_keys=False)
    write_file(folder / "best.yaml", lambda temporary: temporary.write_text(settings))
    _write_figure(study, folder / "history.svg", "plot_optimization_history")
    searched = any(len({trial.params.get(name) for trial in ranked}) > 1 for name in ranked[0].params)
    if len(ranked) < _ENOUGH or not searched or len({trial.value for trial in ranked}) < 2:
        _log.info(f"importance.svg: not written; it needs {_ENOUGH} complete trials that differ.")
        return
    _write_figure(study, folder / "importance.svg", "plot_param_importances")


def rank_trials(study: Study) -> list[FrozenTrial]:
    """The complete trials, best first; of equal ones the earlier first."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def rerun_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """A trial's settings for a run of its own: in a folder of its own, tracked as any run is.

    Args:
        settings: As in a run's `config.yaml`.
    """
    kept = {name: value for name, value in settings.items() if name != "run"}
    kept["trainer"] = {name: value for name, value in settings["trainer"].items() if name not in _OF_TRIALS}
    kept["tracking"] = {
        name: value for name, value in settings["tracking"].items() if (name, value) != ("wandb", "disabled")
    }
    return kept


_OF_TRIALS = ("default_root_dir", "enable_progress_bar")


def _write_trials(study: Study, path: Path) -> None:
    import polars

    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    columns: dict[str, polars.Series] = {
        "number": polars.Series([trial.number for trial in trials], dtype=polars.Int64),
        "state": polars.Series([trial.state.name for trial in trials], dtype=polars.String),
        "value": polars.Series([trial.value for trial in trials], dtype=polars.Float64),
        "seconds": polars.Series(
            [None if trial.duration is None else round(trial.duration.total_seconds(), 1) for trial in trials],
        ),
        # As text, since a setting may be a number in one trial and a word in another.
        **{
            name: polars.Series([_text(trial.params.get(name)) for trial in trials], dtype=polars.String)
            for name in names
        },
        "error": polars.Series([_error(trial) for trial in trials], dtype=polars.String),
    }
    write_csv(polars.DataFrame(columns), path)


def _error(trial: FrozenTrial) -> str | None:
    # Nobody was left to say why.
    killed = "its worker stopped" if trial.state.name == "FAIL" else None
    return cast("str | None", trial.user_attrs.get(ERROR, killed))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _write_figure(study: Study, path: Path, function: str) -> None:
    import matplotlib

    # Before the first figure is made; a machine without a screen has no other way to draw.
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as figures

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plot: Callable[[Study], Any] = getattr(figures, function)
        figure = plot(study).figure
    try:
        write_file(path, lambda temporary: figure.savefig(temporary, format="svg", bbox_inches="tight"))
    finally:
        pyplot.close(figure)


def print_results(study: Study, folder: Path, metric: str, console: Console | None = None) -> None:
    """Print the best trials and what to do next.

    Args:
        study: The search.
        folder: The sweep's.
        metric: What decided.
        console: Where to print; the terminal if None.
    """
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none yet"
    console.print(f"Trials in {folder}: {counted}", soft_wrap=True, highlight=False)
    ranked = rank_trials(study)[:_SHOWN]
    if not ranked:
        return
    short = short_names(sorted({name for trial in ranked for name in trial.params}))
    table = Table(title="Best trials", title_justify="left")
    for title in ("Trial", metric, *short.values()):
        table.add_column(title, justify="right", overflow="fold")
    for trial in ranked:
        cells = [_cell(trial.params.get(name)) for name in short]
        table.add_row(str(trial.number), f"{trial.value:.3f}", *cells)
    console.print(table)
    console.print("Train with the best settings, and test, with:")
    console.print(f"  lightning fit --config {folder / 'best.yaml'}", soft_wrap=True, highlight=False)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The shortest ends of dotted names that tell them apart.

    Args:
        names: All different.
    """
    parts = {name: name.split(".") for name in names}
    short = {}
    for name, own in parts.items():
        for count in range(1, len(own) + 1):
            short[name] = ".".join(own[-count:])
            if not any(other != name and parts[other][-count:] == own[-count:] for other in parts):
                break
    return short
