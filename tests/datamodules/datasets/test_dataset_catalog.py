"""Which file a name of the catalog stands for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from base.errors import InputError
from datamodules.datasets.dataset_catalog import CATALOG, find_dataset, find_source, local_file
from datamodules.tables.columns import INPUTS
from datamodules.tables.source_table import read_table
from tests.datamodules.table_server import TableServer

CONFIGS = Path(__file__).parents[3] / "configs" / "data"


def test_the_embedded_data_set_is_what_the_catalog_says(tmp_path: Path) -> None:
    entry = CATALOG["inn_stems"]
    table = read_table(find_source("inn_stems", tmp_path))
    assert table.columns.smiles == entry.smiles_columns
    assert (table.columns.label, table.columns.id) == (entry.label_column, entry.id_column)
    assert len(table.frame) == entry.rows
    sizes = Counter(table.frame[str(entry.label_column)].to_list()).values()
    assert (len(sizes), round(max(sizes) / min(sizes), 1)) == (entry.classes, entry.imbalance_ratio)
    assert list(tmp_path.iterdir()) == []


def test_every_other_data_set_is_a_file_of_the_benchmark_with_a_license() -> None:
    entries = [entry for name, entry in CATALOG.items() if name != "inn_stems" and entry.make is None]
    assert len({entry.address for entry in entries}) == len(entries) == 9
    for entry in entries:
        assert entry.address is not None
        assert entry.address.startswith("https://dataverse.harvard.edu/api/access/datafile/65739")
        assert entry.file_name == f"{entry.name}.tab"
        assert entry.license == "CC0 1.0"
        assert "arXiv:2209.07921" in entry.citation
        if entry.smiles_columns is not None:
            assert len(entry.smiles_columns) == len(INPUTS[entry.input].smiles)
        assert (entry.sequence_column is not None) == (entry.input == "drug_protein")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_file_names_a_data_set_and_its_columns(path: Path) -> None:
    data = yaml.safe_load(path.read_text())["data"]
    entry = CATALOG[data["source"]]
    assert path.stem in (entry.name, f"{entry.name}_product")
    several = isinstance(entry.label_column, tuple)
    assert data.get("labels", "single") == ("multi" if several else "single")
    assert data.get("label_column") == (list(entry.label_column or ()) if several else entry.label_column)
    assert data.get("id_column") == entry.id_column
    assert data.get("sequence_column") == entry.sequence_column
    columns = data.get("smiles_columns")
    if path.stem == entry.name:
        assert (data["input"], columns) == (entry.input, entry.smiles_columns and list(entry.smiles_columns))
    else:
        assert (data["input"], columns) == ("molecule", ["X2"])


def test_arrays_are_made_from_packages() -> None:
    made = {name: entry for name, entry in CATALOG.items() if entry.input == "array"}
    assert list(made) == ["digits", "docstrings"]
    for entry in made.values():
        assert (entry.address, entry.file_name) == ("pypi", f"{entry.name}.npz")
        assert entry.make is not None
        assert set(entry.packages) <= pinned()
        assert (CONFIGS / f"{entry.name}.yaml").is_file()


def pinned() -> set[str]:
    """The packages of constraints.txt."""
    lines = (CONFIGS.parents[1] / "constraints.txt").read_text().splitlines()
    return {line.split("==")[0] for line in lines if "==" in line}


def test_a_path_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text("smiles,label\nC,a\n")
    assert find_source(str(path), tmp_path) == path
    assert find_dataset(str(path)) is None


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "drugs.csv").write_text("smiles,label\nC,a\n")
    assert find_source("~/drugs.csv", tmp_path) == tmp_path / "drugs.csv"


def test_a_file_goes_before_a_name_but_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inn_stems").mkdir()
    assert find_dataset("inn_stems") is CATALOG["inn_stems"]
    assert find_source("inn_stems", tmp_path).name == "inn_stems.csv"
    Path("hiv").write_text("smiles,label\nC,a\n")
    assert find_dataset("hiv") is None
    assert find_source("hiv", tmp_path) == Path("hiv")


@pytest.mark.parametrize("source", ["no_such_set", "missing/drugs.csv", "", ".", "HIV", "~$drugs.csv"])
def test_anything_else_names_what_there_is(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = (
        "inn_stems, bbb_martins, tox21, hiv, sbap, drugbank, uspto_50k, uspto_500_MT, uspto_1k_TPL, uspto_catalyst, "
    )
    known += "digits, docstrings"
    assert find_dataset(source) is None
    with pytest.raises(
        InputError,
        match=rf"data.source: expected a file or .* data set \({known}\), got '{re.escape(source)}'; no such file\.$",
    ):
        find_source(source, tmp_path)


def test_a_name_is_downloaded_once_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = TableServer(b"ID\tX\tY\na\tCC\t0\nb\tCO\t1\n")
    try:
        monkeypatch.setitem(CATALOG, "hiv", replace(CATALOG["hiv"], address=server.address, rows=2))
        assert local_file(CATALOG["hiv"], tmp_path) is None
        path = find_source("hiv", tmp_path)
    finally:
        server.close()
    assert path == tmp_path / "datasets" / "hiv.tab" == local_file(CATALOG["hiv"], tmp_path)
    assert find_source("hiv", tmp_path) == path
    assert read_table(path).frame["X"].to_list() == ["CC", "CO"]
