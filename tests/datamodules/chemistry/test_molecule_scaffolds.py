from collections.abc import Sequence
from pathlib import Path

import pytest
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from datamodules import part_files
from datamodules.chemistry import molecule_scaffolds
from datamodules.chemistry.molecule_scaffolds import murcko_scaffolds
from datamodules.chemistry.parent_molecule import Standardise
from tests.datamodules.example_smiles import INN_STEMS, READABLE, UNREADABLE
from tests.datamodules.rdkit_reference import read


def rdkits(text: str) -> str:
    with rdBase.BlockLogs():
        return MurckoScaffold.MurckoScaffoldSmiles(mol=read(text), includeChirality=False)  # type: ignore[no-untyped-call, no-any-return]


def test_scaffolds_by_hand(tmp_path: Path) -> None:
    scaffolds = {
        "CCO": "",
        "Cc1ccccc1": "c1ccccc1",
        "OC1CCCCC1": "C1CCCCC1",
        "c1ccccc1CCC2CC2N": "c1ccc(CCC2CC2)cc1",
        "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O": "c1ccccc1",
        "O=C1CCCN1C": "O=C1CCCN1",
        "C1CC1.c1ccccc1C": "C1CC1.c1ccccc1",
        "C[C@H]1CC[C@@H](O)CC1": "C1CCCCC1",
    }
    assert murcko_scaffolds(list(scaffolds), "none", tmp_path) == list(scaffolds.values())


def test_scaffolds_of_the_drugs_are_rdkits(tmp_path: Path) -> None:
    found = murcko_scaffolds(INN_STEMS, "none", tmp_path)
    assert found == [rdkits(text) for text in INN_STEMS]
    assert 100 < len(set(found)) < len(found)


def test_scaffolds_of_odd_molecules_are_rdkits(tmp_path: Path) -> None:
    # RDKit takes a minute for chains of a thousand atoms.
    short = [text for text in READABLE if len(text) < 200]
    assert murcko_scaffolds(short, "none", tmp_path) == [rdkits(text) for text in short]


def test_a_scaffold_does_not_depend_on_how_the_smiles_is_written(tmp_path: Path) -> None:
    written = [Chem.MolToRandomSmilesVect(read(text), 1, randomSeed=7)[0] for text in INN_STEMS]
    assert written != INN_STEMS
    assert murcko_scaffolds(written, "none", tmp_path) == murcko_scaffolds(INN_STEMS, "none", tmp_path)


def test_what_cannot_be_read_has_no_scaffold(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert murcko_scaffolds(UNREADABLE, "none", tmp_path) == [""] * len(UNREADABLE)
    assert murcko_scaffolds(["C1CC", "C1CC1", "", "C1CC1"], "none", tmp_path) == ["", "C1CC1", "", "C1CC1"]
    assert murcko_scaffolds([], "none", tmp_path / "empty") == []
    assert capfd.readouterr().err == ""


def test_scaffolds_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compute = molecule_scaffolds._scaffolds

    def counted(smiles: Sequence[str], standardise: Standardise) -> list[str]:
        calls.append(len(smiles))
        return compute(smiles, standardise)

    monkeypatch.setattr(molecule_scaffolds, "_scaffolds", counted)
    monkeypatch.setattr(part_files, "_MOLECULES_PER_PART", 40)
    smiles = INN_STEMS[:50]
    first = murcko_scaffolds(smiles, "none", tmp_path)
    assert calls == [40, 10]
    assert murcko_scaffolds(smiles, "none", tmp_path) == first == [rdkits(text) for text in smiles]
    assert calls == [40, 10]
    assert murcko_scaffolds(smiles[::-1], "none", tmp_path) == first[::-1]
    assert calls == [40, 10] * 2
