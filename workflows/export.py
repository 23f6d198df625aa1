"""Writing a trained model as a folder that predicts without torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy
import torch
from numpy.typing import NDArray

from base.atomic_file import write_binary, write_file, write_json
from base.errors import InputError
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import featurize
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleMolecules, SampleStore
from datamodules.tables.columns import INPUTS, ColumnNames
from modules.checkpoint_file import checkpoint_to_predict_with, read_checkpoint
from modules.drug_classifier import DrugClassifier
from modules.export.onnx_graph import export_onnx, refuse_export
from modules.export.portable import Predictor
from modules.export.single_file import prediction_source
from modules.forest.forest import Forest
from modules.neighbors.nearest_samples import NearestSamples
from modules.run_layout import CARD, folder_of
from modules.sample_fingerprints import compared_bins

_EXAMPLES = ("CC(=O)Oc1ccccc1C(=O)O", "CCO", "C[C@H](N)C(=O)O", "c1ccncc1", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "C1CCOC1")
"""Molecules, without a meaning, that the export is traced and checked with."""
_TOLERANCE = 1e-4

_SETTINGS = "model.json"
"""File of an export without which it cannot be read."""
_BESIDE_SETTINGS = ("model.onnx", "predict.py", "neighbors.npz", "forest.npz", CARD)
_UNFINISHED = ".unfinished"
"""Folder in that of an export in which it is written and checked."""


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        folder: The folder.
        checkpoint: The checkpoint that was exported.
        size: Bytes of all files.
    """

    folder: Path
    checkpoint: Path
    size: int


def export_run(path: Path, output: Path | None = None, trust: Sequence[str] = ()) -> Exported:
    """Write `model.onnx`, `model.json`, `predict.py` and, if the model asks them, `neighbors.npz` and `forest.npz`.

    An export that is already in the folder is replaced when the new one is complete and has been checked.

    Args:
        path: Folder of a run, of which the checkpoint of the refit is taken, or else the best one; or a checkpoint.
        output: The folder to write; `export` in the run's folder if None.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        InputError: If the checkpoint cannot be read, the model cannot be exported, or the folder holds something else.
    """
    checkpoint = checkpoint_to_predict_with(path)
    task = read_checkpoint(checkpoint, "RUN").task
    refuse_export(task)
    folder = output or _default_folder(checkpoint)
    new, is_missing = folder / _UNFINISHED, not folder.exists()
    if not (is_missing or (folder.is_dir() and _may_be_written(folder))):
        raise InputError(f"output: expected a new or empty folder, got {folder}, which holds something else.")
    model = DrugClassifier.load_from_checkpoint(checkpoint, setting="RUN", trust=trust)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        _write(model, checkpoint, new)
    except BaseException:
        shutil.rmtree(folder if is_missing else new)
        raise
    _put_in_place(new, folder)
    new.rmdir()
    return Exported(folder, checkpoint, sum(file.stat().st_size for file in folder.iterdir()))


def _may_be_written(folder: Path) -> bool:
    """Whether a folder is empty, or holds an export or what one has left that was cut off."""
    return not any(folder.iterdir()) or (folder / _SETTINGS).is_file() or (folder / _UNFINISHED).is_dir()


def _write(model: DrugClassifier, checkpoint: Path, folder: Path) -> None:
    """Write and check an export.

    Raises:
        InputError: If it predicts otherwise than the checkpoint.
    """
    assert model.task is not None
    samples, batch = _examples(model.task)
    write_file(folder / "model.onnx", lambda place: export_onnx(model, batch, place))
    write_file(folder / "predict.py", lambda place: place.write_text(prediction_source(version("tailmol"))))
    opinions = model.decision.opinions
    if opinions.neighbors.weight != 0:
        write_binary(folder / "neighbors.npz", lambda file: _save_neighbors(opinions.neighbors, file))
    if opinions.forest.weight != 0:
        write_binary(folder / "forest.npz", lambda file: _save_trees(opinions.forest, file))
    run = folder_of(checkpoint)
    if run is not None and (run / CARD).is_file():
        write_file(folder / CARD, lambda place: shutil.copyfile(run / CARD, place))
    write_json(_settings(model, checkpoint), folder / _SETTINGS)
    _check(model, batch, samples, folder)


