import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import InputError
from datamodules.chemistry import molecule_features
from datamodules.chemistry.molecule_features import FeatureSettings, MoleculeFeatures, featurize
from datamodules.features import FeaturedTable, featurize_cached, featurize_table
from datamodules.identity import SampleIdentity, identify
from datamodules.records import reject_unusable
from datamodules.tables.columns import InputKind
from datamodules.tables.rejected_rows import check_rejected, rejected_rows
from datamodules.tables.source_table import read_table

HEADER = "smiles,label\n"
MIXED = HEADER + "CCO,a\nOCC,a\nC1CC,a\n,b\nCC,\nCC,b,x\nC(C)O,b\nCCC,b\n"
UNREADABLE = "SMILES that RDKit cannot read in column"


def load(folder: Path, text: str, kind: InputKind = "molecule") -> FeaturedTable:
    path = folder / "drugs.csv"
    path.write_text(text)
    return featurize_table(read_table(path, kind), FeatureSettings(2, 64))


def identity_of(featured: FeaturedTable) -> SampleIdentity:
    with TemporaryDirectory() as folder:
        return identify(featured, "parent", True, Path(folder))


def reasons_of(featured: FeaturedTable, classes: tuple[str, ...] | None = None) -> polars.Series:
    with TemporaryDirectory() as folder:
        return reject_unusable(featured, identify(featured, "parent", True, Path(folder)), classes)


def no_reasons(rejected: int, rows: int) -> polars.Series:
    """Reasons of which the last ones are not null."""
    return polars.Series([None] * (rows - rejected) + ["no SMILES"] * rejected, dtype=polars.String)


# Features


def test_equal_structures_have_equal_skeletons_and_rows_keep_their_reasons(tmp_path: Path) -> None:
    featured = load(tmp_path, MIXED)
    ethanol, ethane, propane = (featured.skeletons[row, 0] for row in (0, 4, 7))
    assert featured.skeletons[:, 0].tolist() == [ethanol, ethanol, 0, 0, ethane, ethane, ethanol, propane]
    assert len({0, ethanol, ethane, propane}) == 4
    assert featured.reasons.to_list() == [
        None,
        None,
        f"{UNREADABLE} smiles",
        "empty SMILES in column smiles",
        "missing label in column label",
        "row has 3 fields where the header has 2",
        None,
        None,
    ]


def test_a_reaction_names_the_column_that_cannot_be_read(tmp_path: Path) -> None:
    featured = load(tmp_path, "reactants,product,y\nCC.O,CCO,1\nCC,C1,1\nC1,CC,1\nC1,C1,1\nC1,,1\n", "reaction")
    assert featured.skeletons.shape == (5, 2)
    assert (featured.skeletons == 0).tolist() == [[False] * 2, [False, True], [True, False], [True] * 2, [True] * 2]
    assert featured.reasons.to_list() == [
        None,
        f"{UNREADABLE} product",
        f"{UNREADABLE} reactants",
        f"{UNREADABLE} reactants",
        "empty SMILES in column product",
    ]


def test_rows_of_the_same_molecules_in_the_same_order_are_a_group(tmp_path: Path) -> None:
    rows = ["CCO,C", "C,CCO", "OCC,C", "CCO,CCO", "C,C", "C,OCC", "[13CH3]CO,C"]
    groups = identity_of(load(tmp_path, "x1,x2,y\n" + "".join(f"{row},1\n" for row in rows), "pair")).samples
    assert groups.dtype == numpy.int64
    assert [groups.tolist().index(group) for group in groups.tolist()] == [0, 1, 0, 3, 4, 1, 0]


def test_the_store_serves_each_row_its_own_molecules(tmp_path: Path) -> None:
    featured = load(tmp_path, "x1,x2,y\nCCO,C,1\nC,CCO,1\nCCO,CCO,1\n", "pair")
    rows = numpy.array([1, 2, 0])
    batch = featured.store.batch(rows, rows, rows)
    assert batch.molecules is not None
    assert batch.molecules.atoms_per_molecule.tolist() == [1, 3, 3, 3, 3, 1]


