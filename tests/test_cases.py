"""Small tables from real situations, each with the right answer (`cases/`)."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import polars
import pytest
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.splitters import SplitMethod

CASES = Path(__file__).with_name("cases")
METHODS: list[SplitMethod] = ["random", "standard", "scaffold", "cold"]


def set_up(folder: Path, name: str, **settings: Any) -> DrugDataModule:
    """The data module of a case."""
    settings = {"cache_folder": str(folder / "cache"), "fingerprint_size": 64, **settings}
    module = DrugDataModule(str(CASES / name), **settings)
    module.setup("fit")
    return module


def split_of_rows(module: DrugDataModule) -> dict[int, str]:
    return {row: name for name, rows in module.records.rows.items() for row in rows.tolist()}


def plain(smiles: str) -> Chem.Mol:
    molecule = Chem.MolFromSmiles(smiles)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    return molecule


@pytest.mark.parametrize("method", METHODS)
def test_atom_maps_change_no_split(method: SplitMethod, tmp_path: Path) -> None:
    mapped, without = (set_up(tmp_path, f"{name}.csv", split=method) for name in ("mapped", "plain"))
    assert split_of_rows(mapped) == split_of_rows(without)
    if method == "scaffold":
        cells = mapped.table.table.smiles[0]
        scaffold: Any = MurckoScaffold.MurckoScaffoldSmiles
        found = {
            name: {scaffold(mol=plain(text)) for text in cells.gather(rows)}
            for name, rows in mapped.records.rows.items()
        }
        assert found["test"].isdisjoint(found["train"])


@pytest.mark.parametrize("method", METHODS)
def test_both_orders_of_a_pair_are_in_one_split(method: SplitMethod, tmp_path: Path) -> None:
    module = set_up(tmp_path, "pairs.csv", input="pair", split=method, split_fractions=(0.6, 0.2, 0.2))
    splits, frame = split_of_rows(module), module.table.table.frame
    placed: dict[frozenset[str], set[str | None]] = {}
    for row, pair in enumerate(frame.select("smiles1", "smiles2").rows()):
        placed.setdefault(frozenset(pair), set()).add(splits.get(row))
    placed = {pair: found - {None} if method == "standard" else found for pair, found in placed.items()}
    assert {len(found) for found in placed.values()} <= {0, 1}
    assert Counter(map(len, placed.values()))[1] > 200
    assert not module.task.ordered_pairs
    assert set_up(tmp_path, "pairs.csv", input="pair", ordered_pairs=True).task.ordered_pairs


def test_tokens_of_missing_labels_are_rejected_rows(tmp_path: Path) -> None:
    module = set_up(tmp_path, "na_labels.csv", max_rejected=0.3)
    assert module.task.num_classes == 3
    missing = Counter(module.table.reasons.drop_nulls().to_list())
    assert missing == {"missing label in column label": 60}
    with_tokens = set_up(tmp_path, "na_labels.csv", missing_labels=[], max_rejected=0.3)
    assert with_tokens.task.num_classes > 3


def test_numbers_are_the_same_classes_as_in_parquet(tmp_path: Path) -> None:
    module = set_up(tmp_path, "mixed.csv")
    assert module.task.classes == ("0", "1", "2")
    frame = polars.read_csv(CASES / "mixed.csv", schema_overrides={"label": polars.Float64})
    frame.write_parquet(tmp_path / "mixed.parquet")
    assert set_up(tmp_path, str(tmp_path / "mixed.parquet")).task == module.task


@pytest.mark.parametrize("method", ["random", "standard", "cold"])
def test_no_salt_is_apart_from_its_parent(
    method: SplitMethod, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        module = set_up(tmp_path, "salts.csv", split=method)
    frame, splits = module.table.table.frame, split_of_rows(module)
    placed: dict[str, set[str]] = {}
    for row, smiles in enumerate(frame["smiles"]):
        # The amine stands first, before its counterion.
        if row in splits:
            placed.setdefault(smiles.split(".")[0], set()).add(splits[row])
    assert len(placed) == 45
    assert {len(found) for found in placed.values()} == {1}
    assert "different samples in train" in caplog.text
    assert f"The {method} split was checked: no sample is in two splits" in caplog.text
    as_given = set_up(tmp_path, "salts.csv", standardise="none")
    with pytest.raises(InputError, match="got none for validation of 180 usable rows"):
        # All parents have one ring, so that there is nothing to divide by.
        set_up(tmp_path, "salts.csv", split="scaffold")
    assert as_given.records.different_samples(as_given.records.rows["train"]) > 100


def test_stereoisomers_do_not_unbalance_a_standard_split(tmp_path: Path) -> None:
    module = set_up(tmp_path, "stereo.csv", split="standard")
    for name in ("validation", "test"):
        counts = Counter(module.records.codes[module.records.rows[name]].tolist())
        assert len(counts) == 3
        assert len(set(counts.values())) == 1


def test_repeated_measurements_count_once_unless_rows_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tailmol"):
        module = set_up(tmp_path, "repeated.csv")
    rows = module.records.rows["train"]
    different = module.records.different_samples(rows)
    assert f"{len(rows):,} rows of {different:,} different samples in train" in caplog.text
    assert sum(module.task.class_counts) == different < len(rows)
    by_rows = set_up(tmp_path, "repeated.csv", count_by="rows")
    assert sum(by_rows.task.class_counts) == len(rows)
    sizes = [module.records.sizes(part, module.task.class_counts) for part in module.records.rows.values()]
    assert (sum(one["rows"] for one in sizes), sum(one["samples"] for one in sizes)) == (294, 60)


def test_sets_of_labels_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        set_up(tmp_path, "multi.csv")
    assert "2 of 5 classes in column label are made of others, joined by '|'" in caplog.text
    assert "agonist|antagonist" in caplog.text


def test_reactions_in_one_column_are_read(tmp_path: Path) -> None:
    module = set_up(tmp_path, "rxn.csv", input="reaction")
    assert module.table.table.columns.smiles == ("rxn_smiles",)
    reactants, product = (cells[0] for cells in module.table.table.smiles)
    assert (reactants, product) == ("CC(CN)O.O", "C1=CC=C2C(=C1)C(=O)NS2(=O)=O")
    assert module.task.classes == ("hydrolysis", "oxidation", "reduction")
    joined = set_up(tmp_path, "rxn.csv", input="reaction", agents="reactants")
    assert joined.table.table.smiles[0][0] == "CC(CN)O.O.[Na+].[OH-]"


def test_folds_are_asked_for_and_followed(tmp_path: Path) -> None:
    message = r"data\.test_folds and data\.validation_folds: expected the folds of test and of validation, since the"
    with pytest.raises(InputError, match=rf"{message} split column holds the folds 0, 1, 2, 3, 4; got null"):
        set_up(tmp_path, "folds.csv", split="file")
    with pytest.raises(
        InputError, match=r"data\.test_folds: expected a fold of 0, 1, 2, 3, 4, got '9', one that is in"
    ):
        set_up(tmp_path, "folds.csv", split="file", test_folds=9, validation_folds=4)
    module = set_up(tmp_path, "folds.csv", split="file", test_folds=0, validation_folds=[4])
    folds = module.table.table.frame["split"]
    found = {name: set(folds.gather(rows)) for name, rows in module.records.rows.items()}
    assert found == {"train": {"1", "2", "3"}, "validation": {"4"}, "test": {"0"}}


def test_a_blank_split_is_a_rejected_row(tmp_path: Path) -> None:
    text = (CASES / "folds.csv").read_text().replace("CC(CN)O,a,0", "CC(CN)O,a,").replace(",4\n", ",4.0\n")
    (tmp_path / "blank.csv").write_text(text)
    folds = {"test_folds": ["0"], "validation_folds": ["4"]}
    module = set_up(tmp_path, str(tmp_path / "blank.csv"), split="file", **folds)
    assert module.table.reasons[0] == "missing split in column split"
    assert module.records.codes[0] == -1


def test_measured_numbers_are_refused_with_the_remedy_which_works(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected classes, got 2\d\d different numbers .* --data\.label_thresholds"):
        set_up(tmp_path, "logp.csv")
    module = set_up(tmp_path, "logp.csv", label_thresholds=[-1, 2])
    assert module.task.classes == ("-1 to 2", "2 or above", "below -1")
    labels = module.table.table.labels
    assert labels is not None
    values = polars.read_csv(CASES / "logp.csv")["label"]
    assert labels.to_list() == ["below -1" if v < -1 else "-1 to 2" if v < 2 else "2 or above" for v in values]


def test_a_vendors_extension_does_not_lose_the_molecule(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{'C' * (size + 1)}O,{'ab'[size % 2]}" for size in range(20)]
    path = tmp_path / "vendor.csv"
    path.write_text("\n".join(["smiles,label", "CN1C2CCC1CC(O)C2 |THB:0:1:3.4|,a", "C1CC |x|,b", *lines]) + "\n")
    with caplog.at_level(logging.WARNING, "tailmol"):
        module = set_up(tmp_path, str(path), max_rejected=0.5)
    assert module.table.reasons.to_list()[:3] == [None, "SMILES that RDKit cannot read in column smiles", None]
    assert "read without the text behind them, such as '|THB:0:1:3.4|' behind CN1C2CCC1CC(O)C2" in caplog.text


def test_the_cases_are_those_that_are_tested() -> None:
    names = "folds logp mapped mixed multi na_labels pairs plain repeated rxn salts stereo"
    assert " ".join(sorted(path.stem for path in CASES.glob("*.csv"))) == names
