"""Writes the training evidence that `lightning predict` compares new samples with."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import lightning
import torch
from torch import Tensor

from base.atomic_file import write_json
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.splitters import SplitName
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import score_and_embed
from modules.evaluation.prediction_evidence import PredictionEvidence, encoder_digest, evidence_path
from modules.evaluation.split_scores import SplitScores
from modules.level_accuracy import LEVELS_FILE, tested_levels
from modules.make_evidence import MOST_UNSEEN_SAMPLES, make_evidence, training_samples


class EvidenceWriter(lightning.Callback):
    """Writes the evidence of the tested checkpoint next to it, and how often test labels are right on each level."""

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Embed the training, validation and test samples, and write both files."""
        checkpoint, model = Path(str(trainer.ckpt_path)), cast(DrugClassifier, pl_module)
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        evidence = self.find(trainer, model, encoder_digest(checkpoint))
        # The fold that a member is tested on is also that of the estimate; its levels are those of the ensemble.
        has_test = data.split.fold is None and len(data.records.rows["test"]) > 0
        if has_test:
            scores, embeddings = self._some_of(trainer, model, "test")
        if not trainer.is_global_zero:
            return
        evidence.save(evidence_path(checkpoint))
        if has_test:
            levels = tested_levels(model, data, scores, embeddings, evidence)
            write_json({"levels": levels}, Path(trainer.default_root_dir) / LEVELS_FILE)

    @torch.no_grad()
    def find(self, trainer: lightning.Trainer, model: DrugClassifier, digest: str) -> PredictionEvidence:
        """Compute the evidence; must be called on all processes.

        Args:
            trainer: A trainer whose data module is a `DrugDataModule`.
            model: The model, with the weights of the checkpoint.
            digest: The `encoder_digest` of the checkpoint.
        """
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        samples = training_samples(model, data, trainer.precision_plugin.forward_context)
        return make_evidence(digest, samples, model, data, *self._some_of(trainer, model, "validation"))

    @staticmethod
    def _some_of(trainer: lightning.Trainer, model: DrugClassifier, split: SplitName) -> tuple[SplitScores, Tensor]:
        batches = trainer.datamodule.drawn_dataloader(split, MOST_UNSEEN_SAMPLES)  # type: ignore[attr-defined]
        return score_and_embed(model, batches, trainer.precision_plugin.forward_context)
