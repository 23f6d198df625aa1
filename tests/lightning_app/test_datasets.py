"""`lightning datasets`."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from base.errors import InputError
from datamodules.datasets.dataset_catalog import CATALOG
from lightning_app.datasets import main
from workflows.terminal import Terminal


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILMOL_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "40")
    folder = tmp_path / "datasets"
    folder.mkdir()
    return folder


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    main([], Terminal())
    header, *lines, use = capsys.readouterr().out.splitlines()
    assert header.split() == ["Data", "set", "Input", "Rows", "Classes", "Imbalance", "License", "Stored"]
    assert use.startswith("Use one with: lightning fit --data.source NAME")
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_what_is_known_is_listed_even_where_the_terminal_is_narrow(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = listed(capsys)
    assert list(lines) == list(CATALOG)
    assert lines["inn_stems"] == "molecule 654 73 10.6 CC BY-SA 3.0 shipped"
    assert lines["tox21"] == "molecule 7,831 - - CC0 1.0 no"
    assert lines["sbap"] == "drug_protein 32,140 2 36.8 CC0 1.0 no"
    assert lines["uspto_500_MT"] == "reaction 143,535 - 285.1 CC0 1.0 no"


def test_classes_are_counted_in_a_stored_file(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["a"] * 7 + ["b"] * 2 + ["", " "]
    (cache / "hiv.tab").write_text("ID\tX\tY\n" + "".join(f"{n}\tC\t{label}\n" for n, label in enumerate(labels)))
    (cache / "tox21.tab").write_text("ID\tX\tNR-AR\n1\tC\t0\n")
    (cache / "uspto_50k.tab").write_text("smiles\tclass\nC\t0\n")
    lines = listed(capsys)
    assert lines["hiv"] == "molecule 41,127 2 3.5 CC0 1.0 yes"
    assert lines["tox21"] == "molecule 7,831 - - CC0 1.0 yes"
    assert lines["uspto_50k"] == "reaction 50,016 10 65.8 CC0 1.0 yes"


def test_classes_are_counted_in_gzip_with_quoted_cells(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'ID1\tX1\tID2\tX2\tY\n"a"\t"C"\t"b"\t"O"\t1\n"a"\t"C"\t"c"\t"N"\t1\n"a"\t"C"\t"d"\t"S"\t2\n'
    (cache / "drugbank.tab.gz").write_bytes(gzip.compress(text.encode()))
    assert listed(capsys)["drugbank"] == "pair 191,808 2 2.0 CC0 1.0 yes"


def test_a_stored_file_that_is_no_table_is_one_sentence(cache: Path) -> None:
    (cache / "hiv.tab").touch()
    with pytest.raises(InputError, match=rf"data.source: {cache}/hiv.tab cannot be read as a table"):
        main([], Terminal())


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_says_what_it_does(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([option], Terminal())
    assert capsys.readouterr().out.startswith("usage: lightning datasets\n")


def test_an_argument_is_unknown() -> None:
    with pytest.raises(InputError, match="datasets: expected no arguments, got '--all'"):
        main(["--all"], Terminal())
