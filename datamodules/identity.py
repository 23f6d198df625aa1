"""Which rows of a table are the same sample: the same drug, pair, reaction, drug with protein, or array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray

from datamodules.chemistry.canonical_drugs import canonical_drugs
from datamodules.chemistry.parent_molecule import Standardise
from datamodules.features import FeaturedTable
from datamodules.tables.drug_table import DrugTable


@dataclass(frozen=True)
class SampleIdentity:
    """Numbers that are equal for the same parts of samples, and for the same samples, and only for these.

    Two molecules are the same drug if they have the same atoms and bonds, whatever their stereochemistry, isotopes,
    atom-map numbers and spelling; with `standardise` parent, if their parents have. The molecules of reactions have no
    parent, since each of their components counts.

    Attributes:
        parts: (rows, P) int64, the molecules of each row, in the order of their columns, then its protein; or its
            array.
        samples: (rows,) int64, the samples: the parts in their order, or in any order for unordered pairs.
        unordered: Whether a sample has two drugs whose order means nothing.
        standardise: What a molecule is compared by.
        cache_folder: The cache of what RDKit computes for comparisons.
    """

    parts: NDArray[Any]
    samples: NDArray[Any]
    unordered: bool
    standardise: Standardise
    cache_folder: Path

    def structures(self, table: DrugTable, rows: NDArray[Any]) -> list[tuple[str, ...]]:
        """What is equal for rows of one sample that also agree in stereochemistry and isotopes.

        Args:
            table: The table.
            rows: (n,) rows that can be used.
        """
        found = [[str(number) for number in column] for column in self.parts[rows].T.tolist()]
        for place, column in enumerate(table.smiles):
            texts = column.gather(rows).to_list()
            distinct = list(dict.fromkeys(texts))
            canonical = canonical_drugs(distinct, self.standardise, True, self.cache_folder)
            structure_of = dict(zip(distinct, canonical, strict=True))
            found[place] = [structure_of[text] for text in texts]
        keys = zip(*found, strict=True)
        return [tuple(sorted(key)) for key in keys] if self.unordered else list(keys)


def identify(
    featured: FeaturedTable, standardise: Standardise, ordered_pairs: bool, cache_folder: Path
) -> SampleIdentity:
    """Find the rows of the same sample.

    Args:
        featured: The table.
        standardise: parent compares molecules by their parents, none as they are given.
        ordered_pairs: Whether the drugs of a pair in another order are another sample.
        cache_folder: The cache of what RDKit computes for comparisons.
    """
    table = featured.table
    if table.input == "reaction":
        standardise = "none"
    hashes = featured.parents if standardise == "parent" else featured.skeletons
    parts = numpy.unique(hashes, return_inverse=True)[1].reshape(hashes.shape).astype(numpy.int64)
    if table.smiles:
        molecules = len(table.smiles)
        drugs = _drug_numbers(table.smiles, hashes[:, :molecules], standardise, cache_folder)
        # A protein has no number of a drug.
        parts = numpy.column_stack([drugs, parts[:, molecules:] + drugs.max(initial=0) + 1])
    unordered = table.input == "pair" and not ordered_pairs
    samples = numpy.sort(parts, axis=1) if unordered else parts
    numbers = numpy.unique(samples, axis=0, return_inverse=True)[1].reshape(-1).astype(numpy.int64)
    return SampleIdentity(parts, numbers, unordered, standardise, cache_folder)


def _drug_numbers(
    columns: Sequence[polars.Series], hashes: NDArray[Any], standardise: Standardise, cache_folder: Path
) -> NDArray[Any]:
    """(rows, P) int64; molecules of one hash are compared by their canonical SMILES."""
    cells = polars.DataFrame(
        {
            "text": polars.concat([column.rename("text") for column in columns]).fill_null(""),
            "hash": hashes.T.reshape(-1),
        }
    )
    known = _numbered_cells(cells, standardise, cache_folder)
    numbers = cells.join(known, on=["text", "hash"], how="left", maintain_order="left")["number"].to_numpy()
    found: NDArray[Any] = numbers.reshape(len(columns), -1).T
    return found


def _numbered_cells(cells: polars.DataFrame, standardise: Standardise, cache_folder: Path) -> polars.DataFrame:
    """The different cells, each with the `number` of its drug, int64.

    What is needed to find them is as large as the table, and freed before the cells are looked up.
    """
    distinct = cells.unique(maintain_order=True)
    in_doubt = (polars.col("hash") != 0) & (polars.col("text").n_unique().over("hash") > 1)
    texts = distinct.filter(in_doubt)["text"]
    canonical = polars.DataFrame(
        {"text": texts, "drug": canonical_drugs(texts.to_list(), standardise, False, cache_folder)},
        schema={"text": polars.String, "drug": polars.String},
    )
    # Drugs are numbered by their first cell, so that nothing depends on the values of hashes.
    named = distinct.join(canonical, on="text", how="left", maintain_order="left")
    drugs = named.select("hash", "drug").unique(maintain_order=True).with_row_index("number")
    known = named.join(drugs, on=["hash", "drug"], how="left", nulls_equal=True)
    return known.select("text", "hash", polars.col("number").cast(polars.Int64))
