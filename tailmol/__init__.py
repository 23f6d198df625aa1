"""The Python interface: train, load a trained model, predict, embed and evaluate.

import tailmol

run = tailmol.fit("my_drugs.csv")
model = tailmol.load(run.folder)
predictions = model.predict(["CCO", "c1ccccc1"])
embeddings = model.embed(["CCO", "c1ccccc1"])
"""

from importlib.metadata import version

from tailmol.model import Model, load
from tailmol.training import Run, fit

__version__ = version("tailmol")

__all__ = ["Model", "Run", "__version__", "fit", "load"]
