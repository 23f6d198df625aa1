"""Samples of an exported model are read as `lightning predict` reads cells."""

from __future__ import annotations

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.tables.smiles_cells import SPACES, Agents, split_reactions
from datamodules.tables.smiles_cells import read_smiles as read_cells
from modules.export.portable_samples import read_smiles, split_sample
from tests.datamodules.example_smiles import EXAMPLES

CELLS = ["", "  ", "CCO", "é", "C é", "C" * 4_000, "C" * 4_001, "CCO |bad|", "CCO\v|$_AV:a;b;c$|"]
CELLS += EXAMPLES["with a name"]


def series(text: str) -> polars.Series:
    """A cell as tables have it: without white space around it, null if empty."""
    return polars.Series([text.strip(SPACES) or None], dtype=polars.String)


@given(st.sampled_from(CELLS) | st.text("CO> \t|é\n", max_size=12))
def test_a_cell_gives_the_smiles_of_a_table(cell: str) -> None:
    smiles, reasons = read_cells(series(cell), "x")
    found, reason = read_smiles(cell)
    assert (reason is None) == (reasons[0] is None)
    if reason is None:
        assert found == smiles[0]
    else:
        assert reasons[0].replace(" in column x", "") == reason.rstrip(",")


@given(st.text("CO> \t.", max_size=12) | st.just("CC.O> N >CCO name"), st.sampled_from(["apart", "reactants"]))
def test_a_reaction_is_split_as_in_a_table(text: str, agents: Agents) -> None:
    reactants, product, reasons = split_reactions(series(text), "x", agents)
    parts, reason = split_sample(text, "reaction", agents)
    assert (reason is None) == (reasons[0] is None)
    if reason is None:
        assert parts == (reactants[0], product[0])


def test_parts_of_a_pair_are_apart_or_joined() -> None:
    assert split_sample("CC>>O", "pair", "apart") == (("CC", "O"), None)
    assert split_sample(["CC", "O"], "pair", "apart") == (("CC", "O"), None)
    for wrong in ("CC", ["CC"], ("C", "C", "C"), ("C", None)):
        with pytest.raises(ValueError, match="samples: expected 2 SMILES for a model of input pair"):
            split_sample(wrong, "pair", "apart")  # type: ignore[arg-type]
