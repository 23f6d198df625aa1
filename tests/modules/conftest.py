from collections.abc import Callable

import numpy
import pytest
import torch
from torch import nn

from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleMolecules, SampleStore
from datamodules.tables.columns import InputKind

SETTINGS = FeatureSettings(fingerprint_radius=2, fingerprint_size=64)


@pytest.fixture(scope="session")
def make_batch() -> Callable[[list[list[str]]], Batch]:
    """Makes a batch from the SMILES of each sample, with fingerprints of 64 bins."""

    def make(samples: list[list[str]]) -> Batch:
        features = featurize([smiles for sample in samples for smiles in sample], SETTINGS)
        assert features.graphs.atom_counts.all()
        rows = numpy.arange(len(samples))
        places = numpy.arange(len(features.skeletons)).reshape(len(samples), -1)
        molecules = SampleMolecules(features, places, SETTINGS.fingerprint_width)
        return SampleStore(molecules).batch(rows, rows, rows % 2)

    return make


@pytest.fixture(scope="session")
def make_task() -> Callable[[InputKind], DrugTask]:
    """Makes a task of two classes whose fingerprints have 64 bins."""
    return lambda input: DrugTask(input, ("active", "inactive"), (3, 5), SETTINGS)


@pytest.fixture(scope="session")
def randomize() -> Callable[[nn.Module], None]:
    """Randomizes the parameters and batch-norm statistics of a module and sets evaluation mode."""

    def fill(module: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            for part in module.modules():
                if isinstance(part, nn.BatchNorm1d):
                    size = part.num_features
                    part.running_mean = torch.randn(size, generator=generator)
                    part.running_var = torch.rand(size, generator=generator) + 0.5
        module.eval()

    return fill
