"""The results of a search: the best settings, a table, and two figures."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, cast

import yaml

from base.atomic_file import write_csv, write_file
from base.printable import printable

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.console import Console


_log = logging.getLogger("tailmol")

SETTINGS, ERROR = "settings", "error"
"""The attributes of a trial that hold its resolved settings and the error it failed with."""

_SHOWN_TRIALS = 5
# With fewer complete trials the importance of settings is noise.
_FEWEST_TRIALS = 5
_TRIAL_SETTINGS = ("default_root_dir", "enable_progress_bar")


def write_results(study: Study, folder: Path) -> None:
    """Write `trials.csv` and, if trials are complete, `best.yaml`, `history.svg` and `importance.svg`.

    Args:
        study: The study of the search; other workers may still add trials to it.
        folder: Folder of the search.
    """
    _write_trials(study, folder / "trials.csv")
    from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances

    ranked = rank_trials(study)
    if not ranked:
        _log.info("best.yaml, history.svg and importance.svg are not written, since no trial is complete.")
        return
    settings = yaml.safe_dump(rerun_settings(ranked[0].user_attrs[SETTINGS]), sort_keys=False)
    write_file(folder / "best.yaml", lambda temporary: temporary.write_text(settings))
    _write_figure(study, folder / "history.svg", plot_optimization_history)
    searched = any(len({trial.params.get(name) for trial in ranked}) > 1 for name in ranked[0].params)
    if len(ranked) < _FEWEST_TRIALS or not searched or len({trial.value for trial in ranked}) < 2:
        _log.info(f"importance.svg is not written, since it needs {_FEWEST_TRIALS} complete trials that differ.")
        return
    _write_figure(study, folder / "importance.svg", plot_param_importances)


def rank_trials(study: Study) -> list[FrozenTrial]:
    """The complete trials, best first; equal ones in the order in which they started."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def rerun_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a trial without those that only serve the search, such as its folder.

    Args:
        settings: Resolved settings, as in the `config.yaml` of a run.
    """
    kept = {name: value for name, value in settings.items() if name != "run"}
    kept["trainer"] = {name: value for name, value in settings["trainer"].items() if name not in _TRIAL_SETTINGS}
    kept["tracking"] = {
        name: value
        for name, value in settings["tracking"].items()
        if name != "group" and (name, value) != ("wandb", "disabled")
    }
    return kept


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
        # Text, since a setting may be a number in one trial and a word in another.
        **{
            name: polars.Series([_text(trial.params.get(name)) for trial in trials], dtype=polars.String)
            for name in names
        },
        "error": polars.Series([_error(trial) for trial in trials], dtype=polars.String),
    }
    write_csv(polars.DataFrame(columns), path)


def _error(trial: FrozenTrial) -> str | None:
    # A worker that was killed leaves no message.
    killed = "its worker stopped" if trial.state.name == "FAIL" else None
    return cast("str | None", trial.user_attrs.get(ERROR, killed))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _write_figure(study: Study, path: Path, plot: Callable[[Study], object]) -> None:
    from matplotlib import pyplot, rc_context
    from optuna.exceptions import ExperimentalWarning

    # Optuna changes the style of all later figures.
    with warnings.catch_warnings(), rc_context():
        warnings.simplefilter("ignore", ExperimentalWarning)
        plot(study)
        figure = pyplot.gcf()
        try:
            write_file(path, lambda temporary: figure.savefig(temporary, format="svg", bbox_inches="tight"))
        finally:
            pyplot.close(figure)


def print_results(
    study: Study, folder: Path, metric: str, console: Console | None = None, command: str = "lightning"
) -> None:
    """Print the best trials, as many as fit side by side, and the command that trains with the best settings.

    Args:
        study: The study of the search.
        folder: Folder of the search.
        metric: Name of the metric that ranks the trials.
        console: The console to print to; the terminal if None.
        command: Name of the command, for messages.
    """
    from collections import Counter

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    named = (f"{count} {'failed' if state == 'fail' else state}" for state, count in sorted(states.items()))
    counted = ", ".join(named) or "none yet"
    console.print(printable(f"Trials in {folder}: {counted}"), soft_wrap=True, highlight=False, markup=False)
    ranked = rank_trials(study)[:_SHOWN_TRIALS]
    if not ranked:
        return
    short = short_names(sorted({name for trial in ranked for name in trial.params}))
    titles = ["Trial", metric, *short.values()]
    columns = [
        [str(trial.number), f"{trial.value:.3f}", *(shown_value(trial.params.get(name)) for name in short)]
        for trial in ranked
    ]
    columns = columns[: _fitting([titles, *columns], console.width)]
    table = Table(title="Best trials (trials.csv has all)", title_justify="left")
    table.add_column("Trial", overflow="fold")
    for number, *_ in columns:
        table.add_column(number, justify="right", overflow="fold")
    for row in list(zip(titles, *columns, strict=True))[1:]:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print("Train and test a model with the best settings:")
    line = f"  {command} fit --config {quote(str(folder / 'best.yaml'))}"
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _fitting(columns: Sequence[Sequence[str]], width: int) -> int:
    """The number of columns behind the first one that fit into a table of a width, but at least one."""
    # Each column has two spaces and a line.
    needed = [3 + max(map(len, column)) for column in columns]
    return max(1, sum(1 + total <= width for total in itertools.accumulate(needed)) - 1)


def shown_value(value: Any) -> str:
    """The value of a setting in a few characters: three digits of a number, the name of a settings file.

    Args:
        value: The value; None if a trial has no such setting.
    """
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return Path(value).stem
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The shortest suffix of each dotted name that no other name has.

    Args:
        names: Distinct names.
    """
    parts = {name: name.split(".") for name in names}
    short = {}
    for name, own in parts.items():
        for count in range(1, len(own) + 1):
            short[name] = ".".join(own[-count:])
            if not any(other != name and parts[other][-count:] == own[-count:] for other in parts):
                break
    return short
