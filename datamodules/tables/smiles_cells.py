"""SMILES from the cells of a table: names and extensions behind them, reactions in one cell, and what is refused."""

from __future__ import annotations

import logging
import re
from typing import Literal

import polars

from datamodules.tables.columns import INPUTS, InputKind

_log = logging.getLogger("tailmol")

Agents = Literal["apart", "reactants"]

LONGEST_SMILES = 4_000
"""Largest number of characters of a SMILES, so that no row takes long."""

# White space of ASCII; any other is no part of a SMILES, but a sign that the cell is not what it seems.
SPACES = " \t\r\n\f\v"

_FIRST_WORD = r"^([^ \t\r\n\f\v]+)"
_IS_REACTION = r"^[^>]*>[^>]*>[^>]*$"


def read_smiles(cells: polars.Series, column: str) -> tuple[polars.Series, polars.Series]:
    """The SMILES of a column, and why some cells hold none.

    What follows a SMILES after white space is left out, but for a ChemAxon extension (`|...|`) that RDKit can read.

    Args:
        cells: Text without white space around it, null where a cell is empty.
        column: Name of the column, for messages.

    Returns:
        Texts, null where there is no SMILES; and reasons, null where there is one.
    """
    text, where = polars.col("text"), f"in column {column}"
    smiles = text.str.extract(_FIRST_WORD)
    table = polars.DataFrame({"text": cells}).select(
        "text",
        smiles=smiles,
        reason=polars.when(text.is_null())
        .then(polars.lit(f"empty SMILES {where}"))
        .when(smiles.str.len_chars() > LONGEST_SMILES)
        .then(
            polars.concat_str(
                polars.lit("SMILES of "),
                smiles.str.len_chars(),
                polars.lit(f" characters {where}, of which {LONGEST_SMILES:,} are allowed"),
            )
        )
        .when(smiles.str.contains(r"[^\x00-\x7F]"))
        .then(polars.lit(f"SMILES with characters other than ASCII {where}")),
    )
    usable = table.with_columns(smiles=polars.when(polars.col("reason").is_null()).then("smiles"))
    behind = usable.filter(polars.col("smiles").is_not_null() & (text != polars.col("smiles")))
    return _with_extensions(usable, behind, column), usable["reason"].cast(polars.String)


def split_reactions(
    cells: polars.Series, column: str, agents: Agents
) -> tuple[polars.Series, polars.Series, polars.Series]:
    """The reactants and the product of reactions in one cell, `reactants>agents>product`.

    Args:
        cells: Text, null where a cell is empty.
        column: Name of the column, for messages.
        agents: reactants joins the agents to the reactants; apart leaves them out.

    Returns:
        Reactants and products, null where there is none; and reasons, null where there are both.
    """
    text = polars.col("text")
    reaction = text.str.replace_all(r"[ \t]*>[ \t]*", ">").str.extract(_FIRST_WORD)
    parts = reaction.str.splitn(">", 3).struct
    reactants, product = parts.field("field_0"), parts.field("field_2")
    if agents == "reactants":
        joined = polars.concat_str(reactants, parts.field("field_1"), separator=".")
        reactants = joined.str.strip_chars(".")
    where = f"in column {column}"
    table = polars.DataFrame({"text": cells}).select(
        reactants=reactants.alias("reactants"),
        product=product.alias("product"),
        reason=polars.when(text.is_null())
        .then(polars.lit(f"empty reaction {where}"))
        .when(~reaction.str.contains(_IS_REACTION))
        .then(polars.lit(f"other than a reaction, reactants>agents>product, {where}"))
        .when((reactants == "") | (product == ""))
        .then(polars.lit(f"reaction without reactants or product {where}")),
    )
    kept = table.with_columns(
        polars.when(polars.col("reason").is_null()).then(polars.col(name)).alias(name)
        for name in ("reactants", "product")
    )
    return kept["reactants"], kept["product"], kept["reason"].cast(polars.String)


def split_sample(text: str, input: InputKind, agents: Agents) -> tuple[str, ...] | None:
    """The parts of a sample that is written as one text, joined by `>>`; None if it has another number of parts.

    Args:
        text: The sample.
        input: What one sample is; a reaction may have agents, `reactants>agents>product`.
        agents: What becomes of them.
    """
    if input == "reaction" and text.count(">") == 2:
        reactants, product, _ = split_reactions(polars.Series([text.strip()]), "", agents)
        parts: list[str | None] = [reactants[0], product[0]]
    else:
        parts = [part.strip() for part in text.split(">>")]
    found = tuple(part for part in parts if part is not None)
    return found if len(found) == len(INPUTS[input].names) else None


def _with_extensions(usable: polars.DataFrame, behind: polars.DataFrame, column: str) -> polars.Series:
    """The SMILES, with the extensions that RDKit can read; and a warning of what is left out."""
    smiles = usable["smiles"]
    if behind.is_empty():
        return smiles
    from rdkit import Chem, rdBase

    extended = [text for text in behind["text"].unique().to_list() if _behind(text).startswith("|") and text.isascii()]
    with rdBase.BlockLogs():
        kept = [text for text in extended if Chem.MolFromSmiles(text) is not None]
    left = behind.filter(~polars.col("text").is_in(kept))
    if len(left):
        example, read = _behind(left["text"][0]), left["smiles"][0]
        shown = example if len(example) <= 40 else f"{example[:40]}..."
        _log.warning(
            f"{len(left):,} SMILES in column {column} are read without the text behind them, such as {shown!a} behind "
            f"{read[:40]}."
        )
    return usable.select(polars.when(polars.col("text").is_in(kept)).then("text").otherwise("smiles").alias("text"))[
        "text"
    ]


def _behind(text: str) -> str:
    return re.split(f"[{SPACES}]+", text, maxsplit=1)[1]
