"""Runs the stages of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.trainer.states import TrainerFn

from base.errors import InputError
from callbacks.recluster import Recluster
from datamodules.drug_datamodule import DrugDataModule
from datamodules.sampling import PowerSampling, SamplingSchedule
from modules.drug_classifier import DrugClassifier
from modules.losses import MultilabelLoss
from modules.multilabel.decision import LabelDecision
from modules.network import Network
from modules.seeding import run_seed
from modules.training.stages import Stage, check_order, stage_at

_log = logging.getLogger("tailmol")


class TrainingStages(lightning.Callback):
    """Starts each stage at its epoch and applies its settings to data, network, objective and decision.

    Attributes:
        teacher: Teacher of the current stage; None without.
    """

    def __init__(self, stages: Sequence[Stage] = (), trust: Sequence[str] = ()) -> None:
        """Create the callback.

        Args:
            stages: Training stages in the order of their start epochs; may be empty.
            trust: Modules with classes of the user that the checkpoint of a teacher may name.

        Raises:
            ValueError: If the start epochs do not increase.
        """
        check_order(stages)
        self.stages, self.trust = list(stages), tuple(trust)
        self.teacher: Network | None = None
        self._of_files: dict[str, Network] = {}
        self._entered: int | None = None
        self._restored_teacher: dict[str, Any] | None = None

    @property
    def current(self) -> Stage | None:
        """The current training stage; None before the first one."""
        begun = [stage for stage in self.stages if stage.start_epoch == self._entered]
        return begun[0] if begun else None

    def state_dict(self) -> dict[str, Any]:
        """Start epoch of the current stage, and weights of a teacher from this run, for the checkpoint."""
        state = {"entered": self._entered}
        if self.teacher is None or not _has_own_teacher(self.current):
            return state
        return {**state, "teacher": self.teacher.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a resumed run."""
        self._entered, self._restored_teacher = state_dict["entered"], state_dict.get("teacher")

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Check the stages against the model, plan the sampling, and load the teachers' checkpoints.

        Raises:
            InputError: If the stages do not fit the model or the data.
        """
        if stage != "fit":
            return
        model, data = cast(DrugClassifier, pl_module), cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        self._check(model)
        if any(one.sampling is not None for one in self.stages):
            planned = [(one.start_epoch, one.sampling or data.sampling) for one in self.stages]
            data.sampling = SamplingSchedule([(0, data.sampling), *planned])
        files = [one.distillation.teacher for one in self.stages if one.distillation is not None]
        self._of_files = {file: self._load_teacher(file, data) for file in files if file is not None}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Continue the stage in which a resumed run was stopped, and check that later ones can begin.

        Raises:
            InputError: If a layer cannot be reset, or the checkpoint has no teacher of the stage.
        """
        model = cast(DrugClassifier, pl_module)
        for stage in self.stages:
            model.network.check_reset(stage.reset)
        if self.current is not None and self.teacher is None:
            self.teacher = self._teacher_of(self.current, model)
            if self.teacher is not None and _has_own_teacher(self.current):
                self._restore(self.teacher)
        self._apply(model)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start a stage if this is its first epoch."""
        place = stage_at(self.stages, trainer.current_epoch)
        if place is None or self.stages[place].start_epoch == self._entered:
            return
        stage, model = self.stages[place], cast(DrugClassifier, pl_module)
        self._entered = stage.start_epoch
        if stage.start_epoch > 0:
            _log.info(f"Epoch {trainer.current_epoch}: training stage started ({stage.description}).")
        self.teacher = self._teacher_of(stage, model)
        if stage.reset:
            self._reset(trainer, model, stage)
        if stage.restarts:
            _restart_schedule(trainer, model)
        self._apply(model)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Tell the decision which prior training removes from the logits at present."""
        model = cast(DrugClassifier, pl_module)
        if trainer.state.fn != TrainerFn.FITTING or isinstance(model.decision, LabelDecision):
            return
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        counts = model.class_state.counts
        shares = (data.sampling or PowerSampling(1)).shares(counts.cpu().numpy(), trainer.current_epoch)
        on_device = torch.from_numpy(shares).float().to(counts.device)
        model.decision.removed_prior.fill_(model.objective.removed_prior(counts, on_device))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave a model of which all parts can train."""
        cast(DrugClassifier, pl_module).network.freeze(())

    def _apply(self, model: DrugClassifier) -> None:
        stage = self.current or Stage()
        model.network.freeze(stage.frozen)
        model.objective.weighting, model.objective.distillation = stage.weighting, stage.distillation
        model.objective.teacher = None if self.teacher is None else self.teacher.to(model.device).logits
        model.decision.use(stage.correction)

    def _reset(self, trainer: lightning.Trainer, model: DrugClassifier, stage: Stage) -> None:
        """Reinitialize parts of the network and clear their optimizer and class state."""
        model.network.reset(stage.reset, run_seed() + stage.start_epoch)
        modules = model.network.modules_of(stage.reset)
        parameters = [parameter for module in modules for parameter in module.parameters(recurse=False)]
        for optimizer in trainer.optimizers:
            for parameter in parameters:
                optimizer.state.pop(parameter, None)
        if "encoder" in stage.reset:
            model.class_state.reset()
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Recluster):
                    callback.forget(model)

    def _teacher_of(self, stage: Stage, model: DrugClassifier) -> Network | None:
        """The teacher of a stage that begins now: that of its file, or else the model."""
        if stage.distillation is None:
            return None
        file = stage.distillation.teacher
        return model.network.frozen_copy() if file is None else self._of_files[file]

    def _restore(self, teacher: Network) -> None:
        if self._restored_teacher is None:
            raise InputError(
                f"stages.distillation.teacher: expected a checkpoint for the stage of epoch {self._entered}, since the "
                "run was stopped in this stage and had no teacher then, got null."
            )
        teacher.load_state_dict(self._restored_teacher)

    def _check(self, model: DrugClassifier) -> None:
        head = model.network.head
        is_multilabel = isinstance(model.objective.classification_loss, MultilabelLoss)
        for stage in self.stages:
            for name in ("distillation", "correction") if is_multilabel else ():
                if (one := getattr(stage, name)) is not None:
                    raise InputError(
                        f"stages.{name}: expected null with data.labels multi, got {type(one).__name__}, which needs "
                        "classes that exclude each other."
                    )
            if stage.distillation is not None and model.objective.mixing is not None:
                raise InputError(
                    "stages.distillation: expected null with model.mixing, since a teacher cannot label mixtures, got "
                    f"{type(stage.distillation).__name__}."
                )
            if stage.correction is not None and stage.correction.needs_linear_head and not head.is_linear:
                raise InputError(
                    "stages.correction: expected model.head without experts, cosine_scale and class_scales, got "
                    f"{type(stage.correction).__name__}, which needs a single linear head."
                )
            if {"encoder", "classifier"} <= set(stage.frozen) and not head.class_scales:
                raise InputError(
                    "stages.frozen: expected model.head.class_scales to be true with a frozen encoder and classifier, "
                    "since only class scales are trained then, got false."
                )
        if head.class_scales and not any("classifier" in stage.frozen for stage in self.stages):
            raise InputError(
                "model.head.class_scales: expected a stage that freezes the classifier, in which the class scales are "
                "trained, got none in stages."
            )

    def _load_teacher(self, file: str, data: DrugDataModule) -> Network:
        teacher = DrugClassifier.load_from_checkpoint(
            Path(file), setting="stages.distillation.teacher", trust=self.trust
        )
        known, task = teacher.task, data.task
        assert known is not None
        if (known.classes, known.input, known.features) != (task.classes, task.input, task.features):
            raise InputError(
                f"stages.distillation.teacher: expected the classes and features of the data ({task.num_classes} "
                f"classes), got others ({known.num_classes} classes) in {file}."
            )
        return teacher.network.frozen_copy()


def _has_own_teacher(stage: Stage | None) -> bool:
    """Whether the teacher of a stage is the model at its beginning, which is in no file."""
    return stage is not None and stage.distillation is not None and stage.distillation.teacher is None


def _restart_schedule(trainer: lightning.Trainer, model: DrugClassifier) -> None:
    """Restart the learning-rate schedule and the patience of early stopping."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
    if model.make_lr_scheduler is not None:
        for config, optimizer in zip(trainer.lr_scheduler_configs, trainer.optimizers, strict=True):
            config.scheduler = model.make_lr_scheduler(optimizer)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping):
            callback.wait_count = 0
