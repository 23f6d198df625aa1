from pathlib import Path

import pytest

from datamodules.dataset_catalog import find_source
from datamodules.drug_table import InputError, read_table


def test_the_embedded_data_set_is_a_table() -> None:
    table = read_table(find_source("inn_stems"))
    assert table.columns.smiles == ("smiles",)
    assert (table.columns.label, table.columns.id) == ("label", "id")
    assert len(table.smiles) >= 600
    assert set(table.reasons) == {None}


def test_a_path_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "drugs.csv"
    path.write_text("smiles,label\nC,a\n")
    assert find_source(str(path)) == path


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "drugs.csv").write_text("smiles,label\nC,a\n")
    assert find_source("~/drugs.csv") == tmp_path / "drugs.csv"


def test_a_name_of_the_catalogue_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inn_stems").write_text("smiles,label\nC,a\n")
    assert find_source("inn_stems").name == "inn_stems.csv"


@pytest.mark.parametrize("source", ["no_such_set", "missing/drugs.csv", "", "."])
def test_anything_else_names_what_there_is(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"'{source}' is neither a file nor a known data set \(inn_stems\)\.$"):
        find_source(source)
