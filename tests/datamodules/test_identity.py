"""Which rows are the same sample, and that no split puts them apart."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.chemistry.parent_molecule import Standardise
from datamodules.features import FeaturedTable, featurize_table
from datamodules.identity import SampleIdentity, identify
from datamodules.records import reject_unusable
from datamodules.splits.divide import divide
from datamodules.splits.split_check import check_split
from datamodules.splits.split_settings import SplitSettings
from datamodules.splits.splitters import SplitMethod, SplitPart
from datamodules.tables.columns import InputKind
from datamodules.tables.source_table import read_table
from tests.datamodules.drug_spellings import DRUGS, spelling


def load(folder: Path, lines: list[str], kind: InputKind = "molecule") -> FeaturedTable:
    header = {"molecule": "smiles,label", "drug_protein": "smiles,sequence,label"}.get(kind, "x1,x2,label")
    path = folder / "drugs.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return featurize_table(read_table(path, kind), FeatureSettings(1, 16))


def find(
    featured: FeaturedTable, folder: Path, standardise: Standardise = "parent", ordered: bool = False
) -> SampleIdentity:
    return identify(featured, standardise, ordered, folder / "cache")


def same(numbers: numpy.ndarray) -> list[int]:
    """The first row with the number of each row."""
    return [numbers.tolist().index(number) for number in numbers.tolist()]


def test_salts_are_their_parent_unless_molecules_count_as_given(tmp_path: Path) -> None:
    featured = load(tmp_path, ["NC1CCCCC1,a", "NC1CCCCC1.Cl,a", "[NH3+]C1CCCCC1.[Br-],a", "NC1CCCC1,b"])
    assert same(find(featured, tmp_path).samples) == [0, 0, 0, 3]
    assert same(find(featured, tmp_path, "none").samples) == [0, 1, 2, 3]


def test_molecules_that_refinement_cannot_tell_apart_are_different(tmp_path: Path) -> None:
    featured = load(tmp_path, ["C1CCC2CCCCC2C1,a", "C1CCCC1C1CCCC1,b", "C1CC2CCCCC2CC1,a"])
    assert len(set(featured.skeletons.ravel().tolist())) == 1
    assert same(find(featured, tmp_path).samples) == [0, 1, 0]
    assert reject_unusable(featured, find(featured, tmp_path), None).null_count() == 3


def test_a_pair_is_the_same_in_both_orders_unless_they_mean_something(tmp_path: Path) -> None:
    featured = load(tmp_path, ["CCO,CN,a", "CN.Cl,OCC,a", "CCO,CCO,a", "CCO,CN,a"], "pair")
    assert same(find(featured, tmp_path).samples) == [0, 0, 2, 0]
    assert same(find(featured, tmp_path, ordered=True).samples) == [0, 1, 2, 0]


def test_contradictions_of_pairs_are_found_in_both_orders(tmp_path: Path) -> None:
    featured = load(tmp_path, ["CCO,CN,a", "CN,OCC,b", "CCO,CCC,b"], "pair")
    reasons = reject_unusable(featured, find(featured, tmp_path), None)
    assert reasons.to_list() == ["conflicting duplicate: the structure of row 1 has the labels a, b"] * 2 + [None]
    assert reject_unusable(featured, find(featured, tmp_path, ordered=True), None).null_count() == 3


def test_all_components_of_a_reaction_count_and_their_order_does_not(tmp_path: Path) -> None:
    rows = ["CCO.CC(=O)O,CCOC(C)=O,a", "CC(=O)O.OCC,CC(=O)OCC,a", "CCO,CCOC(C)=O,b", "[CH3:1][OH:2].CC(=O)O,CO,b"]
    featured = load(tmp_path, [*rows, "CO.CC(O)=O,CO,b"], "reaction")
    assert same(find(featured, tmp_path).samples) == [0, 0, 2, 3, 3]


def test_a_drug_with_another_protein_is_another_sample(tmp_path: Path) -> None:
    featured = load(tmp_path, ["CCO,MKV,a", "OCC,mkv,a", "CCO,MKL,b", "CN,MKV,b"], "drug_protein")
    identity = find(featured, tmp_path)
    assert same(identity.samples) == [0, 0, 2, 3]
    assert same(identity.parts[:, 0]) == [0, 0, 0, 3]
    assert same(identity.parts[:, 1]) == [0, 0, 2, 0]
    assert set(identity.parts[:, 0].tolist()).isdisjoint(identity.parts[:, 1].tolist())


def test_drugs_are_numbered_by_their_first_row(tmp_path: Path) -> None:
    featured = load(tmp_path, ["CCC,a", "CC,b", "CCC,a", "C,b"])
    assert find(featured, tmp_path).parts[:, 0].tolist() == [0, 1, 0, 2]


METHODS: list[SplitMethod] = ["random", "standard", "scaffold", "cold"]
ROWS = st.lists(st.tuples(st.integers(0, len(DRUGS) - 1), st.integers(0, 10**6)), min_size=25, max_size=50)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from(METHODS), st.integers(0, 99), st.booleans())
def test_no_drug_of_a_random_table_is_in_two_splits(
    rows: list[tuple[int, int]], method: SplitMethod, seed: int, pairs: bool
) -> None:
    if pairs:
        # Every pair in both orders; the label is of the unordered pair.
        left, right = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        cells = [one for pair in zip(left, right, strict=False) for one in (pair, pair[::-1])]
        drugs = [tuple(sorted(place for place, _ in pair)) for pair in cells]
        texts = [",".join(spelling(DRUGS[place], number) for place, number in pair) for pair in cells]
    else:
        drugs = [(place,) for place, _ in rows]
        texts = [spelling(DRUGS[place], number) for place, number in rows]
    lines = [f"{text},{'abc'[sum(drug) % 3]}" for text, drug in zip(texts, drugs, strict=True)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        featured = load(folder, lines, "pair" if pairs else "molecule")
        identity = find(featured, folder)
        reasons = reject_unusable(featured, identity, None)
        assert reasons.null_count() == len(lines)
        assert same(identity.samples) == [drugs.index(drug) for drug in drugs]
        split = SplitSettings(method, seed, (0.4, 0.3, 0.3))
        try:
            records = divide(featured, reasons, identity, split, None)
        except ValueError:
            return
        check_split(featured.table, identity, records, split)
    split_of = {row: part for part, members in records.rows.items() for row in members.tolist()}
    placed: dict[tuple[int, ...], set[str | None]] = {}
    for row, drug in enumerate(drugs):
        placed.setdefault(drug, set()).add(split_of.get(row))
    if method == "standard":
        # Rows above the promised number are in no split.
        placed = {drug: found - {None} for drug, found in placed.items()}
    assert all(len(found) <= 1 for found in placed.values())


@pytest.mark.parametrize(("part", "new_drugs"), [("first", 1), ("second", 1), ("both", 2)])
def test_a_cold_split_of_unordered_pairs_tests_new_drugs(part: SplitPart, new_drugs: int, tmp_path: Path) -> None:
    pairs = [(a, b) for a in range(1, 31) for b in range(1, 31) if a != b]
    featured = load(tmp_path, [f"{'C' * a}O,{'C' * b}O,{'ab'[(a * b) % 2]}" for a, b in pairs], "pair")
    identity = find(featured, tmp_path)
    split = SplitSettings("cold", part=part)
    records = divide(featured, reject_unusable(featured, identity, None), identity, split, None)
    trained = {drug for row in records.rows["train"].tolist() for drug in pairs[row]}
    assert len(trained) == 21
    new = [sum(drug not in trained for drug in pairs[row]) for row in records.rows["test"].tolist()]
    assert min(new) == new_drugs
    # Six drugs of thirty are for test, which pair with those of training or, for both, with each other.
    assert len(new) == (6 * 5 if part == "both" else 2 * 6 * 21 + 6 * 5)


def test_a_scaffold_split_of_unordered_pairs_tests_a_new_scaffold(tmp_path: Path) -> None:
    rings = [f"C1{'C' * size}1" for size in range(2, 32)]
    pairs = [(a, b) for a in range(30) for b in range(30) if a != b]
    featured = load(tmp_path, [f"O{rings[a]},N{rings[b]},{'ab'[(a + b) % 2]}" for a, b in pairs], "pair")
    identity = find(featured, tmp_path)
    records = divide(featured, reject_unusable(featured, identity, None), identity, SplitSettings("scaffold"), None)
    trained = {ring for row in records.rows["train"].tolist() for ring in pairs[row]}
    assert len(trained) == 21
    assert all(not trained.issuperset(pairs[row]) for row in records.rows["test"].tolist())
