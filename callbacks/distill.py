"""Training from a teacher: one that was trained before, or the first stage of the same run."""

from __future__ import annotations

import logging
from typing import Any, cast

import lightning

from base.errors import InputError
from callbacks.training_stages import reset_layers, restart_schedule
from datamodules.drug_datamodule import DrugDataModule
from modules.distillation import Teacher
from modules.drug_classifier import DrugClassifier

_log = logging.getLogger("tailmol")


class Distill(lightning.Callback):
    """Gives the model of `model.distillation` its teacher (DiVE; He et al., 2021, arXiv 2103.15042).

    With `start_epoch` the run trains its own teacher first: at that epoch the model becomes the teacher, and a student
    with new weights, the learning rate and the patience of early stopping start again. The teacher is in the
    checkpoint.

    Attributes:
        given: The model of the file `teacher`, which whoever reads checkpoints puts here before the run.
    """

    def __init__(self, start_epoch: int | None = None, teacher: str | None = None) -> None:
        """Keep the settings.

        Args:
            start_epoch: First epoch of the student; null trains no teacher in this run.
            teacher: A checkpoint of `lightning fit` on the same classes that teaches from the first epoch on.

        Raises:
            ValueError: If both are given, or the epoch is below 1.
        """
        if start_epoch is not None and teacher is not None:
            raise ValueError("distill: give start_epoch or teacher, not both.")
        if start_epoch is not None and start_epoch < 1:
            raise ValueError(f"distill.start_epoch: expected 1 or more, got {start_epoch}.")
        self.start_epoch, self.teacher = start_epoch, teacher
        self.given: DrugClassifier | None = None
        self.layers: Teacher | None = None
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights, for the checkpoint; nothing before there is one, or where its file is kept."""
        own = self.layers is not None and self.teacher is None
        return {"teacher": self.layers.state_dict()} if own and self.layers is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the teacher of a run that is resumed."""
        self._restored = state_dict.get("teacher")

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Check that a teacher from a file can answer for these data.

        Raises:
            InputError: If it was trained on other classes or features.
        """
        if self.given is None:
            return
        known = self.given.task
        task = cast(DrugDataModule, trainer.datamodule).task  # type: ignore[attr-defined]
        assert known is not None
        if (known.classes, known.input, known.features) != (task.classes, task.input, task.features):
            raise InputError(
                f"distill.teacher: {self.teacher} was trained on other classes or features ({known.num_classes} "
                f"classes, the data have {task.num_classes}); expected the same."
            )
        self.layers = Teacher(self.given)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Hand over the teacher, if there is one by now."""
        model = cast(DrugClassifier, pl_module)
        if self._restored is not None:
            self.layers = Teacher(model)
            self.layers.load_state_dict(self._restored)
        if self.layers is not None:
            model.teacher = self.layers.to(model.device).forward

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Turn the model into the teacher of a new one if it is time."""
        if self.layers is not None or self.start_epoch is None or trainer.current_epoch < self.start_epoch:
            return
        model = cast(DrugClassifier, pl_module)
        _log.info(f"Epoch {trainer.current_epoch}: what was trained teaches a student with new weights.")
        self.layers = Teacher(model)
        model.teacher = self.layers.forward
        reset_layers(trainer, [model.encoder, model.projection, model.classifier], self.start_epoch)
        model.forget_subclusters()
        restart_schedule(trainer, model)