def test_a_smiles_is_featurized_once_and_not_at_all_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(smiles: Sequence[str], settings: FeatureSettings) -> MoleculeFeatures:
        featurized.append(list(smiles))
        return featurize(smiles, settings)

    def cached(text: str) -> FeaturedTable:
        path = tmp_path / "drugs.csv"
        path.write_text(text)
        from_cache = partial(featurize_cached, cache_folder=tmp_path / "cache")
        return featurize_table(read_table(path), FeatureSettings(2, 64), from_cache)

    featurized: list[list[str]] = []
    monkeypatch.setattr(molecule_features, "featurize", counted)
    first = cached(HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\n,b\n")
    assert featurized == [["", "CCO", "C", "OCC"]]
    again = cached(HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\n,b\n")
    assert again.skeletons.tolist() == first.skeletons.tolist()
    assert len(featurized) == 1
    cached(HEADER + "CCO,a\nC,b\nCCO,a\nOCC,a\nN,b\n")
    assert featurized[1:] == [["", "CCO", "C", "OCC", "N"]]


# Duplicates that contradict each other


def test_duplicates_are_found_by_structure_and_contradictions_rejected(tmp_path: Path) -> None:
    reasons = reasons_of(load(tmp_path, MIXED))
    conflict = "conflicting duplicate: the structure of row 1 has the labels a, b"
    assert [reasons[row] for row in (0, 1, 6)] == [conflict] * 3
    assert reasons[7] is None


def test_each_contradiction_names_its_own_first_row_and_labels(tmp_path: Path) -> None:
    rows = ["C,b", "CC,x", "CCC,z", "C,a", "CC,y", "C,c", "CCC,z", "[CH3][CH3],x"]
    reasons = reasons_of(load(tmp_path, HEADER + "\n".join(rows) + "\n")).to_list()
    conflict = "conflicting duplicate: the structure of row"
    methane, ethane = f"{conflict} 1 has the labels a, b, c", f"{conflict} 2 has the labels x, y"
    assert reasons == [methane, ethane, None, methane, ethane, methane, None, ethane]


def test_stereoisomers_and_isotopes_may_have_labels_of_their_own(tmp_path: Path) -> None:
    rows = ["C[C@H](N)O,a", "C[C@@H](N)O,b", "CC(N)O,c", "C/C=C/F,a", "C/C=C\\F,b", "C,a", "[13CH4],b", "N[C@H](O)C,a"]
    reasons = reasons_of(load(tmp_path, HEADER + "\n".join(rows) + "\n"))
    assert reasons.null_count() == 8
    reasons = reasons_of(load(tmp_path, HEADER + "\n".join([*rows, "N[C@@H](O)C,a"]) + "\n"))
    assert reasons.is_not_null().arg_true().to_list() == [1, 8]


# Structures, each in some of its spellings.
SPELLINGS = [
    ["CCO", "OCC", "C(C)O", "[CH3]CO"],
    ["c1ccccc1", "C1=CC=CC=C1"],
    ["C[C@H](N)O", "N[C@H](O)C", "O[C@@H](N)C"],
    ["C[C@@H](N)O", "N[C@@H](O)C"],
    ["CC(N)O", "OC(C)N"],
    ["[Na+].[Cl-]", "[Cl-].[Na+]"],
]
STRUCTURES = st.integers(0, len(SPELLINGS) - 1)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(STRUCTURES, STRUCTURES, st.integers(0, 3), st.sampled_from("abc")), min_size=2, max_size=12))
def test_a_row_is_rejected_exactly_where_another_label_has_its_structure(
    tmp_path: Path, rows: list[tuple[int, int, int, str]]
) -> None:
    def spelling(structure: int, number: int) -> str:
        return SPELLINGS[structure][number % len(SPELLINGS[structure])]

    lines = [f"{spelling(left, number)},{spelling(right, number + 1)},{label}" for left, right, number, label in rows]
    reasons = reasons_of(load(tmp_path, "x1,x2,y\n" + "\n".join(lines) + "\n", "pair"))
    expected = [
        any((left, right) == other[:2] and label != other[3] for other in rows) for left, right, _, label in rows
    ]
    assert reasons.is_not_null().to_list() == expected


def test_a_rejected_row_contradicts_nobody(tmp_path: Path) -> None:
    featured = load(tmp_path, HEADER + "CC,a\nCC,b,x\nCC,\nCC,a\n")
    reasons = reasons_of(featured)
    assert reasons.is_null().to_list() == [True, False, False, True]
    assert featured.reasons[0] is None


