"""Train, test the best checkpoint, report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from base.atomic_file import write_json
from base.errors import InputError
from callbacks.distill import Distill
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.recluster import Recluster
from callbacks.retrain_classifier import RetrainClassifier
from callbacks.training_progress import TrainingProgress
from modules.checkpoint_file import load_model
from workflows.command_help import Option
from workflows.drug_cli import DrugCLI
from workflows.evidence_file import write_evidence
from workflows.final_report import report_run
from workflows.run_folder import remove_if_empty
from workflows.run_summary import finite_metrics
from workflows.setting_layers import CommandSettings
from workflows.terminal import quiet_lightning

_log = logging.getLogger("tailmol")

MONITORED = "val/balanced_accuracy"


class FitCLI(DrugCLI):
    """Settings and callbacks of training."""

    subcommand_name = "fit"
    description = (
        "Train, test the best checkpoint and report; with no option, the default method on the embedded inn_stems "
        "drugs. These are the settings that people change."
    )
    kept_settings = None
    # Their state in the checkpoint goes before the settings.
    fixed_settings = ("model.optimizer", "model.lr_scheduler")
    needs_checkpoint = False
    common_settings: Mapping[str, tuple[str, ...]] = {
        "data": ("source", "input", "smiles_columns", "label_column", "split", "split_seed", "sampling", "batch_size"),
        "model": ("encoder", "classification_loss", "contrastive", "contrastive_weight", "optimizer", "lr_scheduler"),
        "recluster": ("start_epoch", "every_n_epochs", "difficulty", "strength"),
        "early_stopping": ("patience",),
        "trainer": ("max_epochs", "accelerator", "devices", "precision"),
        "run": ("root", "name"),
        "tracking": ("wandb",),
    }

    def own_options(self) -> dict[str, Option]:
        """What belongs to the run as a whole."""
        return {
            "checkpoint_every_n_steps": Option(int, 500, "Training steps from one last.ckpt to the next."),
            "report": Option(bool, True, "Whether to write report.html at the end."),
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Settings of the training callbacks."""
        super().add_arguments_to_parser(parser)
        self.add_section(parser, Recluster, "recluster")
        self.add_section(parser, RetrainClassifier, "retrain_classifier")
        self.add_section(parser, Distill, "distill")
        self.add_section(parser, EarlyStopping, "early_stopping")
        parser.set_defaults({"early_stopping.monitor": MONITORED, "early_stopping.mode": "max"})

    def read_settings(self, arguments: list[str]) -> CommandSettings:
        """Warn of settings that are named and not used: a resumed run keeps its optimizer, a method its encoder."""
        settings = super().read_settings(arguments)
        used = settings.composition.origin(("model", "encoder", "class_path")) or ""
        for layer in settings.files:
            if layer.name.startswith("encoder/") and used.startswith("method/"):
                _log.warning(f"{layer.name}: {used} has its own encoder; --model.encoder would replace that.")
        for name in settings.ignored:
            _log.warning(f"{name}: a resumed run keeps the checkpoint's, whose state a setting does not change.")
        return settings

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A resumed run goes on in its folder, wherever the command is given."""
        return {name: value for name, value in settings.items() if name != "run"}

    def resumed_from(self) -> Path | None:
        """The checkpoint that the user named."""
        return Path(self.checkpoint) if self.checkpoint else None

    def leaves_parameters_out(self) -> bool:
        """Also where a second stage trains the classifier alone."""
        return self.config.retrain_classifier.start_epoch is not None or super().leaves_parameters_out()

    def callbacks(self) -> list[Callback]:
        """Reclustering, the second stage, early stopping, and the best and the last checkpoint."""
        best = ModelCheckpoint(filename="best", monitor=MONITORED, mode="max", enable_version_counter=False)
        # `save_last` of `best` would write only with a better epoch.
        # At the end of the epoch, where early stopping has seen the metric, which no checkpoint holds.
        ended = ModelCheckpoint(
            filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
        within = LastCheckpoint(self.config.checkpoint_every_n_steps)
        stages = [self.config_init.recluster, self.config_init.retrain_classifier, self.config_init.distill]
        shows_progress = self.config.trainer.enable_progress_bar is not False and self.show_progress
        progress = [TrainingProgress()] if shows_progress else []
        return [*stages, self.config_init.early_stopping, best, ended, within, *progress]

    def before_instantiate_classes(self) -> None:
        """Name the teacher's file whole, so that the run can be resumed from another folder."""
        super().before_instantiate_classes()
        teacher = self.config.distill.teacher
        if teacher is not None:
            self.config.distill.teacher = str(Path(teacher).resolve())

    def check_settings(self) -> None:
        """Refuse stages of training that do not go together."""
        model = self.config_init.model
        if model.class_scales and self.config.retrain_classifier.start_epoch is None:
            raise InputError("model.class_scales: they train in a second stage; set retrain_classifier.start_epoch.")
        retrained, distilled = self.config.retrain_classifier.start_epoch, self.config.distill.start_epoch
        if retrained is not None and distilled is not None and retrained <= distilled:
            raise InputError(
                f"retrain_classifier.start_epoch: expected a number above distill.start_epoch, {distilled}, since the "
                f"student needs an encoder of its own first; got {retrained}."
            )
        teacher = self.config.distill.teacher
        if (model.distillation is None) != (teacher is None and distilled is None):
            raise InputError(
                "model.distillation: it needs a teacher, and a teacher needs it; set both it and distill.teacher or "
                "distill.start_epoch, or neither."
            )
        if teacher is not None:
            self.config_init.distill.given = load_model(Path(teacher), "distill.teacher")

    def after_instantiate_classes(self) -> None:
        """Training takes the classes from the table, also when it is resumed."""
        super().after_instantiate_classes()
        self.datamodule.trained_task = None


