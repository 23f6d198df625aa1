import random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from datamodules.chemistry import molecule_features
from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.chemistry.molecule_features import (
    FeatureSettings,
    MoleculeFeatures,
)
from datamodules.chemistry.skeleton_hashes import skeleton_hashes
from datamodules.feature_cache import FEATURE_VERSION, Arrays
from tests.datamodules.example_smiles import EXAMPLES, INN_STEMS, READABLE, UNREADABLE
from tests.datamodules.rdkit_reference import fingerprint, parts, read, wrong_graphs

SETTINGS = FeatureSettings()
KINDS: tuple[FingerprintKind, ...] = ("morgan", "path", "atom_pair", "torsion")


def featurize(smiles: list[str], chosen: FeatureSettings) -> Arrays:
    """The features of molecules as arrays by name."""
    return molecule_features.featurize(smiles, chosen).to_arrays()


def wrong_fingerprints(smiles: list[str], chosen: FeatureSettings) -> list[str]:
    """The SMILES whose non-zero bins are not what RDKit's dense fingerprint has."""
    features = featurize(smiles, chosen)
    bins, counts = parts(features, "entry_counts", "bins"), parts(features, "entry_counts", "counts")
    wrong = []
    for text, places, values in zip(smiles, bins, counts, strict=True):
        expected = {place: count for place, count in enumerate(fingerprint(read(text), chosen)) if count}
        if dict(zip(places, values, strict=True)) != expected or len(set(places)) < len(places):
            wrong.append(text)
    return wrong


def same(left: Arrays, right: Arrays) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and numpy.array_equal(left[name], right[name]) for name in left
    )


# Fingerprints


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fingerprint_is_rdkits(kind: FingerprintKind) -> None:
    chosen = FeatureSettings(fingerprint_kinds=(kind,))
    assert wrong_fingerprints(INN_STEMS[::4] + EXAMPLES["stereo"] + EXAMPLES["metals"], chosen) == []


@pytest.mark.parametrize(("radius", "size"), [(0, 64), (3, 1024), (2, 100_000)])
def test_radius_and_size_are_those_of_the_settings(radius: int, size: int) -> None:
    assert wrong_fingerprints(EXAMPLES["aromatic"] + INN_STEMS[:40], FeatureSettings(radius, size)) == []


def test_fingerprints_of_several_kinds_follow_each_other() -> None:
    chosen = FeatureSettings(2, 128, ("torsion", "morgan", "path", "atom_pair"))
    assert chosen.fingerprint_width == 512
    short = [text for text in READABLE if len(text) < 100]
    assert wrong_fingerprints(short + INN_STEMS[::9], chosen) == []


@pytest.mark.parametrize(
    ("size", "kinds", "expected"),
    [(65_536, ("morgan",), "uint16"), (65_537, ("morgan",), "int32"), (32_769, ("path", "morgan"), "int32")],
)
def test_the_last_bin_fits_its_type(size: int, kinds: tuple[FingerprintKind, ...], expected: str) -> None:
    chosen = FeatureSettings(2, size, kinds)
    assert str(featurize(["CCO"], chosen)["bins"].dtype) == expected
    assert wrong_fingerprints(INN_STEMS[::40], chosen) == []


@pytest.mark.parametrize("kinds", [(), ("morgan", "morgan")])
def test_no_fingerprint_or_one_twice_is_refused(kinds: tuple[FingerprintKind, ...]) -> None:
    with pytest.raises(ValueError, match="fingerprint_kinds: expected one or more different kinds"):
        FeatureSettings(fingerprint_kinds=kinds)


# Arrays


def test_graphs_are_those_of_the_molecules() -> None:
    smiles = [text for pair in zip(READABLE[::4], INN_STEMS[::6], strict=False) for text in pair]
    assert wrong_graphs(smiles, featurize(smiles, SETTINGS)) == []


