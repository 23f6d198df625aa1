"""At the end of training: what predictions are compared with."""

from __future__ import annotations

from typing import Any, cast

import lightning
import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from callbacks.recluster import Recluster
from callbacks.training_embeddings import embed_training_set, sampled_rows
from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.tables.drug_table import DrugTable
from modules.drug_classifier import DrugClassifier
from modules.evaluation.prediction_evidence import PredictionEvidence, central_samples, neighbour_distances
from modules.processes import gather_rows
from modules.subclusters import Subclusters, subcluster
from modules.unit_embeddings import group_means, unit_embeddings

CENTRAL_DRUGS = 3
MOST_SUBCLUSTERS = 1_000
"""Sub-clusters of all classes together, about: one for each class comes on top."""
MOST_TRAINING_SAMPLES = 4_096
MOST_VALIDATION_SAMPLES = 10_000


@torch.no_grad()
def find_evidence(
    trainer: lightning.Trainer, model: DrugClassifier, recluster: Recluster, checkpoint: str
) -> PredictionEvidence:
    """Embed the training and the validation set and keep what predictions are compared with.

    All processes must call it. Sub-clusters are those of a recluster, no more than about `MOST_SUBCLUSTERS`; one for
    each class where the run does not recluster.

    Args:
        trainer: Its data module is a `DrugDataModule`.
        model: With the weights of the checkpoint.
        recluster: How the run reclusters.
        checkpoint: `encoder_digest` of the checkpoint.
    """
    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    assert model.task is not None
    device = model.device
    model.to(trainer.strategy.root_device)
    codes = data.records.codes[data.records.rows["train"]]
    rows = sampled_rows(codes, recluster.sample_per_class, recluster.seed)
    embeddings, labels = embed_training_set(trainer, model, rows)
    found = _subclusters(embeddings, labels, model.task.num_classes, recluster)
    texts = _texts(data.table.table, data.records.rows["train"][rows])
    central = central_samples(embeddings.cpu(), found.ids.cpu(), found.centroids.cpu(), texts, CENTRAL_DRUGS)
    kept = sampled_rows(codes[rows], _most_per_class(codes[rows], MOST_TRAINING_SAMPLES), recluster.seed)
    # As it is read back from the file.
    training = unit_embeddings(embeddings[torch.from_numpy(kept).to(embeddings.device)]).half().float()
    distances = neighbour_distances(_embed_validation_set(trainer, model), training).sort().values
    if len(distances) > MOST_VALIDATION_SAMPLES:
        places = torch.linspace(0, len(distances) - 1, MOST_VALIDATION_SAMPLES, dtype=torch.float64)
        distances = distances[places.long().to(distances.device)]
    model.to(device)
    names = _names(found.class_of.tolist(), model.task.classes)
    drugs = ["; ".join(own) for own in central]
    return PredictionEvidence(checkpoint, names, drugs, found.centroids, training, distances)


def _subclusters(embeddings: Tensor, labels: Tensor, num_classes: int, recluster: Recluster) -> Subclusters:
    if recluster.start_epoch is None:
        present = torch.bincount(labels, minlength=num_classes).nonzero().squeeze(1)
        means, _ = group_means(unit_embeddings(embeddings), labels, num_classes)
        return Subclusters(torch.searchsorted(present, labels), present, means[present])
    least = max(recluster.min_size, len(labels) // MOST_SUBCLUSTERS)
    return subcluster(embeddings, labels, num_classes, least, recluster.method, recluster.seed, None, recluster.backend)


def _most_per_class(codes: NDArray[Any], most: int) -> int:
    """The largest number of samples of each class that are no more than `most` together, at least 1."""
    counts = numpy.bincount(codes)
    fits = [bound for bound in range(1, most + 1) if numpy.minimum(counts, bound).sum() <= most]
    return fits[-1] if fits else 1


def _embed_validation_set(trainer: lightning.Trainer, model: DrugClassifier) -> Tensor:
    """Embeddings of the validation samples of all processes, (V, d), in any order."""
    data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
    was_training = model.training
    model.eval()
    found = []
    with trainer.precision_plugin.forward_context():
        for batch in data.val_dataloader():
            batch = cast(Batch, trainer.strategy.batch_to_device(batch))
            found.append(model.embed(batch).float())
    model.train(was_training)
    return gather_rows(torch.cat(found))


def _texts(table: DrugTable, rows: NDArray[Any]) -> list[str]:
    """SMILES of samples, two joined as a reaction is written; of arrays the name, or else the row from 1."""
    if table.smiles:
        columns = [column.gather(rows).to_list() for column in table.smiles]
        return [">>".join(cells) for cells in zip(*columns, strict=True)]
    if table.columns.id is not None:
        return [str(name) for name in table.frame[table.columns.id].gather(rows).to_list()]
    return [f"row {row + 1}" for row in rows.tolist()]


def _names(class_of: list[int], classes: tuple[str, ...]) -> list[str]:
    """Class and number of each sub-cluster, from 1; the class alone where it has one."""
    numbers: dict[int, int] = {}
    names = []
    for code in class_of:
        numbers[code] = numbers.get(code, 0) + 1
        names.append(f"{classes[code]} {numbers[code]}" if class_of.count(code) > 1 else classes[code])
    return names
