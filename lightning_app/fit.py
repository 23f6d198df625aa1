"""`lightning fit`: train, test the best checkpoint, report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from base.errors import InputError
from callbacks.evidence_writer import EvidenceWriter
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.recluster import Recluster
from callbacks.recluster_report import ReclusterReport
from callbacks.training_progress import TrainingProgress
from callbacks.training_stages import TrainingStages
from lightning_app.report import report_run
from modules.stages import Stage
from reports.wandb_panels import log_recluster_panels
from workflows.drug_cli import DrugCLI
from workflows.run_summary import report_test
from workflows.terminal import terminal_mode

_log = logging.getLogger("tailmol")

MONITORED = "val/balanced_accuracy"


class FitCLI(DrugCLI):
    """Settings and callbacks of training."""

    subcommand_name = "fit"
    kept_settings = None
    needs_checkpoint = False

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Settings of the training callbacks."""
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(Recluster, "recluster")
        parser.add_argument("--stages", type=list[Stage], default=[], help="What training changes from some epochs on.")
        parser.add_class_arguments(EarlyStopping, "early_stopping")
        parser.set_defaults({"early_stopping.monitor": MONITORED, "early_stopping.mode": "max"})
        parser.add_argument(
            "--checkpoint_every_n_steps", type=int, default=500, help="Training steps from one last.ckpt to the next."
        )
        parser.add_argument("--report", type=bool, default=True, help="Whether to write report.html at the end.")

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A resumed run goes on in its folder, wherever the command is given."""
        return {name: value for name, value in settings.items() if name != "run"}

    def resumed_from(self) -> Path | None:
        """The checkpoint that the user named."""
        return Path(self.checkpoint) if self.checkpoint else None

    def callbacks(self) -> list[Callback]:
        """Reclustering, the second stage, early stopping, and the best and the last checkpoint."""
        folder = self.folder / "checkpoints"
        best = ModelCheckpoint(folder, "best", monitor=MONITORED, mode="max", enable_version_counter=False)
        # `save_last` of `best` would write only with a better epoch.
        # At the end of the epoch, where early stopping has seen the metric, which no checkpoint holds.
        ended = ModelCheckpoint(
            folder, "last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
        within = LastCheckpoint(folder, self.config.checkpoint_every_n_steps)
        recluster: Recluster = self.config_init.recluster
        stages = [recluster, ReclusterReport(log_recluster_panels), TrainingStages(self.config_init.stages)]
        stages.append(EvidenceWriter(recluster))
        shows_progress = self.config.trainer.enable_progress_bar is not False and not terminal_mode().quiet
        progress = [TrainingProgress()] if shows_progress else []
        return [*stages, self.config_init.early_stopping, best, ended, within, *progress]

    def before_instantiate_classes(self) -> None:
        """Resolve the teachers' files, so that the run can be resumed from another folder."""
        super().before_instantiate_classes()
        for stage in self.config.stages:
            teacher = stage.distillation and stage.distillation.init_args.teacher
            if teacher:
                stage.distillation.init_args.teacher = str(Path(teacher).resolve())

    def after_instantiate_classes(self) -> None:
        """Training takes the classes from the table, also when it is resumed."""
        super().after_instantiate_classes()
        self.datamodule.trained_task = None


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `fit`.

    Raises:
        InputError: If the user's input is at fault.
    """
    cli = FitCLI(arguments)
    if cli.checkpoint:
        _warn_about_optimizer(arguments)
    data: dict[str, Any] = {"datamodule": cli.datamodule, "weights_only": True}
    cli.trainer.fit(cli.model, ckpt_path=cli.checkpoint, **data)
    best = getattr(cli.trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        raise InputError("trainer: no epoch was validated, so there is no best checkpoint to test.")
    cli.trainer.test(cli.model, ckpt_path=best, verbose=False, **data)
    report_test(cli.trainer, cli.folder)
    if cli.config.report and cli.trainer.is_global_zero:
        report_run(cli.folder, cli.trainer.loggers, cli.trainer.global_step)


def _warn_about_optimizer(arguments: list[str]) -> None:
    changed = [argument for argument in arguments if argument.startswith(("--model.optimizer", "--model.lr_scheduler"))]
    if changed:
        _log.warning(
            f"{changed[0].split('=')[0]}: a resumed run goes on with the checkpoint's optimiser and schedule, whose "
            "state this option does not change."
        )