def test_types_are_as_documented_for_any_number_of_molecules() -> None:
    expected = {
        **dict.fromkeys(("atom_counts", "bond_counts", "entry_counts"), "int64"),
        **dict.fromkeys(("atom_codes", "bond_codes"), "uint8"),
        **dict.fromkeys(("source", "target", "bins"), "uint16"),
        "counts": "int32",
        "skeletons": "uint64",
        "parents": "uint64",
        "vectors": "float32",
    }
    for smiles in ([], ["C1"], ["C"], READABLE):
        features = featurize(smiles, SETTINGS)
        assert {name: str(array.dtype) for name, array in features.items()} == expected
        assert features["atom_codes"].shape == (features["atom_counts"].sum(), 10)
        assert {len(features[name]) for name in ("atom_counts", "bond_counts", "entry_counts", "skeletons")} == {
            len(smiles)
        }
        assert {len(features[name]) for name in ("source", "target", "bond_codes")} == {features["bond_counts"].sum()}
        assert {len(features[name]) for name in ("bins", "counts")} == {features["entry_counts"].sum()}


def test_unreadable_smiles_have_nothing_and_harm_no_neighbor(capfd: pytest.CaptureFixture[str]) -> None:
    readable = INN_STEMS[: len(UNREADABLE)]
    mixed = featurize([text for pair in zip(readable, UNREADABLE, strict=True) for text in pair], SETTINGS)
    alone = featurize(readable, SETTINGS)
    for name in ("atom_counts", "bond_counts", "entry_counts", "skeletons"):
        assert mixed[name][::2].tolist() == alone[name].tolist()
        assert mixed[name][1::2].tolist() == [0] * len(UNREADABLE)
    for name in ("atom_codes", "source", "target", "bond_codes", "bins", "counts"):
        assert numpy.array_equal(mixed[name], alone[name])
    assert capfd.readouterr().err == ""


def test_a_molecule_of_more_than_65535_atoms_is_left_out() -> None:
    features = featurize(["CO", "C" * 65_536, "N"], SETTINGS)
    assert features["atom_counts"].tolist() == [2, 0, 1]
    assert features["skeletons"].tolist() == featurize(["CO", "", "N"], SETTINGS)["skeletons"].tolist()


@settings(max_examples=50)
@given(st.lists(st.sampled_from(READABLE[::3] + UNREADABLE), max_size=8), st.integers(0, 8))
def test_cut_anywhere_the_molecules_are_the_same(smiles: list[str], place: int) -> None:
    halves = [featurize(half, SETTINGS) for half in (smiles[:place], smiles[place:])]
    joined = {name: numpy.concatenate([half[name] for half in halves]) for name in halves[0]}
    assert same(featurize(smiles, SETTINGS), joined)


def test_no_call_changes_what_a_later_one_gives() -> None:
    before = featurize(INN_STEMS[:50], SETTINGS)
    featurize(READABLE, SETTINGS)
    assert same(before, featurize(INN_STEMS[:50], SETTINGS))


# Skeletons


def hashes_of(features: Arrays) -> list[int]:
    return skeleton_hashes(MoleculeFeatures.from_arrays(features).graphs).tolist()  # type: ignore[no-any-return]


def hashes(smiles: list[str]) -> list[int]:
    return featurize(smiles, FeatureSettings(0, 8))["skeletons"].tolist()  # type: ignore[no-any-return]


def spellings(text: str) -> list[str]:
    """Other SMILES of one skeleton: other atom orders, with single and double bonds, other and no stereo, isotopes."""
    molecule = read(text)
    kekulized, plain, labeled = Chem.Mol(molecule), Chem.Mol(molecule), Chem.Mol(molecule)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    Chem.RemoveStereochemistry(plain)
    labeled.GetAtomWithIdx(0).SetIsotope(99)
    mirrored = text.replace("@@", "&").replace("@", "@@").replace("&", "@").replace("/", "\\")
    return [
        *Chem.MolToRandomSmilesVect(molecule, 2, randomSeed=1),
        Chem.MolToSmiles(kekulized),
        *(Chem.MolToSmiles(changed) for changed in (plain, labeled)),
        mirrored,
    ]


def test_all_ways_to_write_a_drug_have_one_skeleton() -> None:
    found = hashes(INN_STEMS)
    written = [spellings(text) for text in INN_STEMS]
    again = numpy.array(hashes([text for texts in written for text in texts])).reshape(len(INN_STEMS), 6)
    assert [text for text, hash, others in zip(INN_STEMS, found, again, strict=True) if (others != hash).any()] == []


