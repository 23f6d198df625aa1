"""Damaged SMILES: what is read is what RDKit reads, and nothing else."""

import random
from pathlib import Path

import polars
import pytest
from rdkit import rdBase

from benchmarks.fuzzed_smiles import damaged, is_readable
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.features import featurize_table
from datamodules.tables.source_table import read_table
from tests.datamodules.example_smiles import INN_STEMS


@pytest.mark.slow
def test_a_row_is_used_exactly_where_rdkit_reads_what_is_promised(tmp_path: Path) -> None:
    draw = random.Random(1)
    smiles = [damaged(INN_STEMS, draw) for _ in range(3_000)]
    polars.DataFrame({"smiles": smiles}).write_parquet(tmp_path / "fuzzed.parquet")
    featured = featurize_table(read_table(tmp_path / "fuzzed.parquet", need_labels=False), FeatureSettings(1, 16))
    with rdBase.BlockLogs():
        expected = [is_readable(text) for text in smiles]
    assert 500 < sum(expected) < 2_500
    assert featured.reasons.is_null().to_list() == expected
    assert featured.table.frame["smiles"].to_list() == smiles
