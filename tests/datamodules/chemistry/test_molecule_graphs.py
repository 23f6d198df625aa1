import random
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from datamodules.chemistry.atom_codes import ATOM_CODE_SIZES, BOND_CODE_SIZE, BOND_TYPES
from datamodules.chemistry.atom_kinds import vocabulary
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.chemistry.molecule_graphs import GraphBuilder, SmilesReader
from datamodules.feature_cache import Arrays
from tests.datamodules.example_smiles import EXAMPLES, INN_STEMS, READABLE, UNREADABLE
from tests.datamodules.rdkit_reference import fingerprint, graph, parts, read, wrong_graphs

DATA = Path(__file__).parents[4] / "shared" / "data"
SHORT = [text for text in READABLE if len(text) < 100]


def build(smiles: list[str]) -> Arrays:
    """The graphs of readable SMILES."""
    builder, reader = GraphBuilder(), SmilesReader()
    with rdBase.BlockLogs():
        for text in smiles:
            builder.add(text, reader(text))
    return vars(builder.finish())


def said(molecule: Any) -> tuple[object, ...]:
    """All that is asked of a molecule, and what canonical SMILES tells of it."""
    stereo = [str(bond.GetStereo()) for bond in list(molecule.GetBonds())]
    return Chem.MolToSmiles(molecule), graph(molecule), stereo


def same_molecule(text: str) -> bool:
    """Whether the reader gives what RDKit's own function gives, atom by atom."""
    with rdBase.BlockLogs():
        expected, found = Chem.MolFromSmiles(text), SmilesReader()(text)
    if expected is None or found is None:
        return expected is found
    return said(expected) == said(found)


@pytest.fixture
def fresh() -> None:
    """Forget the kinds of atoms that were met, as a new process has met none."""
    vocabulary.cache_clear()


# One way to write a molecule, and others


def rewritten(text: str, seed: int) -> str:
    """Another SMILES of the same molecule, from another atom and with other rings and branches."""
    return Chem.MolToRandomSmilesVect(read(text), 1, randomSeed=seed)[0]  # type: ignore[no-any-return]


PIECES = [
    *("C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "c", "n", "o", "s", "*", "=", "#", ":", "~", "$", "->", "<-"),
    *("(", ")", "1", "2", ".", "/", "\\"),
    *("[nH]", "[H]", "[2H]", "[13C]", "[N+]", "[O-]", "[S+]", "[C-]", "[C@H]", "[S@]"),
    *("[CH2]", "[Si]", "[Se]", "[te]", "[Mg]", "[Cu]", "[Fe+2]", "[Pt@SP1]", "[NH2+]", "[OH+]", "[Li]"),
]


@st.composite
def any_smiles(draw: st.DrawFn) -> str:
    """A drug or an odd molecule, as given, written in another order, or with a piece put in or taken out."""
    text = draw(st.sampled_from(SHORT + INN_STEMS))
    way = draw(st.integers(0, 3))
    if way == 0:
        return text
    if way == 1:
        return rewritten(text, draw(st.integers(1, 10_000)))
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.sampled_from(PIECES)) + text[place + way - 2 :]


SMILES = any_smiles()


# Reading


@pytest.mark.parametrize("group", EXAMPLES)
def test_the_reader_gives_rdkits_molecule(group: str) -> None:
    assert [text for text in EXAMPLES[group] if read(text) is None] == []
    assert [text for text in EXAMPLES[group] if not same_molecule(text)] == []


def test_the_reader_gives_rdkits_molecules_of_the_drugs() -> None:
    assert [text for text in INN_STEMS if not same_molecule(text)] == []


@pytest.mark.parametrize("text", UNREADABLE)
def test_the_reader_gives_nothing_where_rdkit_gives_nothing(text: str) -> None:
    molecule = SmilesReader()(text)
    assert molecule is None or (text == "" and molecule.GetNumAtoms() == 0)


@settings(max_examples=400)
@given(SMILES)
def test_the_reader_gives_rdkits_molecule_of_any_smiles(text: str) -> None:
    assert same_molecule(text)


# Graphs


@pytest.mark.parametrize("group", EXAMPLES)
def test_atoms_and_bonds_are_what_rdkit_says_one_by_one(group: str, fresh: None) -> None:
    assert wrong_graphs(EXAMPLES[group], build(EXAMPLES[group])) == []


