"""Settings, callbacks and trainer of `lightning fit`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from base.errors import InputError
from base.ranges import check_whole
from callbacks.decision_writer import DecisionWriter
from callbacks.enough_steps import EnoughSteps
from callbacks.evidence_writer import EvidenceWriter
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.own_checkpoints import OwnCheckpoints
from callbacks.recluster import Recluster
from callbacks.recluster_report import ReclusterReport
from callbacks.requeue import Requeue
from callbacks.training_progress import TrainingProgress
from callbacks.training_stages import TrainingStages
from datamodules.tables.class_labels import LabelKind
from modules.checkpoint_file import read_checkpoint
from modules.decisions.settings import DecisionSettings
from modules.forest.settings import ForestSettings
from modules.neighbors.settings import NeighborSettings
from modules.opinion_choice import OpinionSettings
from modules.saved_settings.plain_values import plain_settings
from modules.training.lr_schedule import read_schedule
from modules.training.stages import Stage
from reports.wandb_panels import log_recluster_panels
from workflows.drug_cli import DrugCLI
from workflows.initial_encoder import read_initial_encoder
from workflows.resuming import Resuming
from workflows.run_folder import RunSettings, find_interrupted
from workflows.settings.command_help import COMPUTING, RUN, Option
from workflows.settings.epoch_shares import check_epoch_shares, epoch_shares, with_epoch_shares
from workflows.settings.layers import CommandSettings
from workflows.settings.lightning_numbers import check_early_stopping_numbers
from workflows.settings.saved import left_to_the_user
from workflows.settings.training_length import check_training_length
from workflows.stop_callback import KeepStopSignals

_log = logging.getLogger("tailmol")

MONITORED: dict[LabelKind, str] = {"single": "val/balanced_accuracy", "multi": "val/average_precision"}
"""Metric that chooses the best checkpoint and stops training early, by `data.labels`."""


class FitCLI(DrugCLI):
    """Settings, callbacks and trainer of `lightning fit`."""

    subcommand_name = "fit"
    description = (
        "Train a model, test its best checkpoint and write a report. Without options, the default method is trained on "
        "the shipped inn_stems data. These are the settings that are commonly changed, with their default values for "
        "a table of your own."
    )
    kept_settings = None
    unused_settings: Mapping[str, tuple[str, ...]] = {}
    # A checkpoint contains its state, which would override other settings.
    fixed_settings = ("model.optimizer", "init_from")
    needs_checkpoint = False
    trains_on_all = False
    """Whether all rows are trained on, and none are left to validate and test."""
    common_settings: Mapping[str, Mapping[str, str]] = {
        "Data": {
            "data.source": "table, .npz or name of a known data set",
            "data.input": "or pair, reaction, drug_protein, array",
            "data.smiles_columns": "columns of SMILES; null: by usual names",
            "data.labels": "or multi: several labels a row",
            "data.label_column": "column of labels; null: by usual names",
            "data.label_separator": "between labels with --data.labels multi",
            "data.id_column": "column of names or ids, for predictions",
            "data.split": "or scaffold, cold, standard, file",
            "data.split_seed": "random seed of the split",
            "data.batch_size": "training samples in a batch of a process",
        },
        "Model and method (--config method/NAME.yaml sets others)": {
            "model.encoder": "or GIN, GCN, FingerprintMLP, ArrayMLP, ...",
            "model.optimizer": "learning rate: --model.optimizer.lr 0.001",
            "init_from": "trained run whose encoder to start from",
            "recluster.start_epoch": "first epoch with sub-clusters; null: never",
            "recluster.every_n_epochs": "epochs from one reclustering to the next",
            "recluster.difficulty": "of a class; or distance, spread, ...",
            "decision.objective": "or balanced_accuracy, head_kept, ...",
        },
        "Training": {
            "trainer.max_epochs": "most epochs to train",
            "early_stopping.patience": "epochs without a better one before the end",
            **COMPUTING,
            "trainer.precision": "null: 32-true; or bf16-mixed, 16-mixed",
            "seed_everything": "random seed of all but the split",
            "folds": "number of models, each tested on one fold",
            "refit": "train once more on all rows after the test",
        },
        "Run": {
            **RUN,
            "ckpt_path": "checkpoint of an interrupted run to resume",
            "report": "write report.html at the end",
        },
    }

    def own_options(self) -> dict[str, Option]:
        """Options of the training run."""
        return {
            "init_from": Option(
                str | None,
                None,
                "Run folder or checkpoint of a trained model whose encoder weights training starts from; the head is "
                "new, so the classes may be others. null starts from random weights.",
            ),
            "checkpoint_every_n_steps": Option(int, 500, "Number of training steps between updates of last.ckpt."),
            "stages": Option(list[Stage], [], "Stages, which change the training from an epoch on (docs/methods.md)."),
            "folds": Option(
                int | None,
                None,
                "Number of models to train, each without one fold of the rows, which it is tested on; their ensemble "
                "predicts. null trains one model.",
            ),
            "only_folds": Option(
                list[int] | int | None,
                None,
                "Folds whose models to train now, counted from 0; the others are trained by other processes with the "
                "same run.version, of which the one that finds all finished joins them. null trains all.",
            ),
            "refit": Option(
                bool,
                False,
                "Whether to train once more after the test, with the same settings on all rows; "
                "checkpoints/final.ckpt then predicts, best.ckpt was tested (docs/ensembles.md).",
            ),
            "report": Option(bool, True, "Whether to write report.html at the end."),
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the settings of the training callbacks."""
        super().add_arguments_to_parser(parser)
        self.add_section(parser, Recluster, "recluster")
        self.add_section(parser, DecisionSettings, "decision")
        self.add_section(parser, NeighborSettings, "neighbors")
        self.add_section(parser, ForestSettings, "forest")
        self.add_section(parser, EarlyStopping, "early_stopping")
        parser.set_defaults({"early_stopping.monitor": MONITORED["single"], "early_stopping.mode": "max"})

    def read_settings(self, arguments: list[str]) -> CommandSettings:
        """Warn of settings that have no effect, since the checkpoint or the method determines them."""
        settings = super().read_settings(arguments)
        saved = {} if self.saved is None else self.saved.settings
        for name in left_to_the_user(saved, settings.composition.settings):
            _log.warning(f"{name}: the checkpoint's value has no effect; it is yours to give again.")
        used = settings.composition.origin(("model", "encoder", "class_path")) or ""
        for layer in settings.files:
            if layer.name.startswith("encoder/") and used.startswith("method/"):
                _log.warning(f"{layer.name} has no effect: {used} has its own encoder, which --model.encoder replaces.")
        for name in settings.ignored:
            _log.warning(f"{name}: the new value has no effect: a resumed run keeps that of the checkpoint.")
        return settings

    def check_numbers(self) -> None:
        """See `DrugCLI.check_numbers`."""
        super().check_numbers()
        check_whole("checkpoint_every_n_steps", self.config.checkpoint_every_n_steps, 1)
        check_early_stopping_numbers(self.config.early_stopping)
        check_whole("folds", self.config.folds, 2, optional=True)
        if self.config.model.members != 1:
            raise InputError(f"model.members: expected 1 for fit, got {self.config.model.members}; use --folds.")
        if self.config.trainer.max_epochs == 0:
            raise InputError("trainer.max_epochs: expected 1 or more, or -1 for no limit, got 0.")
        if self.config.data.train_on_all and not self.trains_on_all:
            raise InputError("data.train_on_all: expected false, got true; use --refit true, which tests first.")
        if self.config.refit and self.config.folds is not None:
            raise InputError("refit: expected false with folds, which train on all rows together, got true.")
        if self.config.refit and self.config.data.folds is not None:
            raise InputError("refit: expected false with data.folds, got true.")
        leaves_out_fold = self.config.folds is not None or self.config.data.fold is not None
        check_training_length(self.config.trainer, leaves_out_fold, self.config.refit)
        check_epoch_shares(self.settings.composition.settings, self.config.trainer.max_epochs)

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Let the schedule follow `trainer.max_epochs`."""
        assert self.saved is not None
        self._saved_settings, self._saved_schedule = settings, read_schedule(self.saved.path)
        return with_epoch_shares(settings, self._saved_schedule.shares)

    def resumed_from(self) -> Path | None:
        """The checkpoint to resume from, if any."""
        return Path(self.checkpoint) if self.checkpoint else None

    def interrupted_checkpoint(self) -> str | None:
        """The last checkpoint of the same run in a job that SLURM has restarted, if any."""
        path = find_interrupted(RunSettings(**self.config.run.as_dict()), self.config.data.source)
        # A job may start several runs.
        is_same = path is not None and read_checkpoint(path).settings == self.plain_settings()
        return str(path) if is_same else None

    def goes_on(self) -> bool:
        """See `DrugCLI.goes_on`."""
        return self.resumed_from() is not None or self.interrupted_checkpoint() is not None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that validates a fold after the last epoch alone, since the fold chooses nothing before.

        Raises:
            InputError: If several models are asked for, since this is the trainer of one.
        """
        if self.config.folds is not None:
            raise InputError(
                f"folds: expected null for a resumed run and in a search, got {self.config.folds}; an ensemble goes on "
                "with its own command and --run.version."
            )
        if self.config.data.fold is not None:
            kwargs["check_val_every_n_epoch"] = self.config.trainer.max_epochs
        return super().instantiate_trainer(**kwargs)

    def has_unused_parameters(self) -> bool:
        """Whether a step of some epoch does not use all parameters, also because a stage freezes them."""
        return any(stage.frozen for stage in self.config_init.stages) or super().has_unused_parameters()

    @property
    def opinion_settings(self) -> OpinionSettings:
        """Settings of the second opinions."""
        return OpinionSettings(self.config_init.neighbors, self.config_init.forest)

    def callbacks(self) -> list[Callback]:
        """Callbacks for reclusters, training stages, evidence, early stopping, checkpoints and progress."""
        # The fold that is left out must not choose the epoch, since the model is tested on it.
        tested = self.config.data.fold is not None
        labels: LabelKind = self.config.data.labels
        monitored = None if tested else MONITORED[labels]
        best = ModelCheckpoint(filename="best", monitor=monitored, mode="max", enable_version_counter=False)
        # `save_last` would write it only together with a better epoch. At the end of the training epoch, the checkpoint
        # contains the state of early stopping after this epoch.
        ended = ModelCheckpoint(
            filename="last", every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
        )
        within = LastCheckpoint(self.config.checkpoint_every_n_steps)
        recluster: Recluster = self.config_init.recluster
        stages = TrainingStages(self.config_init.stages, self.trust)
        deciding = DecisionWriter(self.config_init.decision, self.opinion_settings)
        # A stage may reset the encoder, whose new embeddings a recluster before the same epoch must read.
        own = [stages, recluster, ReclusterReport(log_recluster_panels), deciding, self._resuming(), EvidenceWriter()]
        if self.config.init_from is not None and not self.goes_on():
            own.append(read_initial_encoder(Path(self.config.init_from), self.plain_settings(), self.trust))
        shows_progress = self.config.trainer.enable_progress_bar is not False and self.show_progress
        progress = [TrainingProgress()] if shows_progress else []
        saving = [best, ended, within, Requeue(), KeepStopSignals(), OwnCheckpoints()]
        stopping = [] if tested else [EnoughSteps(), self.config_init.early_stopping]
        return [*own, *stopping, *saving, *progress]

    def _resuming(self) -> Resuming:
        resuming = Resuming(epoch_shares(self.settings.composition.settings))
        if self.saved is not None:
            new, saved = self.plain_settings(), self._saved_settings
            resuming.check_schedule(self.config_init.model, new, saved, self._saved_schedule)
        return resuming

    def before_instantiate_classes(self) -> None:
        """Make the paths of other models absolute, so that the run can be resumed from any working directory.

        Raises:
            InputError: If a checkpoint with the settings could not be read again.
        """
        super().before_instantiate_classes()
        if self.config.init_from is not None:
            self.config.init_from = str(Path(self.config.init_from).resolve())
        for stage in self.config.stages:
            teacher = stage.distillation and stage.distillation.init_args.teacher
            if teacher:
                stage.distillation.init_args.teacher = str(Path(teacher).resolve())
        try:
            plain_settings(self.plain_settings())
        except ValueError as error:
            raise InputError(f"{error}; no checkpoint with these settings could be read again.") from error

    def after_instantiate_classes(self) -> None:
        """Take the classes from the table, not from the checkpoint, also in a resumed run."""
        super().after_instantiate_classes()
        self.datamodule.trained_task = None
