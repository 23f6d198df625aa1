"""Predictions of an exported model in a process that finds neither torch nor this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

# Predicts the samples of a file with batches of several sizes, where nothing but numpy, RDKit and onnxruntime is found.
ALONE = """
import json, runpy, sys, numpy
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[4].split():
            raise ImportError(f"{name} is forbidden")
sys.meta_path.insert(0, Forbidden())
code = runpy.run_path(f"{sys.argv[1]}/predict.py")
given = sys.argv[2]
samples = numpy.load(given) if given.endswith(".npy") else json.load(open(given))
found = {}
for size in (1, 7, 4096):
    predictions = code["Predictor"](sys.argv[1], threads=1).predict(samples[: 40 * size], size)
    found |= {f"{size}/{name}": numpy.array(value) for name, value in vars(predictions).items() if value is not None}
found |= {name: values.astype(str) for name, values in found.items() if values.dtype == object}
numpy.savez(sys.argv[3], **found)
"""
FORBIDDEN = "torch lightning polars dgl scipy sklearn tailmol base datamodules modules workflows"


def predicted_alone(folder: Path, samples: Sequence[Any] | NDArray[Any], place: Path) -> dict[str, NDArray[Any]]:
    """What the files of an export predict in a process of their own, by batch size and name."""
    given, out = place / ("samples.npy" if isinstance(samples, numpy.ndarray) else "samples.json"), place / "out.npz"
    if isinstance(samples, numpy.ndarray):
        numpy.save(given, samples)
    else:
        given.write_text(json.dumps(samples))
    command = [sys.executable, "-c", ALONE, str(folder), str(given), str(out), FORBIDDEN]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with numpy.load(out) as file:
        return dict(file)
