"""The report of a run as a file, of samples that have one label or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from base.atomic_file import write_file
from base.ranges import check_whole
from reports.card_file import keep_comparison
from reports.label_data import collect_labels
from reports.label_report import build_label_report
from reports.label_texts import label_answer
from reports.report_data import POINTS, collect
from reports.run_answer import answer
from reports.run_files import RunFiles
from reports.run_report import build_report
from reports.wandb_panels import log_label_panels, log_report_panels

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


def write_report(
    run: RunFiles,
    output: Path | None = None,
    points: int = POINTS,
    umap: bool = False,
    trust: Sequence[str] = (),
    loggers: Sequence[Logger] = (),
    step: int = 0,
    command: str = "lightning",
) -> Path:
    """Write the report of a run.

    Args:
        run: The files of the run.
        output: The HTML file to write; None writes `report.html` in the run's folder, and what its model card needs.
        points: Number of samples on the embedding map; a report on several labels has none.
        umap: Whether to add a UMAP layout to the map.
        trust: Modules with classes of the user that the checkpoint may name.
        loggers: Loggers of a trainer; the figures are logged to W&B, too.
        step: Global step of the trainer.
        command: Name of the command, for messages.

    Returns:
        The file.

    Raises:
        InputError: If `points` is below 1, the table of the run cannot be read, or its checkpoint names a class that is
            not trusted.
    """
    check_whole("points", points, 1)
    start = time.monotonic()
    log_panels: Callable[[Sequence[Logger], int], None]
    if run.task.is_multilabel:
        labels = collect_labels(run, trust)
        page, found = build_label_report(labels, start, command), label_answer(labels)
        log_panels = partial(log_label_panels, labels)
    else:
        data = collect(run, points, umap, trust)
        page, found = build_report(data, start, command), answer(data)
        log_panels = partial(log_report_panels, data)
    if output is None:
        output = run.folder / "report.html"
        keep_comparison(run, found["sentence"])
    write_file(output, lambda temporary: temporary.write_text(page))
    log_panels(loggers, step)
    return output
