"""Which SMILES are the same drug."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from datamodules.chemistry import cached_texts
from datamodules.chemistry.canonical_drugs import canonical_drugs
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.chemistry.parent_molecule import ParentFinder
from tests.datamodules.drug_spellings import DRUGS, spelling

SAME_PARENT = [
    ["CC(=O)O", "CC(=O)[O-].[Na+]", "[Na]OC(C)=O", "[K+].CC([O-])=O", "CC(=O)O[Ca]OC(C)=O", "OC(C)=O.Cl"],
    ["CNCC(=O)O", "C[NH2+]CC(=O)[O-]", "CNCC(=O)[O-].[Na+]", "Cl.CNCC(O)=O"],
    ["c1ccccc1CN", "[NH3+]Cc1ccccc1.[Br-]", "Cl.NCc1ccccc1", "[cH:1]1[cH:2][cH:3][cH:4][cH:5][c:6]1[CH2:7][NH2:8]"],
    ["C[N+](C)(C)CCO", "C[N+](C)(C)CCO.[Cl-]", "[OH-].C[N+](C)(C)CCO"],
    ["CN(=O)=O", "C[N+](=O)[O-]"],
    ["CN", "[2H]C([2H])N", "[13CH3]N"],
    ["CC(N)O", "C[C@H](N)O", "C[C@@H](N)O"],
]
OTHER_DRUGS = [
    *("O=C([O-])[O-].[Ca+2]", "O=C([O-])O.[K+]", "[K+].[C-]#N", "[Na+].[C-]#N", "N=C(N)N", "NC(N)=O", "C"),
    *("[Na+].[Cl-]", "[K+].[Cl-]", "Cl", "N[Pt](N)(Cl)Cl", "N", "C1CCC2CCCCC2C1", "C1CCCC1C1CCCC1"),
]


@pytest.mark.parametrize("written", SAME_PARENT)
def test_salts_charges_maps_isotopes_and_stereoisomers_are_one_drug(written: list[str], tmp_path: Path) -> None:
    assert len(set(canonical_drugs(written, "parent", False, tmp_path))) == 1
    parents = featurize(written, FeatureSettings(0, 8)).parents
    assert len(set(parents.tolist())) == 1


def test_what_has_no_organic_component_is_its_own_parent(tmp_path: Path) -> None:
    found = canonical_drugs(OTHER_DRUGS, "parent", False, tmp_path)
    assert len(set(found)) == len(OTHER_DRUGS)


def test_without_parents_a_salt_is_another_drug_but_a_map_is_not(tmp_path: Path) -> None:
    written = ["NCc1ccccc1", "Cl.NCc1ccccc1", "[NH3+]Cc1ccccc1", "[NH2:4]Cc1ccccc1", "NCc1cccc[13cH]1"]
    amine, salt, ion, mapped, labeled = canonical_drugs(written, "none", False, tmp_path)
    assert amine == mapped == labeled == "NCc1ccccc1"
    assert len({amine, salt, ion}) == 3


def test_stereoisomers_and_isotopes_are_other_structures(tmp_path: Path) -> None:
    written = ["CC(N)O", "C[C@H](N)O", "C[C@@H](N)O", "[13CH3]C(N)O", "C[C@@H]([NH3+])O.[Cl-]"]
    found = canonical_drugs(written, "parent", True, tmp_path)
    assert len(set(found[:4])) == 4
    assert found[4] == found[2]


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert canonical_drugs(["C1CC", "C", ""], "parent", False, tmp_path)[:2] == ["", "C"]
    assert canonical_drugs([], "parent", False, tmp_path) == []


def test_the_texts_of_another_version_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries() -> int:
        canonical_drugs(["CCO"], "parent", False, tmp_path)
        return sum(path.is_dir() for path in tmp_path.iterdir())

    assert (entries(), entries()) == (1, 1)
    monkeypatch.setattr(cached_texts, "FEATURE_VERSION", 8)
    assert entries() == 2


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(DRUGS), st.sampled_from(DRUGS), st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_spellings_are_equal_exactly_for_the_same_drug(
    tmp_path: Path, one: str, other: str, first: int, second: int
) -> None:
    texts = [spelling(one, first), spelling(other, second)]
    left, right = canonical_drugs(texts, "parent", False, tmp_path)
    assert (left == right) is (one == other)
    assert left == Chem.MolToSmiles(Chem.MolFromSmiles(one), isomericSmiles=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DRUGS), st.integers(0, 10**6)), min_size=1, max_size=8))
def test_the_hash_of_a_parent_is_that_of_the_parent_read_alone(drawn: list[tuple[str, int]]) -> None:
    written = [spelling(drug, seed) for drug, seed in drawn]
    found = featurize([*written, "[Na+].[Cl-]", "C[N+](C)(C)C.[Cl-]"], FeatureSettings(0, 8))
    alone = featurize([*(drug for drug, _ in drawn), "[Na+].[Cl-]", "C[N+](C)(C)C"], FeatureSettings(0, 8))
    assert found.parents.tolist() == alone.parents.tolist() == alone.skeletons.tolist()


@pytest.mark.parametrize(
    ("salt", "parent"),
    [
        ("[Na:1]OC(=O)c1ccccc1.O", "O=C(O)c1ccccc1"),
        ("[23Na]OC(=O)c1ccccc1.O", "O=C(O)c1ccccc1"),
        ("[44Ca]1OC(=O)CCC(=O)O1.O", "O=C(O)CCC(=O)O"),
        ("CCCO[MgH].O", "CCCO"),
        ("[39K]OCC-C", "CCCO"),
        ("CCO[6Li]", "CCO"),
        ("CCO[#11]", "CCO"),
        ("[23Na]OC(=O)c1ccccc1-c1ccccc1", "O=C(O)c1ccccc1-c1ccccc1"),
    ],
)
def test_the_metal_of_a_salt_is_cut_however_it_is_written(salt: str, parent: str, tmp_path: Path) -> None:
    assert canonical_drugs([salt], "parent", False, tmp_path) == [parent]
    found = featurize([salt, parent], FeatureSettings(0, 8)).parents
    assert found[0] == found[1]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*DRUGS, *OTHER_DRUGS, "CCOCC", "OCCCC"]), min_size=2, max_size=4))
def test_the_component_of_a_parent_is_the_one_that_rdkit_chooses(drugs: list[str]) -> None:
    text = ".".join(drugs)
    molecule = Chem.MolFromSmiles(text)
    chosen = Chem.MolToSmiles(rdMolStandardize.LargestFragmentChooser(preferOrganic=True).choose(molecule))
    finder = ParentFinder()
    component = finder.find_component(text, molecule)
    if component is not None:
        parts = Chem.GetMolFrags(molecule, asMols=True)
        assert Chem.MolToSmiles(parts[Chem.GetMolFrags(molecule).index(component)]) == chosen
        assert Chem.MolToSmiles(finder(text, molecule)) == chosen


def test_the_largest_component_counts_with_its_hydrogens_and_a_tie_is_left_to_rdkit() -> None:
    finder = ParentFinder()
    # Eight atoms against fourteen.
    text = "ClC(Cl)(Cl)C(Cl)(Cl)Cl.CCCC"
    assert finder.find_component(text, Chem.MolFromSmiles(text)) == (8, 9, 10, 11)
    for tie in ("CCOCC.OCCCC", "CCO.OCC"):
        assert finder.find_component(tie, Chem.MolFromSmiles(tie)) is None
    # An ion is neutralized, so its component is not the parent.
    assert finder.find_component("CCC[NH3+].[Cl-]", Chem.MolFromSmiles("CCC[NH3+].[Cl-]")) is None


def test_a_bond_between_rings_is_no_charge() -> None:
    text = "c1ccccc1-c1ccccn1"
    molecule = Chem.MolFromSmiles(text)
    assert ParentFinder()(text, molecule) is molecule


@pytest.mark.parametrize(
    ("text", "is_neutral"),
    [
        ("C[N+](=O)[O-]", True),
        ("C[N+](C)(C)[O-]", True),
        ("CN=[N+]=[N-]", True),
        ("C[N+](C)(C)CC", True),
        ("CC[S+]([O-])C", True),
        ("O=[N+]([O-])c1ccc([O-])cc1", False),
        ("C[N+](C)(C)CC([O-])=O", False),
        ("[NH3+]CC([O-])=O", False),
        ("C[NH+]([O-])C", False),
        ("CC[O-]", False),
        ("CC[N-2]", False),
        ("C[NH+]=[N-]", False),
    ],
)
def test_charges_that_no_proton_explains_stay(text: str, is_neutral: bool) -> None:
    molecule = Chem.MolFromSmiles(text)
    found = ParentFinder()(text, molecule)
    assert (found is molecule) == is_neutral
    assert Chem.MolToSmiles(found) == Chem.MolToSmiles(rdMolStandardize.Uncharger().uncharge(molecule))