def test_drugs_differ_where_their_skeletons_do() -> None:
    skeletons = [Chem.MolToSmiles(read(text), isomericSmiles=False) for text in INN_STEMS]
    assert len(set(skeletons)) == len(set(hashes(INN_STEMS))) == 654


def test_small_molecules_with_other_skeletons_differ() -> None:
    smiles = [text for text in READABLE if len(text) < 60 and "." not in text and not set("[$~:") & set(text)]
    by_skeleton = {Chem.MolToSmiles(read(text), isomericSmiles=False): text for text in smiles}
    assert len(by_skeleton) > 100
    assert len(set(hashes(list(by_skeleton.values())))) == len(by_skeleton)


@pytest.mark.parametrize(
    ("labeled", "plain"),
    [
        ("[2H]O", "O"),
        ("[2H]O[2H]", "O"),
        ("[2H]C([2H])([2H])Oc1ccccc1", "COc1ccccc1"),
        ("[13CH3]C[18OH]", "CCO"),
        ("[2H][2H]", "[H][H]"),
        ("[2H+]", "[H+]"),
        ("[3H]C.[2H]N", "C.N"),
    ],
)
def test_isotopes_are_no_part_of_a_skeleton(labeled: str, plain: str) -> None:
    assert len(set(hashes([labeled, plain]))) == 1


def test_the_pieces_of_a_molecule_count_each() -> None:
    assert len(set(hashes(["C", "C.C", "C.C.C", "CC", "C.O", "O"]))) == 6
    assert len(set(hashes(["C.O", "O.C"]))) == 1


def test_what_is_ten_bonds_apart_is_told_apart() -> None:
    # Two fluorines on a long chain, far from its ends, so that nothing but their distance differs.
    chains = ["C" * 12 + f"C(F){'C' * between}C(F)" + "C" * (24 - between) for between in range(9)]
    assert len(set(hashes(chains))) == len(chains)


def permuted(features: Arrays, order: list[int]) -> Arrays:
    """One molecule with its atoms renumbered: atom `order[i]` becomes atom i."""
    place = {atom: number for number, atom in enumerate(order)}
    bonds = zip(features["target"].tolist(), features["source"].tolist(), features["bond_codes"].tolist(), strict=True)
    edges = numpy.array(sorted((place[target], place[source], code) for target, source, code in bonds)).reshape(-1, 3)
    columns = {"target": edges[:, 0], "source": edges[:, 1], "bond_codes": edges[:, 2]}
    return {
        **features,
        "atom_codes": features["atom_codes"][order],
        **{name: values.astype(features[name].dtype) for name, values in columns.items()},
    }


@pytest.mark.parametrize("text", [*INN_STEMS[::60], "CC(C)C", "C1CC1C#N", "[Na+].[Cl-]", "N->[Pt](<-N)(Cl)Cl", "O"])
def test_renumbered_atoms_have_the_same_hash(text: str) -> None:
    features = featurize([text], SETTINGS)
    source = random.Random(0)
    for _ in range(20):
        order = source.sample(range(int(features["atom_counts"][0])), int(features["atom_counts"][0]))
        assert hashes_of(permuted(features, order)) == features["skeletons"].tolist()


@pytest.mark.parametrize("name", ["atom_codes", "bond_codes"])
def test_another_atom_or_bond_is_another_hash(name: str) -> None:
    features = featurize(["CC(=O)Oc1ccccc1C(=O)O"], SETTINGS)
    expected = features["skeletons"].tolist()
    for place in range(len(features[name])):
        changed = {**features, name: features[name].copy()}
        changed[name][place] = changed[name][place] + 2
        assert hashes_of(changed) != expected


def test_the_version_belongs_to_these_arrays() -> None:
    # Of acetic acid; who changes what any array holds must change the version, or old caches are read as new ones.
    features = featurize(["CC(=O)O"], FeatureSettings(1, 16))
    assert FEATURE_VERSION == 10
    assert features["atom_codes"].tolist() == [
        [6, 1, 3, 5, 0, 4, 0, 3, 0, 0],
        [6, 3, 0, 5, 0, 3, 0, 0, 0, 0],
        [8, 1, 0, 5, 0, 3, 0, 0, 0, 0],
        [8, 1, 1, 5, 0, 3, 0, 1, 0, 0],
    ]
    assert features["bond_codes"].tolist() == [2, 2, 5, 3, 5, 3]
