"""The inputs of an exported model are those of the model."""

from __future__ import annotations

import numpy
import pytest

from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleMolecules, SampleStore
from datamodules.tables.columns import INPUTS, InputKind
from modules import sample_fingerprints
from modules.export.portable_features import MoleculeInputs, sample_counts
from tests.datamodules.example_smiles import INN_STEMS


@pytest.mark.parametrize("kinds", [("morgan",), ("path", "morgan"), ("atom_pair", "torsion")])
@pytest.mark.parametrize(
    ("kind", "ordered"), [("molecule", False), ("reaction", False), ("pair", False), ("pair", True)]
)
def test_inputs_and_bits_are_those_of_the_model(
    kind: InputKind, ordered: bool, kinds: tuple[FingerprintKind, ...]
) -> None:
    settings = FeatureSettings(2, 128, kinds)
    task = DrugTask(kind, ("a", "b"), (3, 4), settings, ordered_pairs=ordered)
    parts = len(INPUTS[kind].smiles)
    drugs = INN_STEMS[: 20 * parts]
    numbers = numpy.arange(20 * parts).reshape(20, parts)
    batch = SampleStore(SampleMolecules(featurize(drugs, settings), numbers, settings.fingerprint_width)).batch(
        *[numpy.arange(20)] * 3
    )
    molecules = MoleculeInputs(
        {"fingerprint_kinds": kinds, "fingerprint_radius": 2, "fingerprint_size": 128}, graphs=True
    )
    assert [molecules.add([drugs[place] for place in own], INPUTS[kind].names) for own in numbers] == [None] * 20
    found = molecules.finish()
    assert batch.molecules is not None
    assert batch.fingerprints is not None
    for name in ("atom_codes", "source", "target", "bond_codes"):
        assert numpy.array_equal(found[name], getattr(batch.molecules, name).numpy()), name
    assert numpy.array_equal(found["atom_counts"], batch.molecules.atoms_per_molecule.numpy())
    assert numpy.array_equal(found["bins"], batch.fingerprints.bin.numpy())
    assert numpy.array_equal(found["counts"], batch.fingerprints.count.numpy())
    counts = sample_counts(found, kind, task.symmetric, settings.fingerprint_width)
    assert numpy.array_equal(counts, sample_fingerprints.sample_counts(batch, task).toarray())


def test_an_unusable_part_leaves_out_the_whole_sample() -> None:
    settings = {"fingerprint_kinds": ["morgan"], "fingerprint_radius": 2, "fingerprint_size": 64}
    molecules = MoleculeInputs(settings, graphs=False)
    assert molecules.add(["CCO", "C1CC"], ["drug", "other"]) == "SMILES that RDKit cannot read in other"
    assert molecules.add(["", "C"], ["drug", "other"]) == "empty SMILES in drug"
    assert molecules.add(["C" * 601], ["smiles"]) == "molecule of 601 atoms, of which 600 are allowed"
    assert molecules.add(["C"], ["smiles"]) is None
    assert molecules.finish()["entry_counts"].tolist() == [1]
