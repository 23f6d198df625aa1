"""A trained model as an ONNX graph: encoder, head, decision and calibration, of all members of an ensemble."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from base.errors import InputError
from datamodules.batch import Batch, FingerprintBatch, MoleculeBatch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import INPUTS
from modules.drug_classifier import DrugClassifier

OPSET = 18
"""Version of the ONNX operators."""


@dataclass(frozen=True)
class _OwnedMolecules(MoleculeBatch):
    """Molecules that are told the molecule of each atom, since ONNX has no repetition by a tensor."""

    owner: Tensor

    @property
    def molecule_of_atom(self) -> Tensor:
        return self.owner


class _Outputs(nn.Module):
    """What the graphs of molecules and of arrays have in common: from a batch to the outputs."""

    def __init__(self, model: DrugClassifier) -> None:
        super().__init__()
        assert model.task is not None
        self.network, self.decision, self.task = model.network, model.decision, model.task

    @property
    def names(self) -> list[str]:
        """Names of the outputs."""
        known = ["probabilities", "calibrated", "labels", "embeddings"]
        return [*known, "uncertainty"] if self.decision.has_uncertainty else known

    def of(self, batch: Batch, opinions: Tensor | None) -> tuple[Tensor, ...]:
        embeddings, logits = self.network(batch)
        if opinions is not None:
            for place, opinion in enumerate(self.decision.opinions.weighted()):
                logits = opinion.mixed(logits, opinions[:, place])
        probabilities, uncertainty = self.decision.probabilities(logits), self.decision.uncertainty(logits)
        calibrated, labels = self.decision.calibrated(logits), self.decision.labels(probabilities)
        known = (probabilities, calibrated, labels, embeddings.float())
        return known if uncertainty is None else (*known, uncertainty)


class _OfArrays(_Outputs):
    def forward(self, arrays: Tensor) -> tuple[Tensor, ...]:
        return self.of(Batch(arrays, arrays, arrays=arrays), None)


class _OfMolecules(_Outputs):
    def forward(
        self,
        atom_counts: Tensor,
        atom_codes: Tensor,
        source: Tensor,
        target: Tensor,
        bond_codes: Tensor,
        entry_counts: Tensor,
        bins: Tensor,
        counts: Tensor,
        opinions: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        edges = bond_codes, source, target
        molecules = _OwnedMolecules(atom_codes, *edges, atom_counts, _owners(atom_counts, atom_codes.shape[0]))
        shape = entry_counts.shape[0], self.task.features.fingerprint_width
        fingerprints = FingerprintBatch(_owners(entry_counts, bins.shape[0]), bins, counts, shape)
        # Nothing reads index and labels, so anything can stand for them.
        return self.of(Batch(entry_counts, entry_counts, molecules=molecules, fingerprints=fingerprints), opinions)


def _owners(counts: Tensor, total: int) -> Tensor:
    """The molecule of each of `total` items, of which each molecule has `counts`, int64."""
    ends = torch.zeros(total + 1, dtype=torch.int64).index_add(0, counts.cumsum(0), torch.ones_like(counts))
    return ends.cumsum(0)[:-1]


def refuse_export(task: DrugTask) -> None:
    """Check that the samples of a model can be featurized without this project.

    Args:
        task: Description of the data.

    Raises:
        InputError: If they cannot.
    """
    if INPUTS[task.input].sequence is not None:
        raise InputError(f"data.input: expected molecule, reaction, pair or array for an export, got {task.input}.")
    if task.features.pretrained is not None:
        raise InputError(f"data.pretrained: expected null for an export, got {task.features.pretrained}.")


def export_onnx(model: DrugClassifier, batch: Batch, path: Path) -> None:
    """Write a model as an ONNX file; inputs that it does not read are left out.

    The inputs are `arrays`, or the arrays of `MoleculeInputs` and, if K second opinions have a weight, `opinions`
    (B, K, C). The outputs are `probabilities` and `calibrated` (B, C), `labels` (B,), or 1 and 0 (B, C) where a
    sample may have several, `embeddings` (B, d) and, if the model has one, `uncertainty` (B,).

    Args:
        model: A trained model on the CPU, in evaluation mode.
        batch: At least two samples, as examples of the inputs.
        path: The file to write.

    Raises:
        InputError: If torch cannot export the encoder.
    """
    # The exporter needs it, and names no package if it is missing.
    import onnxscript  # noqa: F401

    refuse_export(_task(model))
    inputs = _example_inputs(batch, _task(model), len(model.decision.opinions.weighted()))
    graph = (_OfArrays(model) if batch.arrays is not None else _OfMolecules(model)).eval()
    # Sizes without a name of their own: what a model does not read must not be where a size is taken from.
    shapes = {name: {0: Dim.DYNAMIC} for name in inputs}
    with _quiet_exporter():
        try:
            exported = torch.export.export(graph, (), inputs, dynamic_shapes=shapes, strict=False)
            program = torch.onnx.export(
                exported,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=graph.names,
                verbose=False,
            )
        # Torch has no common type of what it raises.
        except Exception as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"model.encoder: expected an encoder that torch can export, got {type(model.network.encoder).__name__} "
                f"({first})."
            ) from error
        assert program is not None
        read = program.model.graph.inputs
        for value in [value for value in read if not value.uses()]:
            read.remove(value)
        program.save(str(path))


def _example_inputs(batch: Batch, task: DrugTask, opinions: int) -> dict[str, Tensor]:
    """The inputs of the graph for a batch."""
    if batch.arrays is not None:
        return {"arrays": batch.arrays}
    assert batch.molecules is not None
    assert batch.fingerprints is not None
    graphs, bins = batch.molecules, batch.fingerprints
    inputs = {
        "atom_counts": graphs.atoms_per_molecule,
        "atom_codes": graphs.atom_codes,
        "source": graphs.source,
        "target": graphs.target,
        "bond_codes": graphs.bond_codes,
        "entry_counts": torch.bincount(bins.molecule, minlength=bins.shape[0]),
        "bins": bins.bin,
        "counts": bins.count,
    }
    return {**inputs, "opinions": torch.zeros(len(batch), opinions, task.num_classes)} if opinions else inputs


def _task(model: DrugClassifier) -> DrugTask:
    assert model.task is not None
    return model.task


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out what the exporter says of packages that are not needed, and what is deprecated within torch."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