def test_a_trained_model_rejects_the_labels_it_does_not_know(tmp_path: Path) -> None:
    featured = load(tmp_path, HEADER + "CC,a\nCCC,new\nCC,new\nC1,other\n")
    assert reasons_of(featured, ("a", "b")).to_list() == [
        None,
        "label 'new' is not a class of the trained model",
        "label 'new' is not a class of the trained model",
        f"{UNREADABLE} smiles",
    ]


# Rejected rows


def test_rejected_rows_stand_as_given_behind_number_and_reason(tmp_path: Path) -> None:
    featured = load(tmp_path, "id,reason,smiles,row,label\n7, why ,C1CC,x,a\n8,,CC,y,b\n9,,,z,\n")
    frame = rejected_rows(featured.table, featured.reasons)
    assert frame.columns == ["row", "reason", "id", "reason (given)", "smiles", "row (given)", "label"]
    assert frame.rows() == [
        (1, f"{UNREADABLE} smiles", "7", " why ", "C1CC", "x", "a"),
        (3, "empty SMILES in column smiles", "9", "", "", "z", ""),
    ]


def test_without_rejects_the_listing_has_its_columns_still(tmp_path: Path) -> None:
    frame = rejected_rows(load(tmp_path, HEADER + "C,a\nCC,a\n").table, no_reasons(0, 2))
    assert frame.shape == (0, 4)
    assert frame.write_csv() == "row,reason,smiles,label\n"


def test_columns_that_csv_cannot_hold_are_left_out(tmp_path: Path) -> None:
    values = {
        "smiles": ["C1", "CC"],
        "y": [1, 2],
        "vector": [[0.5], [1.5]],
        "raw": [b"\xff", b""],
        "both": [{"a": 1}] * 2,
    }
    polars.DataFrame(values).write_parquet(tmp_path / "drugs.parquet")
    featured = featurize_table(read_table(tmp_path / "drugs.parquet"), FeatureSettings())
    for reasons in (featured.reasons, no_reasons(0, 2)):
        frame = rejected_rows(featured.table, reasons)
        assert frame.columns == ["row", "reason", "smiles", "y"]
        assert frame.write_csv().count("\n") == 1 + reasons.is_not_null().sum()


@pytest.mark.parametrize(("rejected", "allowed"), [(0, 0.0), (5, 0.05), (99, 1.0), (1, 0.01)])
def test_rejects_within_the_limit_are_logged(
    rejected: int, allowed: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = load(tmp_path, HEADER + 100 * "CCO,a\n").table
    with caplog.at_level(logging.WARNING, "tailmol"):
        check_rejected(table, no_reasons(rejected, 100), allowed, "out/rejected.csv")
    expected = (
        f"{rejected} of 100 rows cannot be used, the first is row {101 - rejected}: no SMILES; "
        "all are in out/rejected.csv."
    )
    assert caplog.messages == ([expected] if rejected else [])


def test_the_first_reject_is_named_by_its_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = load(tmp_path, "id,smiles,label\nA1,CCO,a\nA2,,a\nA3,CCO,b\n").table
    with caplog.at_level(logging.WARNING, "tailmol"):
        check_rejected(table, polars.Series([None, "no SMILES", None]), 0.5, "out/rejected.csv")
    (message,) = caplog.messages
    assert message.startswith("1 of 3 rows cannot be used, the first is row 2 (A2): no SMILES; ")


@pytest.mark.parametrize(
    ("rejected", "allowed", "share"), [(6, 0.05, "5%"), (1, 0.0, "0%"), (100, 1.0, "100%"), (100, 0.5, "50%")]
)
def test_more_rejects_stop_the_run(rejected: int, allowed: float, share: str, tmp_path: Path) -> None:
    table = load(tmp_path, HEADER + 100 * "CCO,a\n").table
    message = rf"^{rejected} of 100 rows .* all are in out/rejected\.csv\. data\.max_rejected allows {share}\.$"
    with pytest.raises(InputError, match=message):
        check_rejected(table, no_reasons(rejected, 100), allowed, "out/rejected.csv")
