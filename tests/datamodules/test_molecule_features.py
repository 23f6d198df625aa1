import os
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from datamodules import molecule_features
from datamodules.molecule_features import (
    ATOM_CODE_SIZES,
    BOND_CODE_SIZE,
    BOND_TYPES,
    Features,
    FeatureSettings,
    FingerprintKind,
    canonical_smiles,
    featurise,
)

SMILES = [
    "CCO",
    "C",
    "[Na+].[Cl-]",
    "c1ccc2[nH]ccc2c1",
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "F/C=C/F",
    "[2H]C([2H])([2H])O",
    "[13CH4]",
    "[H]O[H]",
    "CC#N",
    "[O-][n+]1ccccc1",
    "C[N+](C)(C)CC(=O)[O-]",
    "N[Pt@SP1](N)(Cl)Cl",
    "[Fe+2]",
    "F[S](F)(F)(F)(F)F",
    "[CH3]",
    "[O][O]",
    "*CC*",
    "O=C1c2ccccc2C(=O)N1CC1CC1",
    "C[Si](C)(C)[B-](F)(F)F",
    "[NH3]->[Cu]",
    "[Og]",
    "[P+9]",
    "[U-7]",
]
UNREADABLE = ["", "C1CC", "not a molecule", "c1cccc1c", "C(C)(C)(C)(C)C", "[Xx]", "C\0C]"]
SETTINGS = FeatureSettings()
FEATURES = featurise(SMILES, SETTINGS)


def parts(features: Features, length: str, name: str) -> list[list[Any]]:
    """The slice of a flat array that belongs to each molecule."""
    ends = numpy.cumsum(features[length])
    return [features[name][end - n : end].tolist() for n, end in zip(features[length], ends, strict=True)]


def expected_chirality(atom: Any) -> int:
    if str(atom.GetChiralTag()) == "CHI_UNSPECIFIED":
        return 0
    named = dict(Chem.FindMolChiralCenters(atom.GetOwningMol(), useLegacyImplementation=True))  # type: ignore[no-untyped-call]
    return {"R": 1, "S": 2}.get(named.get(atom.GetIdx(), "?"), 3)


def expected_atom(atom: Any) -> list[int]:
    implicit = atom.GetNumImplicitHs()
    return [
        atom.GetAtomicNum(),
        len(atom.GetNeighbors()),
        implicit,
        sorted((-5, atom.GetFormalCharge(), 5))[1] + 5,
        atom.GetNumRadicalElectrons() if atom.GetNumRadicalElectrons() < 4 else 4,
        list(Chem.HybridizationType.values.values()).index(atom.GetHybridization()),
        1 if atom.GetIsAromatic() else 0,
        atom.GetNumExplicitHs() + implicit,
        1 if atom.IsInRing() else 0,
        expected_chirality(atom),
    ]


@pytest.mark.parametrize("number", range(len(SMILES)), ids=SMILES)
def test_atom_codes_are_what_rdkit_says_of_each_atom(number: int) -> None:
    molecule = Chem.MolFromSmiles(SMILES[number])
    found = parts(FEATURES, "atoms", "atom_codes")[number]
    assert found == [expected_atom(atom) for atom in list(molecule.GetAtoms())]


@pytest.mark.parametrize("number", range(len(SMILES)), ids=SMILES)
def test_bonds_run_both_ways_sorted_by_target_and_source(number: int) -> None:
    molecule = Chem.MolFromSmiles(SMILES[number])
    expected = []
    for target in range(molecule.GetNumAtoms()):
        for source in range(molecule.GetNumAtoms()):
            bond = molecule.GetBondBetweenAtoms(target, source)
            if bond is not None:
                name = bond.GetBondType().name.lower()
                kind = {"single": 1, "double": 2, "triple": 3, "aromatic": 4}.get(name, 0)
                expected.append((target, source, 4 * kind + 2 * bond.IsInRing() + bond.GetIsConjugated()))
    columns = [parts(FEATURES, "bonds", name)[number] for name in ("target", "source", "bond_codes")]
    assert list(zip(*columns, strict=True)) == expected


@pytest.mark.parametrize("chosen", [SETTINGS, FeatureSettings(0, 64), FeatureSettings(3, 1024)], ids=str)
def test_fingerprints_are_morgan_counts(chosen: FeatureSettings) -> None:
    features = featurise(SMILES, chosen)
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=chosen.fingerprint_radius, fpSize=chosen.fingerprint_size
    )
    bins, counts = parts(features, "entries", "bins"), parts(features, "entries", "counts")
    for number, smiles in enumerate(SMILES):
        dense = numpy.zeros(chosen.fingerprint_size, dtype=int)
        dense[bins[number]] = counts[number]
        expected = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(smiles))
        assert dense.tolist() == expected.tolist()
        assert min(counts[number]) > 0
        assert len(set(bins[number])) == len(bins[number])


def test_fingerprints_of_several_kinds_follow_each_other() -> None:
    kinds: tuple[FingerprintKind, ...] = ("torsion", "morgan", "path", "atom_pair")
    size = 128
    features = featurise(SMILES, FeatureSettings(2, size, kinds))
    bins, counts = parts(features, "entries", "bins"), parts(features, "entries", "counts")
    generators = [
        rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=size),
        rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=size),
        rdFingerprintGenerator.GetRDKitFPGenerator(maxPath=5, fpSize=size),
        rdFingerprintGenerator.GetAtomPairGenerator(fpSize=size),
    ]
    for number, smiles in enumerate(SMILES):
        dense = numpy.zeros(4 * size, dtype=int)
        dense[bins[number]] = counts[number]
        molecule = Chem.MolFromSmiles(smiles)
        expected = [count for generator in generators for count in generator.GetCountFingerprintAsNumPy(molecule)]
        assert dense.tolist() == expected


