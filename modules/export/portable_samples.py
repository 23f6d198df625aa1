"""The SMILES of samples of an exported model, read as `lightning predict` reads the cells of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from datamodules.chemistry.molecule_graphs import SmilesReader

LONGEST_SMILES = 4_000
"""Largest number of characters of a SMILES, so that no sample takes long."""

_SPACES = " \t\r\n\f\v"


def split_sample(sample: str | Sequence[str], kind: str, agents: str) -> tuple[tuple[str, ...], str | None]:
    """The SMILES of a sample, and why it has none.

    Args:
        sample: A SMILES; two of a pair or a reaction, apart or joined by `>>`; a reaction may have agents,
            `reactants>agents>product`.
        kind: molecule, pair or reaction.
        agents: reactants joins the agents of a reaction to the reactants; apart leaves them out.

    Returns:
        One SMILES for a molecule, else two; and the reason, None if there are SMILES.

    Raises:
        ValueError: If a pair has another number of SMILES.
    """
    if not isinstance(sample, str):
        parts = tuple(sample)
    elif kind == "reaction":
        return _split_reaction(sample, agents)
    else:
        parts = tuple(sample.split(">>")) if kind == "pair" else (sample,)
    expected = 1 if kind == "molecule" else 2
    if len(parts) != expected or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"samples: expected {expected} SMILES for a model of input {kind}, got {sample!r}.")
    return parts, None


def read_smiles(cell: str) -> tuple[str, str | None]:
    """The SMILES of a cell, and why it cannot be used.

    What follows a SMILES after white space is left out, but for a ChemAxon extension (`|...|`) that RDKit can read.

    Args:
        cell: Text.

    Returns:
        The SMILES; and the reason as the beginning of a sentence, None if it can be used.
    """
    text = cell.strip(_SPACES)
    smiles, *behind = re.split(f"[{_SPACES}]+", text, maxsplit=1)
    if not smiles:
        return "", "empty SMILES"
    if len(smiles) > LONGEST_SMILES:
        return "", f"SMILES of {len(smiles)} characters, of which {LONGEST_SMILES:,} are allowed,"
    if not smiles.isascii():
        return "", "SMILES with characters other than ASCII"
    extended = behind and behind[0].startswith("|") and text.isascii() and SmilesReader()(text) is not None
    return text if extended else smiles, None


def _split_reaction(sample: str, agents: str) -> tuple[tuple[str, ...], str | None]:
    joined = re.sub(r"[ \t]*>[ \t]*", ">", sample.strip(_SPACES))
    if not joined:
        return (), "empty reaction"
    parts = re.split(f"[{_SPACES}]+", joined, maxsplit=1)[0].split(">")
    if len(parts) != 3:
        return (), "other than a reaction, reactants>agents>product,"
    reactants, agent, product = parts
    if agents == "reactants":
        reactants = f"{reactants}.{agent}".strip(".")
    if not reactants or not product:
        return (), "reaction without reactants or product"
    return (reactants, product), None