def test_atoms_and_bonds_of_the_drugs_are_what_rdkit_says_one_by_one(fresh: None) -> None:
    assert wrong_graphs(INN_STEMS, build(INN_STEMS)) == []


def test_each_molecule_alone_is_what_rdkit_says() -> None:
    for text in SHORT:
        vocabulary.cache_clear()
        assert wrong_graphs([text], build([text])) == []


@pytest.mark.parametrize("seed", range(4))
def test_what_was_read_before_changes_no_molecule(seed: int, fresh: None) -> None:
    smiles = random.Random(seed).sample(SHORT, len(SHORT))
    assert wrong_graphs(smiles, build(smiles)) == []
    assert wrong_graphs(INN_STEMS[::7], build(INN_STEMS[::7])) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # A mark decides the hybridisation, and what it was on is the same kind of atom without it.
        ("N[Pt@SP1](N)(Cl)Cl", "N[Pt](N)(Cl)Cl"),
        ("F[S@](Cl)(Br)I", "FS(Cl)(Br)I"),
        ("F[C@SP1](Cl)(Br)I", "FC(Cl)(Br)I"),
        # RDKit's hash counts a neighbor among the hydrogens, and takes some isotopes for charges.
        ("[2H][#6]C", "C=[CH]"),
        ("[H]*C", "[*H]=C"),
        ("[2H][Mg]C", "[MgH]=[SbH]"),
        ("[2Zn]C", "[Zn+]C"),
        # Radicals, valences and charges alone differ.
        ("C[CH2]", "CC"),
        ("CS(=O)(=O)C", "CS(=O)C"),
        ("C[CH+]C", "C[CH-]C"),
        # The same atoms, aromatic and not; in a ring and not; conjugated and not; hydrogens written and not.
        ("c1cc[nH]c1", "C1CCNC1"),
        ("C1=[te]CC=C1", "C1=[Te]CC=C1"),
        ("C1CCCCC1", "CCCCCC"),
        ("C=CC=C", "C=CCC=C"),
        ("[CH3][CH3]", "CC"),
        ("[13CH4]", "C"),
        ("C:C", "C=C"),
    ],
)
def test_a_molecule_is_not_taken_for_one_that_looks_like_it(first: str, second: str) -> None:
    for smiles in ([first, second], [second, first], [f"{first}.{second}"], [f"{second}.{first}"]):
        vocabulary.cache_clear()
        assert wrong_graphs(smiles, build(smiles)) == []


@settings(max_examples=200)
@given(st.lists(SMILES, min_size=1, max_size=8), st.booleans())
def test_any_molecules_together_are_what_rdkit_says_of_each(smiles: list[str], joined: bool) -> None:
    readable = [text for text in smiles if read(text) is not None and text]
    chosen = [".".join(readable)] if joined and readable else readable
    vocabulary.cache_clear()
    assert wrong_graphs(chosen, build(chosen)) == []


def test_no_molecules_have_no_arrays_but_their_types() -> None:
    empty, full = build([]), build(["CO"])
    assert {name: (array.dtype, array.shape[1:]) for name, array in empty.items()} == {
        name: (array.dtype, array.shape[1:]) for name, array in full.items()
    }
    assert {len(array) for array in empty.values()} == {0}


def test_every_code_is_below_its_size() -> None:
    arrays = build(READABLE + INN_STEMS)
    assert (arrays["atom_codes"].max(axis=0) < list(ATOM_CODE_SIZES.values())).all()
    assert arrays["bond_codes"].max() < BOND_CODE_SIZE == 2 * len(BOND_TYPES)


# By hand


def test_ethanol_by_hand() -> None:
    arrays = build(["CCO"])
    sp3 = 4
    assert arrays["atom_codes"].tolist() == [
        [6, 1, 3, 5, 0, sp3, 0, 3, 0, 0],
        [6, 2, 2, 5, 0, sp3, 0, 2, 0, 0],
        [8, 1, 1, 5, 0, sp3, 0, 1, 0, 0],
    ]
    assert arrays["target"].tolist() == [0, 1, 1, 2]
    assert arrays["source"].tolist() == [1, 0, 2, 1]
    assert arrays["bond_codes"].tolist() == [2] * 4


