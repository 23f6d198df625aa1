"""The figures and tables of the report as W&B panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, WandbLogger

from modules.evaluation.class_means_file import ClassMeans
from reports.analysis.distance_matrix import compare_classes
from reports.figures.class_figures import distance_figure
from reports.figures.plotly_figure import Figure
from reports.page_template import render_template
from reports.samples.drawings import standalone_svg

if TYPE_CHECKING:
    from reports.label_data import LabelData
    from reports.report_data import ReportData

MOST_ROWS = 10_000
"""Largest number of rows in a table; W&B itself truncates tables at 200,000 rows."""


def log_recluster_panels(
    loggers: Sequence[Logger], means: ClassMeans, names: Sequence[str], columns: Mapping[str, Sequence[Any]], step: int
) -> None:
    """Log the distances between classes and a table of classes to W&B; does nothing without a W&B logger.

    Args:
        loggers: Loggers of the trainer on the first process.
        means: Class means of the recluster.
        names: C labels.
        columns: Results of the recluster for each class, by name.
        step: Global step of the trainer.
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


def log_report_panels(data: ReportData, loggers: Sequence[Logger], step: int) -> None:
    """Log the figures, classes and confusions of a report to W&B; does nothing without a W&B logger.

    Args:
        data: The contents of the report.
        loggers: Loggers of the trainer on the first process.
        step: Global step of the trainer.
    """
    from reports.run_report import report_figures

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
        "recall_low": data.results.recall_low.tolist(),
        "recall_high": data.results.recall_high.tolist(),
        "precision": data.results.precision.tolist(),
        "f1": data.results.f1.tolist(),
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
            "; ".join(data.texts["test"][example.test].name for example in examples) for _, examples in data.confusions
        ],
    }
    panels = {f"report/{name}": value for name, value in report_figures(data).items()}
    tables = {"report/classes": classes, "report/confusions": confusions}
    page = example_page(data)
    # Samples that are arrays have no drawings of molecules.
    _log(runs, panels, tables, step, {"report/examples": page} if "<svg" in page else {})


def log_label_panels(data: LabelData, loggers: Sequence[Logger], step: int) -> None:
    """Log the figures and labels of a report on several labels to W&B; does nothing without a W&B logger.

    Args:
        data: The contents of the report.
        loggers: Loggers of the trainer on the first process.
        step: Global step of the trainer.
    """
    from reports.label_report import label_columns, label_figures

    runs = _runs(loggers)
    if runs:
        labels = {"label": data.names, "group": data.groups, **label_columns(data)}
        panels = {f"report/{name}": value for name, value in label_figures(data).items()}
        _log(runs, panels, {"report/label_results": labels}, step)


def example_page(data: ReportData) -> str:
    """HTML with the confusions and their examples, each next to the most similar training molecule.

    Args:
        data: The contents of the report.
    """
    from markupsafe import Markup

    shown = []
    for confusion, examples in data.confusions:
        true, predicted = data.scores.names[confusion.true], data.scores.names[confusion.predicted]
        samples = []
        for example in examples:
            samples.append((f"{true}, predicted as {predicted}", data.texts["test"][example.test]))
            if example.training is not None:
                samples.append((f"{predicted}, training sample", data.texts["train"][example.training]))
        drawn = [
            (f"{text.name} ({role})", [Markup(standalone_svg(drawing)) for drawing in text.drawings])
            for role, text in samples
        ]
        title = f"{true} predicted as {predicted}: {confusion.samples} test samples"
        shown.append({"title": title, "samples": drawn})
    return render_template("examples.html", confusions=shown)


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
        # The axis that Lightning logs too, so that a resumed run continues it.
        run.log({**panels, "trainer/global_step": step})
