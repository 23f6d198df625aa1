"""Predictions of an exported model, with onnxruntime, RDKit and numpy alone."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.export.portable_features import MoleculeInputs, sample_counts
from modules.export.portable_neighbors import RememberedSamples
from modules.export.portable_samples import split_sample
from modules.forest.trees import LARGEST_COUNT, Trees

NOT_FINITE = "the model's scores of this sample are NaN or infinite"
BAD_FEATURE = "a feature that is not a finite number of 32 bits"


@dataclass(frozen=True)
class Predictions:
    """Predictions for N samples, in order; NaN, or None as a label, where a sample cannot be used.

    Attributes:
        labels: Predicted labels; where a sample may have several, they are joined by "; ", and "none" without one.
        probability: Probability of the predicted label, fp32 (N,); of each label, (N, C), where there may be several.
        calibrated_probability: The same after calibration, fp32.
        probabilities: Probability of each class before calibration, fp32 (N, C).
        embeddings: Embeddings, fp32 (N, d).
        uncertainty: Uncertainty of each prediction, fp32 (N,); None if the model has none.
        reasons: Why a sample cannot be used, None where it can.
    """

    labels: list[str | None]
    probability: NDArray[Any]
    calibrated_probability: NDArray[Any]
    probabilities: NDArray[Any]
    embeddings: NDArray[Any]
    uncertainty: NDArray[Any] | None
    reasons: list[str | None]


class Predictor:
    """An exported model.

    Attributes:
        settings: The content of `model.json`.
        classes: The C class labels.
        several_labels: Whether a sample may have several labels.
    """

    def __init__(self, folder: str | Path | None = None, threads: int = 0) -> None:
        """Load a model.

        Args:
            folder: Folder that `lightning export` has written; that of this file if None.
            threads: Threads of onnxruntime; 0 uses all cores.
        """
        import onnxruntime

        place = Path(__file__).parent if folder is None else Path(folder)
        self.settings: dict[str, Any] = json.loads((place / "model.json").read_text(encoding="utf-8"))
        self.classes: list[str] = self.settings["classes"]
        self.several_labels: bool = self.settings["several_labels"]
        if self.settings["input"] != "array":
            _check_rdkit(self.settings["rdkit"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(place / "model.onnx"), options, providers=providers)
        self._inputs = {given.name for given in self._session.get_inputs()}
        self._outputs = [given.name for given in self._session.get_outputs()]
        self._remembered, self._trees = None, None
        if "neighbors" in self.settings["opinions"]:
            with numpy.load(place / "neighbors.npz", allow_pickle=False) as file:
                known = (file["starts"], file["bins"], file["codes"])
            self._remembered = RememberedSamples(*known, len(self.classes), self.settings["neighbors"])
        if "forest" in self.settings["opinions"]:
            with numpy.load(place / "forest.npz", allow_pickle=False) as file:
                self._trees = Trees(**file)

    def predict(self, samples: Sequence[str | Sequence[str]] | NDArray[Any], batch_size: int = 256) -> Predictions:
        """Predict samples.

        Args:
            samples: N SMILES; of pairs and reactions two, apart or joined by `>>`; or an array (N, ...) of features or
                images.
            batch_size: Samples that are computed at a time.

        Raises:
            ValueError: If the samples are not those of the model's input.
        """
        starts = range(0, len(samples), batch_size)
        batches = [self._predict_batch(samples[start : start + batch_size]) for start in starts]
        found = {name: numpy.concatenate([one[name] for one, _ in batches]) for name in self._outputs if batches}
        if not batches:
            found = self._spread({}, numpy.zeros(0, dtype=bool))
        reasons = [reason for _, own in batches for reason in own]
        codes = found["labels"]
        stated: Any = slice(None) if self.several_labels else (numpy.arange(len(reasons)), codes)
        return Predictions(
            labels=[self._label(code) if reason is None else None for code, reason in zip(codes, reasons, strict=True)],
            probability=found["probabilities"][stated],
            calibrated_probability=found["calibrated"][stated],
            probabilities=found["probabilities"],
            embeddings=found["embeddings"],
            uncertainty=found.get("uncertainty"),
            reasons=reasons,
        )

    def _label(self, code: Any) -> str:
        names = [self.classes[place] for place in (numpy.flatnonzero(code) if self.several_labels else [code])]
        return "; ".join(names) or "none"

    def _predict_batch(self, samples: Any) -> tuple[dict[str, NDArray[Any]], list[str | None]]:
        """Outputs of a batch, with NaN and the label 0 where a sample cannot be used, and the reasons."""
        inputs, reasons = self._of_arrays(samples) if self.settings["input"] == "array" else self._of_molecules(samples)
        usable = numpy.array([reason is None for reason in reasons], dtype=bool)
        found = {}
        if usable.any():
            found = dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
        outputs = self._spread(found, usable)
        numbers = [values.reshape(len(usable), -1) for name, values in outputs.items() if name != "labels"]
        broken = usable & ~numpy.isfinite(numpy.concatenate(numbers, axis=1)).all(axis=1)
        for place in numpy.flatnonzero(broken).tolist():
            reasons[place] = NOT_FINITE
        for values in outputs.values():
            values[broken] = 0 if values.dtype == numpy.int64 else numpy.nan
        return outputs, reasons

    def _spread(self, found: dict[str, NDArray[Any]], usable: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Outputs of the usable samples in the places of all samples."""
        sizes = {"probabilities": len(self.classes), "calibrated": len(self.classes)}
        sizes["embeddings"] = self.settings["embedding_size"]
        sizes |= {"labels": len(self.classes)} if self.several_labels else {}
        outputs = {}
        for name in self._outputs:
            shape = (len(usable), sizes[name]) if name in sizes else (len(usable),)
            empty = numpy.zeros(shape, numpy.int64) if name == "labels" else numpy.full(shape, numpy.nan, numpy.float32)
            if found:
                empty[usable] = found[name]
            outputs[name] = empty
        return outputs

    def _of_molecules(self, samples: Any) -> tuple[dict[str, NDArray[Any]], list[str | None]]:
        from rdkit import rdBase

        own, kind = self.settings, self.settings["input"]
        molecules = MoleculeInputs(own["features"], "atom_codes" in self._inputs)
        reasons: list[str | None] = []
        with rdBase.BlockLogs():
            for sample in samples:
                parts, reason = split_sample(sample, kind, own["agents"])
                reasons.append(reason or molecules.add(parts, own["parts"]))
            inputs = molecules.finish()
        opinions = self._opinions(inputs)
        if opinions:
            inputs["opinions"] = numpy.stack(opinions, axis=1)
        return {name: values for name, values in inputs.items() if name in self._inputs}, reasons

    def _opinions(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The second opinions on samples, fp32 (B, C) each."""
        own, opinions = self.settings, []
        if own["opinions"]:
            counts = sample_counts(inputs, own["input"], own["symmetric"], own["bins"])
        if self._remembered is not None:
            first, end = own["compared_bins"]
            starts = range(0, counts.shape[1], own["bins"])
            compared = [counts[:, start + first : start + end] > 0 for start in starts]
            opinions.append(self._remembered.opinions(numpy.concatenate(compared, axis=1)))
        if self._trees is not None:
            whole = numpy.minimum(counts, LARGEST_COUNT).astype(numpy.uint8)
            opinions.append(self._trees.opinions(self._trees.leaves(whole)))
        return opinions

    def _of_arrays(self, samples: Any) -> tuple[dict[str, NDArray[Any]], list[str | None]]:
        shape = tuple(self.settings["features"]["array_shape"])
        # What 32 bits cannot hold becomes infinite.
        with numpy.errstate(over="ignore"):
            arrays = numpy.asarray(samples).astype(numpy.float32)
        if arrays.shape[1:] != shape:
            raise ValueError(f"samples: expected arrays of shape {shape}, got {arrays.shape[1:]}.")
        finite = numpy.asarray(numpy.isfinite(arrays).reshape(len(arrays), -1).all(axis=1))
        return {"arrays": arrays[finite]}, [None if usable else BAD_FEATURE for usable in finite.tolist()]


def _check_rdkit(expected: str) -> None:
    """Warn if another version of RDKit than that of the export computes the features."""
    import rdkit

    if rdkit.__version__ != expected:
        warnings.warn(
            f"The model was exported with RDKit {expected}; version {rdkit.__version__} may compute other features.",
            stacklevel=3,
        )
