"""Panels of the report in W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import wandb
from lightning.pytorch.loggers import WandbLogger

from reports.label_report import label_figures
from reports.wandb_panels import log_label_panels
from tests.reports.made_label_run import made_label_report


def test_each_figure_of_a_report_on_labels_has_a_panel_beside_the_table(tmp_path: Path) -> None:
    data, logger = made_label_report(12, 900, tmp_path), mock.Mock(spec=WandbLogger)
    log_label_panels(data, [logger], 7)
    (panels,) = logger.experiment.log.call_args.args
    figures: dict[str, Any] = {name: panels[f"report/{name}"] for name in label_figures(data)}
    assert all(isinstance(one, wandb.Plotly) for one in figures.values())
    table = panels["report/label_results"]
    assert [row[0] for row in table.data] == list(data.names)
    assert panels["trainer/global_step"] == 7
