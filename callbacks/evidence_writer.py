"""Writes the training evidence that `lightning predict` compares new samples with."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import lightning
from numpy.typing import NDArray
from torch import Tensor

from callbacks.recluster import Recluster
from datamodules.drug_datamodule import DrugDataModule
from datamodules.sampling import draw_per_class
from datamodules.tables.drug_table import DrugTable
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import Precision, embed_training_set, embed_validation_set
from modules.evaluation.make_evidence import make_evidence
from modules.evaluation.prediction_evidence import PredictionEvidence, encoder_digest, evidence_path


class EvidenceWriter(lightning.Callback):
    """Embeds the training and validation set at the end of a test and writes the evidence next to the checkpoint.

    Sub-clusters are found with the recluster settings of the run, about 1,000 in total; a run without reclusters has
    one sub-cluster for each class.
    """

    def __init__(self, recluster: Recluster) -> None:
        """Create the callback.

        Args:
            recluster: The recluster callback of the run, for its settings.
        """
        self.recluster = recluster

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the evidence of the tested checkpoint."""
        checkpoint = Path(str(trainer.ckpt_path))
        evidence = self.find(trainer, cast(DrugClassifier, pl_module), encoder_digest(checkpoint))
        if trainer.is_global_zero:
            evidence.save(evidence_path(checkpoint))

    def find(self, trainer: lightning.Trainer, model: DrugClassifier, digest: str) -> PredictionEvidence:
        """Compute the evidence; must be called on all processes.

        Args:
            trainer: A trainer whose data module is a `DrugDataModule`.
            model: The model, with the weights of the checkpoint.
            digest: The `encoder_digest` of the checkpoint.
        """
        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        precision = trainer.precision_plugin.forward_context
        validation = embed_validation_set(model, data, precision)
        return find_evidence(model, data, self.recluster, digest, validation, precision)


def find_evidence(
    model: DrugClassifier,
    data: DrugDataModule,
    recluster: Recluster,
    digest: str,
    validation: Tensor,
    precision: Precision = nullcontext,
) -> PredictionEvidence:
    """Compute the evidence of a model; must be called on all processes.

    Args:
        model: The model.
        data: Its data module, set up.
        recluster: The recluster callback of its run, for its settings.
        digest: The `encoder_digest` of its checkpoint.
        validation: Embeddings of the validation samples, fp32 (V, d).
        precision: Creates the context of a forward pass, as for `infer`.
    """
    assert model.task is not None
    train, settings = data.records.rows["train"], recluster.settings
    rows = draw_per_class(data.records.codes[train], recluster.sample_per_class, settings.seed)
    return make_evidence(
        digest,
        embed_training_set(model, data, rows, precision),
        validation,
        model.task.classes,
        _texts(data.table.table, train[rows]),
        None if recluster.start_epoch is None else settings,
        settings.seed,
    )


def _texts(table: DrugTable, rows: NDArray[Any]) -> list[str]:
    """Texts that identify samples: SMILES joined by >>; for arrays the id, or else the row, counted from 1."""
    if table.smiles:
        columns = [column.gather(rows).to_list() for column in table.smiles]
        return [">>".join(cells) for cells in zip(*columns, strict=True)]
    if table.columns.id is not None:
        return [str(name) for name in table.frame[table.columns.id].gather(rows).to_list()]
    return [f"row {row + 1}" for row in rows.tolist()]
