"""Small .npz files of arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.drug_datamodule import DrugDataModule
from tests.datamodules.drug_module import trainer


def save(path: Path, **arrays: Any) -> Path:
    """Write an .npz file."""
    numpy.savez(path, **arrays)
    return path


def blobs(samples: int = 60, width: int = 6, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (samples, width) float32 around a center for each class, and classes (samples,) that take turns."""
    generator = numpy.random.default_rng(0)
    labels = numpy.arange(samples) % classes
    centers = 4 * generator.normal(size=(classes, width))
    return (centers[labels] + generator.normal(size=(samples, width))).astype(numpy.float32), labels


def array_module(folder: Path, settings: dict[str, Any] | None = None, **arrays: Any) -> DrugDataModule:
    """A data module of an .npz file, with a trainer that runs in `folder / "run"`."""
    path = save(folder / "samples.npz", **arrays)
    module = DrugDataModule(**{"source": str(path), "cache_folder": str(folder / "cache"), **(settings or {})})
    module.trainer = trainer(folder)
    return module
