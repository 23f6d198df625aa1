"""Lets the objective of a run choose the decision, before the test."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import cast

import lightning

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.checkpoint_file import weights_digest, write_decision
from modules.decision_choice import choose_decision, choose_from_file
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import score_validation_set
from modules.evaluation.evidence_columns import EvidenceColumns
from modules.evaluation.split_scores import scores_path
from modules.make_evidence import decided_evidence
from modules.opinion_choice import OpinionSettings, choose_opinions


class DecisionWriter(lightning.Callback):
    """Chooses the decision of the tested checkpoint on the validation samples, and writes it and their scores.

    The choice comes after training, so that it is the one that `lightning decide` makes from the file of scores.
    """

    def __init__(self, settings: DecisionSettings, opinions: OpinionSettings = OpinionSettings()) -> None:  # noqa: B008
        """Create the callback.

        Args:
            settings: The objective.
            opinions: The second opinions that are asked.
        """
        self.settings, self.opinions = settings, opinions

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check that the settings fit the classes, before the hours of training.

        Raises:
            InputError: If they do not.
        """
        task = cast(DrugClassifier, pl_module).task
        assert task is not None
        try:
            self.settings.make(task)
        except InputError as error:
            # The objective names its options as `lightning decide` has them.
            raise InputError(f"decision.{error}") from error
        asked = {"neighbors.number": self.opinions.neighbors.number, "forest.trees": self.opinions.forest.trees}
        for name, value in asked.items():
            if task.is_multilabel and value:
                raise InputError(f"{name}: expected 0 with data.labels multi, got {value}.")

    def on_test_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Choose the decision, and write scores and decision beside and into the tested checkpoint.

        A member of an ensemble has none of its own: that of the ensemble is chosen on the scores of all folds.
        """
        model, data = cast(DrugClassifier, pl_module), cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        if data.split.fold is not None:
            return
        # The checkpoint of a resumed run may have opinions already, which are not part of the scores.
        model.decision.opinions.forget()
        scores = score_validation_set(model, data, trainer.precision_plugin.forward_context)
        (scores,) = choose_opinions(model, data, [scores], self.opinions)
        choose_decision(model, scores, self.settings)
        if trainer.is_global_zero:
            checkpoint = Path(str(trainer.ckpt_path))
            scores.save(scores_path(checkpoint), weights_digest(checkpoint))
            write_decision(checkpoint, model.decision.state_dict(), asdict(self.settings))


class DecisionUser(lightning.Callback):
    """Predicts with the decision of another objective, for this prediction only.

    Attributes:
        evidence: Columns of evidence, whose estimate of right labels becomes that of the decision; None without.
    """

    def __init__(self, settings: DecisionSettings) -> None:
        """Create the callback.

        Args:
            settings: The objective.
        """
        self.settings = settings
        self.evidence: EvidenceColumns | None = None

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Choose the decision, from the scores beside the checkpoint.

        Raises:
            InputError: If there are no scores, or the settings do not fit the classes.
        """
        model = cast(DrugClassifier, pl_module)
        scores = choose_from_file(model, Path(str(trainer.ckpt_path)), self.settings)
        if self.evidence is not None:
            self.evidence.evidence = decided_evidence(model.decision, scores, self.evidence.evidence)
