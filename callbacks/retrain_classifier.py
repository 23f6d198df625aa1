"""A second stage of training for the classifier alone."""

from __future__ import annotations

import logging
from typing import cast

import lightning

from callbacks.training_stages import reset_layers, restart_schedule
from modules.drug_classifier import DrugClassifier

_log = logging.getLogger("tailmol")


class RetrainClassifier(lightning.Callback):
    """From some epoch on, trains a new classifier on an encoder that stays as it is.

    This is classifier re-training, cRT (Kang et al., 2020, arXiv 1910.09217). The contrastive loss is left out then. To
    draw classes alike in the second stage, set `data.sampling` to `DeferredSampling` with the same start. A run that is
    resumed with a later start retrains its classifier then. The learning rate and the patience of early stopping start
    again. With `model.class_scales` the classifier stays too, and the
    factors of the classes train (learnable weight scaling, LWS).
    """

    def __init__(self, start_epoch: int | None = None) -> None:
        """Keep the setting.

        Args:
            start_epoch: First epoch of the second stage; null never starts it.

        Raises:
            ValueError: If it is negative.
        """
        if start_epoch is not None and start_epoch < 0:
            raise ValueError(f"start_epoch: expected 0 or more, got {start_epoch}.")
        self.start_epoch = start_epoch
        self._done = False

    def state_dict(self) -> dict[str, bool]:
        """Whether the classifier was made anew, for the checkpoint."""
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, bool]) -> None:
        """Take up whether the classifier was made anew before a run was resumed."""
        self._done = state_dict["done"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Go on with a second stage that was cut off."""
        cast(DrugClassifier, pl_module).encoder_frozen = self._done

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin the second stage if it is time."""
        if self._done or self.start_epoch is None or trainer.current_epoch < self.start_epoch:
            return
        model = cast(DrugClassifier, pl_module)
        self._done = model.encoder_frozen = True
        what = "the factors of the classes train" if model.class_scales else "a new classifier trains on it"
        _log.info(f"Epoch {trainer.current_epoch}: the encoder stays as it is; {what}.")
        restart_schedule(trainer, model)
        if not model.class_scales:
            reset_layers(trainer, [model.classifier], self.start_epoch)