def test_bonds_are_numbered_by_type_and_conjugation() -> None:
    aromatic, single, double, triple, other = 4, 1, 2, 3, 0
    arrays = build(["c1ccccc1", "C=CC=C", "C=C", "C#C", "C$C", "C:C"])
    assert parts(arrays, "bond_counts", "bond_codes") == [
        [2 * aromatic + 1] * 12,
        [2 * kind + 1 for kind in (double, double, single, single, double, double)],
        [2 * double] * 2,
        [2 * triple] * 2,
        [2 * other] * 2,
        [2 * aromatic] * 2,
    ]


def test_chirality_does_not_depend_on_how_the_smiles_is_written() -> None:
    column = list(ATOM_CODE_SIZES).index("chirality")
    codes = build(["C[C@H](N)C(=O)O", "N[C@@H](C)C(=O)O", "C[C@@H](N)C(=O)O"])["atom_codes"]
    assert codes[:, column].tolist() == [0, 2, 0, 0, 0, 0] * 2 + [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("[CH3:1][OH:2]", "CO"),
        ("[CH3][CH2][NH][CH]=[O]", "CCNC=O"),
        ("[cH]1[cH][cH][nH][cH]1", "c1cc[nH]c1"),
        ("[CH3][C@H]([NH2])[C]([OH])=O", "C[C@H](N)C(O)=O"),
    ],
)
def test_hydrogens_in_brackets_change_nothing(written: str, usual: str) -> None:
    assert build([written])["atom_codes"].tolist() == build([usual])["atom_codes"].tolist()


def test_hydrogens_that_need_brackets_are_not_implicit() -> None:
    hydrogens, unwritten = (list(ATOM_CODE_SIZES).index(name) for name in ("hydrogens", "implicit_valence"))
    codes = build(["C[NH3+].[SiH4].[13CH4].c1cc[nH]c1.C[CH2].[SH4]"])["atom_codes"]
    bracketed = [1, 2, 3, 7, 10, 11]
    assert codes[bracketed, hydrogens].tolist() == [3, 4, 4, 1, 2, 4]
    assert codes[bracketed, unwritten].tolist() == [0] * 6


def test_mirror_images_differ_in_the_chirality_of_one_atom() -> None:
    left, right = parts(build(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]), "atom_counts", "atom_codes")
    places = [(atom, code) for atom in range(6) for code in range(10) if left[atom][code] != right[atom][code]]
    assert places == [(1, list(ATOM_CODE_SIZES).index("chirality"))]


def test_the_largest_molecule_has_65535_atoms() -> None:
    most = 2**16 - 1
    arrays = build(["C" * most, "CO"])
    assert arrays["atom_counts"].tolist() == [most, 2]
    assert arrays["source"][-3:].tolist() == [most - 2, 1, 0]
    assert arrays["target"][-3:].tolist() == [most - 1, 0, 1]
    assert arrays["atom_codes"][:, 0].tolist() == [6] * (most + 1) + [8]


# Ten thousand molecules of public data sets


def public_smiles() -> list[str]:
    tables = {"hiv": ["X"], "uspto_50k": ["X1", "X2"], "drugbank": ["X1", "X2"]}
    found: list[str] = []
    for name, columns in tables.items():
        table = polars.read_csv(DATA / f"{name}.tab.gz", separator="\t", infer_schema=False, quote_char=None)
        for column in columns:
            found += table[column].unique(maintain_order=True).to_list()
    return random.Random(0).sample(list(dict.fromkeys(found)), 10_000)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs the tables of shared/data beside the checkout")
def test_ten_thousand_molecules_are_what_rdkit_says(fresh: None) -> None:
    smiles = public_smiles()
    chosen = FeatureSettings(2, 256, ("morgan", "path", "atom_pair", "torsion"))
    features = featurize(smiles, chosen).to_arrays()
    assert wrong_graphs(smiles, features) == []
    assert [text for text in smiles[::5] if not same_molecule(text)] == []
    bins, counts = parts(features, "entry_counts", "bins"), parts(features, "entry_counts", "counts")
    wrong = []
    for text, places, values in zip(smiles, bins, counts, strict=True):
        dense = numpy.zeros(chosen.fingerprint_width, dtype=int)
        dense[places] = values
        molecule = read(text)
        if dense.tolist() != (fingerprint(molecule, chosen) if molecule else [0] * chosen.fingerprint_width):
            wrong.append(text)
    assert wrong == []