@pytest.mark.parametrize("kinds", [(), ("morgan", "morgan")])
def test_no_fingerprint_or_one_twice_is_refused(kinds: tuple[FingerprintKind, ...]) -> None:
    with pytest.raises(ValueError, match="fingerprint_kinds: expected one or more different kinds"):
        FeatureSettings(fingerprint_kinds=kinds)


def test_ethanol_by_hand() -> None:
    features = featurise(["CCO"], SETTINGS)
    sp3 = 4
    assert features["atom_codes"].tolist() == [
        [6, 1, 3, 5, 0, sp3, 0, 3, 0, 0],
        [6, 2, 2, 5, 0, sp3, 0, 2, 0, 0],
        [8, 1, 1, 5, 0, sp3, 0, 1, 0, 0],
    ]
    assert features["target"].tolist() == [0, 1, 1, 2]
    assert features["source"].tolist() == [1, 0, 2, 1]
    assert features["bond_codes"].tolist() == [4] * 4


def test_benzene_bonds_are_aromatic_conjugated_and_in_a_ring() -> None:
    assert featurise(["c1ccccc1"], SETTINGS)["bond_codes"].tolist() == [4 * BOND_TYPES.index("aromatic") + 3] * 12


def test_chirality_does_not_depend_on_how_the_smiles_is_written() -> None:
    codes = featurise(["C[C@H](N)C(=O)O", "N[C@@H](C)C(=O)O", "C[C@@H](N)C(=O)O"], SETTINGS)["atom_codes"]
    column = list(ATOM_CODE_SIZES).index("chirality")
    assert codes[:, column].tolist() == [0, 2, 0, 0, 0, 0] * 2 + [0, 1, 0, 0, 0, 0]


def test_mirror_images_differ_in_the_chirality_of_one_atom() -> None:
    left, right = (parts(FEATURES, "atoms", "atom_codes")[SMILES.index(s)] for s in SMILES[4:6])
    places = [(a, c) for a in range(len(left)) for c in range(10) if left[a][c] != right[a][c]]
    assert places == [(1, list(ATOM_CODE_SIZES).index("chirality"))]


def test_every_code_is_below_its_size() -> None:
    assert FEATURES["atom_codes"].shape[1] == len(ATOM_CODE_SIZES)
    assert (FEATURES["atom_codes"] < numpy.array(list(ATOM_CODE_SIZES.values()))).all()
    assert FEATURES["bond_codes"].max() < BOND_CODE_SIZE
    assert FEATURES["bins"].max() < SETTINGS.fingerprint_size


def test_types_and_sizes_are_as_documented() -> None:
    types = {name: str(array.dtype) for name, array in FEATURES.items()}
    assert types == {
        **dict.fromkeys(("atoms", "bonds", "entries", "letters"), "int64"),
        **dict.fromkeys(("atom_codes", "bond_codes", "canonical"), "uint8"),
        **dict.fromkeys(("source", "target", "bins", "counts"), "int32"),
        "valid": "bool",
    }
    empty = featurise([], SETTINGS)
    assert {name: (str(array.dtype), array.shape[1:]) for name, array in empty.items()} == {
        name: (str(array.dtype), array.shape[1:]) for name, array in FEATURES.items()
    }
    assert {len(array) for array in empty.values()} == {0}
    assert canonical_smiles(empty) == []


def test_unreadable_smiles_have_no_atoms_and_harm_no_neighbour(capfd: pytest.CaptureFixture[str]) -> None:
    mixed = [text for pair in zip(SMILES, UNREADABLE, strict=False) for text in pair]
    features = featurise(mixed, SETTINGS)
    assert features["valid"].tolist() == [True, False] * len(UNREADABLE)
    for name in ("atoms", "bonds", "entries", "letters"):
        assert features[name][1::2].tolist() == [0] * len(UNREADABLE)
    alone = featurise(SMILES[: len(UNREADABLE)], SETTINGS)
    for name in ("atom_codes", "source", "target", "bond_codes", "bins", "counts", "canonical"):
        assert numpy.array_equal(features[name], alone[name])
    assert capfd.readouterr().err == ""


def test_canonical_smiles_are_rdkits() -> None:
    assert canonical_smiles(FEATURES) == [Chem.MolToSmiles(Chem.MolFromSmiles(smiles)) for smiles in SMILES]
    texts = canonical_smiles(featurise(["OCC", "C1CC", "C(O)C", "C1=CC=CC=C1"], SETTINGS))
    assert texts == ["CCO", "", "CCO", "c1ccccc1"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(SMILES + UNREADABLE), max_size=8), st.integers(1, 8))
def test_the_size_of_a_task_does_not_matter(smiles: list[str], size: int) -> None:
    whole = featurise(smiles, SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecule_features, "_MOLECULES_PER_TASK", size)
        patch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
        cut = featurise(smiles, SETTINGS)
    assert whole.keys() == cut.keys()
    for name, array in whole.items():
        assert array.dtype == cut[name].dtype
        assert numpy.array_equal(array, cut[name])


def test_processes_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    smiles = SMILES + UNREADABLE
    whole = featurise(smiles, SETTINGS)
    monkeypatch.setattr(molecule_features, "_MOLECULES_PER_TASK", 7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    shared = featurise(smiles, SETTINGS)
    for name, array in whole.items():
        assert array.dtype == shared[name].dtype
        assert numpy.array_equal(array, shared[name])