def _put_in_place(new: Path, folder: Path) -> None:
    """Move the files of an export into its folder, which cannot be read until all are there."""
    (folder / _SETTINGS).unlink(missing_ok=True)
    for name in (*_BESIDE_SETTINGS, _SETTINGS):
        if (new / name).is_file():
            (new / name).replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _default_folder(checkpoint: Path) -> Path:
    return (folder_of(checkpoint) or checkpoint.resolve().parent) / "export"


def _settings(model: DrugClassifier, checkpoint: Path) -> dict[str, Any]:
    """The content of `model.json`: what the prediction must know beside the graph."""
    import rdkit

    task, settings = model.task, model.run_config
    assert task is not None
    assert settings is not None
    asked = [name for name, opinion in model.decision.opinions.by_name().items() if opinion.weight != 0]
    compared = compared_bins(task)
    columns = ColumnNames.from_settings(settings["data"]).smiles
    return {
        "tailmol": version("tailmol"),
        "rdkit": rdkit.__version__,
        "checkpoint": checkpoint.name,
        "input": task.input,
        "parts": list(INPUTS[task.input].names),
        "symmetric": task.symmetric,
        "agents": settings["data"].get("agents", "apart"),
        "columns": None if columns is None else list(columns),
        "usual_columns": [list(group) for group in INPUTS[task.input].usual_smiles],
        "classes": list(task.classes),
        "class_counts": list(task.class_counts),
        "several_labels": task.is_multilabel,
        "features": asdict(task.features),
        "embedding_size": model.network.encoder.output_dim,
        "opinions": asked,
        "neighbors": model.decision.opinions.neighbors.number,
        "bins": task.features.fingerprint_width,
        "compared_bins": [compared.start, compared.stop],
        "objective": read_checkpoint(checkpoint, "RUN").decision.get("objective", "as_trained"),
    }


def _save_neighbors(neighbors: NearestSamples, file: IO[bytes]) -> None:
    assert neighbors.bits is not None
    starts, bins = neighbors.bits.indptr.astype(numpy.int64), neighbors.bits.indices.astype(numpy.int32)
    numpy.savez_compressed(file, starts=starts, bins=bins, codes=neighbors.codes.astype(numpy.int32))


def _save_trees(forest: Forest, file: IO[bytes]) -> None:
    assert forest.trees is not None
    numpy.savez_compressed(file, **vars(forest.trees))


def _examples(task: DrugTask) -> tuple[list[Any] | NDArray[Any], Batch]:
    """Some samples as they are given to the exported model, and as a batch."""
    size = len(_EXAMPLES)
    rows = numpy.arange(size)
    if task.input == "array":
        arrays = numpy.random.default_rng(0).normal(size=(size, *task.features.array_shape)).astype(numpy.float32)
        index = torch.from_numpy(rows)
        return arrays, Batch(index, index, arrays=torch.from_numpy(arrays))
    places = (rows[:, None] + numpy.arange(len(INPUTS[task.input].smiles))) % size
    features = featurize(_EXAMPLES, task.features)
    batch = SampleStore(SampleMolecules(features, places, task.features.fingerprint_width)).batch(rows, rows, rows)
    parts = [tuple(_EXAMPLES[place] for place in own) for own in places]
    return [own[0] if len(own) == 1 else own for own in parts], batch


def _check(model: DrugClassifier, batch: Batch, samples: list[Any] | NDArray[Any], folder: Path) -> None:
    """Compare the exported model with the checkpoint on the examples."""
    found = Predictor(folder, threads=1).predict(samples)
    with torch.no_grad():
        expected = model.predict_step(batch, 0)
    differences = expected.probabilities.numpy() - found.probabilities
    if not numpy.abs(differences).max() <= _TOLERANCE:
        raise InputError(
            "RUN: expected a model that predicts the same after its export, got probabilities that differ by "
            f"{numpy.abs(differences).max():.2g}."
        )
