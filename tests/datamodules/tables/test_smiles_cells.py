"""SMILES in cells: what stands behind them, reactions in one cell, and what is refused before RDKit sees it."""

import logging
from pathlib import Path

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import featurize_table
from datamodules.tables.smiles_cells import LONGEST_SMILES, Agents, read_smiles, split_reactions, split_sample
from datamodules.tables.source_table import read_table


def read(*texts: str | None) -> list[str | None]:
    """The SMILES, or the reason of a cell without one."""
    cells = polars.Series("smiles", texts, dtype=polars.String)
    smiles, reasons = read_smiles(cells, "smiles")
    assert (smiles.is_null() == reasons.is_not_null()).all()
    return [text if reason is None else f"! {reason}" for text, reason in zip(smiles, reasons, strict=True)]


@pytest.mark.parametrize(
    ("cell", "smiles", "left"),
    [
        ("CCO ethanol", "CCO", "'ethanol'"),
        ("CCO\tethyl alcohol", "CCO", "'ethyl alcohol'"),
        ("CN1C2CCC1CC(O)C2 |THB:0:1:3.4|", "CN1C2CCC1CC(O)C2", "'|THB:0:1:3.4|'"),
        ("CCO |not closed", "CCO", "'|not closed'"),
        ("CCO \u00e9thanol", "CCO", "'\\xe9thanol'"),
        ("C[C@H](N)O |&1:1| racemic", "C[C@H](N)O |&1:1| racemic", None),
        ("CC |^1:0|", "CC |^1:0|", None),
    ],
)
def test_what_stands_behind_a_smiles_is_left_out_and_told(
    cell: str, smiles: str, left: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tailmol"):
        assert read(cell, "C") == [smiles, "C"]
    told = f"1 SMILES in column smiles are read without the text behind them, such as {left} behind {smiles}."
    assert caplog.messages == ([] if left is None else [told])


@pytest.mark.parametrize(
    "cell", ["\u201cCCO\u201d", "C\u2011C", "CCO\u00a0", "\uff23\uff23", "CCO\u200b", "\u0421C", "C=C\u2192O"]
)
def test_text_that_is_not_ascii_is_no_smiles(cell: str, tmp_path: Path) -> None:
    refused = "SMILES with characters other than ASCII in column smiles"
    assert read(cell) == [f"! {refused}"]
    (tmp_path / "drugs.csv").write_text(f"smiles,label\n{cell},a\nCC,b\n")
    assert read_table(tmp_path / "drugs.csv").reasons.to_list() == [refused, None]


def test_a_long_smiles_is_refused_unread() -> None:
    length = LONGEST_SMILES + 1
    assert read("C" * LONGEST_SMILES, "C" * length, None) == [
        "C" * LONGEST_SMILES,
        f"! SMILES of {length} characters in column smiles, of which 4,000 are allowed",
        "! empty SMILES in column smiles",
    ]


DENSE = "".join(f"[U]%{number}" for number in range(10, 30)) + "".join(f"[U]%{number}" for number in range(10, 30))


def test_what_would_take_long_is_refused_with_its_size(tmp_path: Path) -> None:
    complete = Chem.RWMol()
    for _ in range(30):
        complete.AddAtom(Chem.Atom("U"))
    for first in range(30):
        for second in range(first):
            complete.AddBond(first, second, Chem.BondType.SINGLE)
    cells = ["C" * 600, "C" * 601, Chem.MolToSmiles(complete, canonical=False), DENSE]
    (tmp_path / "drugs.csv").write_text("smiles,label\n" + "".join(f"{cell},a\n" for cell in cells))
    featured = featurize_table(read_table(tmp_path / "drugs.csv"), FeatureSettings(2, 64))
    assert featured.reasons.to_list() == [
        None,
        "molecule of 601 atoms, of which 600 are allowed, in column smiles",
        "molecule with 435 bonds between 30 atoms, of which 80 are allowed, in column smiles",
        None,
    ]


def reactions(*texts: str | None, agents: Agents = "apart") -> list[tuple[str | None, str | None] | str]:
    cells = polars.Series("rxn", texts, dtype=polars.String)
    reactants, products, reasons = split_reactions(cells, "rxn", agents)
    return [
        (left, right) if reason is None else reason
        for left, right, reason in zip(reactants, products, reasons, strict=True)
    ]


def test_a_reaction_in_one_cell_is_its_reactants_and_product() -> None:
    texts = ["CC.O>[Na+].[OH-]>CCO", "CC>>CO", "[CH3:1][OH:2]>>[CH2:1]=[O:2] |f:0.1|", "CC>Pd>CO name"]
    apart = [("CC.O", "CCO"), ("CC", "CO"), ("[CH3:1][OH:2]", "[CH2:1]=[O:2]"), ("CC", "CO")]
    assert reactions(*texts) == apart
    assert reactions(*texts, agents="reactants") == [("CC.O.[Na+].[OH-]", "CCO"), apart[1], apart[2], ("CC.Pd", "CO")]


def test_other_text_is_no_reaction() -> None:
    other = "other than a reaction, reactants>agents>product, in column rxn"
    assert reactions("CCO", "C>O", "C>O>N>S", "C>>", ">>C", None) == [
        *[other] * 3,
        *["reaction without reactants or product in column rxn"] * 2,
        "empty reaction in column rxn",
    ]


def test_a_table_of_reactions_in_one_column_is_that_of_two(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("rxn_smiles,label\nCC.O>[Na+]>CCO,a\nCCO,b\nCC>>C1,b\n")
    (tmp_path / "two.csv").write_text("reactants,product,label\nCC.O,CCO,a\nCCO,,b\nCC,C1,b\n")
    one, two = (
        featurize_table(read_table(tmp_path / name, "reaction"), FeatureSettings(2, 64))
        for name in ("one.csv", "two.csv")
    )
    assert [cells.to_list()[0::2] for cells in one.table.smiles] == [
        cells.to_list()[0::2] for cells in two.table.smiles
    ]
    assert (one.skeletons[0] == two.skeletons[0]).all()
    assert one.reasons.to_list() == [
        None,
        "other than a reaction, reactants>agents>product, in column rxn_smiles",
        "SMILES that RDKit cannot read in column rxn_smiles (product)",
    ]


def test_a_sample_in_one_text() -> None:
    assert split_sample("CC>>CO", "pair", "apart") == ("CC", "CO")
    assert split_sample("CC >> CO", "reaction", "apart") == ("CC", "CO")
    assert split_sample("CC>O>CO", "reaction", "reactants") == ("CC.O", "CO")
    assert split_sample("CC>>CO", "molecule", "apart") is None
    assert split_sample("CC>>", "reaction", "apart") is None


@settings(max_examples=200)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=30))
def test_every_cell_is_read_or_refused_and_never_another_molecule(text: str) -> None:
    stripped = text.strip(" \t\r\n\f\v")
    (found,) = read(stripped or None)
    assert found is not None
    if not found.startswith("! "):
        assert found.isascii()
        assert stripped.startswith(found)


def test_a_reaction_that_is_read_as_a_molecule_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "drugs.csv").write_text("smiles,label\nCC>>CO,a\nCC,b\n")
    featured = featurize_table(read_table(tmp_path / "drugs.csv"), FeatureSettings(2, 64))
    assert featured.reasons.to_list() == ["reaction, which --data.input reaction reads, in column smiles", None]