@dataclass(frozen=True)
class FitResult:
    """A finished run.

    Attributes:
        folder: Where it wrote.
        best_checkpoint: The checkpoint that validated best.
        metrics: Of the test split, as in `test_metrics.json`; None where a metric does not exist.
        is_first_process: Whether this process is the one that writes and prints.
    """

    folder: Path
    best_checkpoint: Path
    metrics: dict[str, float | None]
    is_first_process: bool


@quiet_lightning()
def fit(
    options: Sequence[str] = (),
    configs: Sequence[str | Path] = (),
    command: str = "lightning",
    show_progress: bool = True,
) -> FitResult:
    """Train, test the best checkpoint and write the report.

    Args:
        options: As on the command line, such as `["--data.source", "my_drugs.csv", "--trainer.max_epochs=5"]`.
        configs: YAML files, yours or shipped, such as `method/paper.yaml`; options go before them.
        command: How the command was called, for messages.
        show_progress: Whether a line on the terminal may show progress.

    Raises:
        InputError: If a setting, a file or the table cannot be used.
    """
    words = [word for path in configs for word in ("--config", str(path))]
    cli = FitCLI([*words, *options], command, show_progress)
    data: dict[str, Any] = {"datamodule": cli.datamodule, "weights_only": True}
    try:
        cli.trainer.fit(cli.model, ckpt_path=cli.checkpoint, **data)
    finally:
        if cli.trainer.is_global_zero:
            remove_if_empty(cli.folder)
    best = getattr(cli.trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        raise InputError("trainer: no epoch was validated, so there is no best checkpoint to test.")
    cli.trainer.test(cli.model, ckpt_path=best, verbose=False, **data)
    result = FitResult(cli.folder, Path(best), finite_metrics(cli.trainer, "test/"), cli.trainer.is_global_zero)
    if result.is_first_process:
        write_json(result.metrics, result.folder / "test_metrics.json")
    write_evidence(cli.trainer, cli.model, cli.config_init.recluster, Path(best))
    if cli.config.report and result.is_first_process:
        report_run(cli.folder, cli.trainer.loggers, cli.trainer.global_step)
    return result
