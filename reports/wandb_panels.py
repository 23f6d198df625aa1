"""The figures and tables of the report as W&B panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, WandbLogger

from modules.evaluation.class_means_file import ClassMeans
from reports.analysis.distance_matrix import compare_classes
from reports.figures.class_figures import Figure, distance_figure
from reports.page_template import fill
from reports.samples.drawings import whole_svg

if TYPE_CHECKING:
    from reports.report_data import ReportData

MOST_ROWS = 10_000
"""Rows of a table; W&B cuts tables at 200,000, and nobody reads as many."""


def log_recluster_panels(
    loggers: Sequence[Logger], means: ClassMeans, names: Sequence[str], columns: Mapping[str, Sequence[Any]], step: int
) -> None:
    """Log the distances between classes and a table of the classes, where W&B is among the loggers.

    Args:
        loggers: Of the trainer, on its first process.
        means: Where the classes lie.
        names: C labels.
        columns: What the recluster found of each class, by name.
        step: Of the trainer.
    """
    runs = _runs(loggers)
    if not runs:
        return
    found = compare_classes([means])
    rivals = [names[code] if code >= 0 else None for code in found.rivals[-1].tolist()]
    table: dict[str, Sequence[Any]] = {
        "class": names,
        **columns,
        "nearest_rival": rivals,
        "rival_distance": found.nearest[-1].tolist(),
    }
    _log(runs, {"recluster/distances": distance_figure(found, names)}, {"recluster/classes": table}, step)


def log_report_panels(loggers: Sequence[Logger], data: ReportData, figures: Mapping[str, Figure], step: int) -> None:
    """Log the report's figures, a table of the classes and one of the confusions, where W&B is among the loggers.

    Args:
        loggers: Of the trainer, on its first process.
        data: What the report shows.
        figures: The report's.
        step: Of the trainer.
    """
    runs = _runs(loggers)
    if not runs:
        return
    scores, names = data.scores, data.scores.names
    rivals = data.distances.rivals[-1].tolist()
    classes: dict[str, Sequence[Any]] = {
        "class": names,
        "group": scores.groups,
        "training_samples": scores.training.tolist(),
        "test_samples": scores.test.tolist(),
        "recall": scores.recall.tolist(),
        "nearest_rival": [names[code] if code >= 0 else None for code in rivals],
        "rival_distance": data.distances.nearest[-1].tolist(),
    }
    found = [confusion for confusion, _ in data.confusions]
    confusions: dict[str, Sequence[Any]] = {
        "class": [names[one.true] for one in found],
        "predicted": [names[one.predicted] for one in found],
        "samples": [one.samples for one in found],
        "share": [one.share for one in found],
        "cost_in_balanced_accuracy": [one.cost for one in found],
        "examples": [
            "; ".join(data.test_texts[example.test][0] for example in examples) for _, examples in data.confusions
        ],
    }
    panels = {f"report/{name}": value for name, value in figures.items()}
    tables = {"report/classes": classes, "report/confusions": confusions}
    page = example_page(data)
    # Arrays have no such drawings.
    _log(runs, panels, tables, step, {"report/examples": page} if "<svg" in page else {})


def example_page(data: ReportData) -> str:
    """HTML of the confusions with their examples, each beside the training molecule that it lies nearest to.

    Args:
        data: What the report shows.
    """
    from markupsafe import Markup

    shown = []
    for confusion, examples in data.confusions:
        true, predicted = data.scores.names[confusion.true], data.scores.names[confusion.predicted]
        samples = []
        for example in examples:
            samples.append((f"{true}, taken for {predicted}", data.test_texts[example.test]))
            if example.training is not None:
                samples.append((f"{predicted}, in training", data.training_texts[example.training]))
        drawn = [
            (f"{name} ({role})", [Markup(whole_svg(drawing)) for drawing in drawings])
            for role, (name, drawings) in samples
        ]
        title = f"{true} taken for {predicted}: {confusion.samples} of the test split"
        shown.append({"title": title, "samples": drawn})
    return fill("examples.html", confusions=shown)


def _runs(loggers: Sequence[Logger]) -> list[Any]:
    return [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]


def _log(
    runs: Sequence[Any],
    figures: Mapping[str, Figure],
    tables: Mapping[str, Mapping[str, Sequence[Any]]],
    step: int,
    pages: Mapping[str, str] | None = None,
) -> None:
    import plotly.graph_objects
    import wandb

    for run in runs:
        panels: dict[str, Any] = {
            name: wandb.Plotly(plotly.graph_objects.Figure(value)) for name, value in figures.items()
        }
        for name, columns in tables.items():
            rows = [list(row) for row in zip(*columns.values(), strict=True)][:MOST_ROWS]
            panels[name] = wandb.Table(columns=list(columns), data=rows)
        panels |= {name: wandb.Html(text) for name, text in (pages or {}).items()}
        # Lightning's own axis, which a resumed run goes on with.
        run.log({**panels, "trainer/global_step": step})
