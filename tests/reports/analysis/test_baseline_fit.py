"""The logistic regression against scikit-learn on features that are built densely from SMILES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from sklearn.linear_model import LogisticRegression

from datamodules.batch import Batch, FingerprintBatch
from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from reports.analysis import baseline_fit
from reports.analysis.baseline_fit import baseline_features, fit_baseline

SIZE = 64
# Ethers and amines of several lengths, and acids.
DRUGS = [(f"{'C' * size}OC", "ether") for size in range(1, 21)]
DRUGS += [(f"{'C' * size}N", "amine") for size in range(1, 11)]
DRUGS += [(f"{'C' * size}C(=O)O", "acid") for size in range(1, 6)]


def molecules(folder: Path, **settings: Any) -> DrugDataModule:
    """The data module of the drugs, of which a fold, or a tenth, is for testing."""
    path = folder / "drugs.csv"
    polars.DataFrame(DRUGS, schema=["smiles", "label"], orient="row").write_csv(path)
    data = DrugDataModule(str(path), fingerprint_size=SIZE, cache_folder=str(folder / "cache"), **settings)
    data.setup("fit")
    return data


def dense_features(rows: NDArray[Any]) -> NDArray[Any]:
    """Logarithms of Morgan counts, without anything of the data module."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=SIZE)
    found = [generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(DRUGS[row][0])) for row in rows]
    features: NDArray[Any] = numpy.log1p(numpy.array(found, dtype=float))
    return features


def predicted_directly(training: NDArray[Any], tested: NDArray[Any]) -> list[int]:
    codes = numpy.array([["acid", "amine", "ether"].index(label) for _, label in DRUGS])
    model = LogisticRegression(class_weight="balanced", max_iter=100)
    return list(model.fit(dense_features(training), codes[training]).predict(dense_features(tested)))


def test_predictions_are_those_of_scikit_learn_on_dense_features(tmp_path: Path) -> None:
    data = molecules(tmp_path, fingerprint_kinds=("path", "morgan"), split_fractions=(0.5, 0.1, 0.4))
    training, tested = data.records.rows["train"], data.records.rows["test"]
    found = fit_baseline(data, tested, [(training, numpy.arange(len(tested)))])
    assert found.predicted.tolist() == predicted_directly(training, tested)
    assert len(set(found.predicted.tolist())) == 3
    assert (found.features, found.fits) == ("Morgan counts", 1)
    assert found.fitted_rows == found.training_rows == len(training)


def test_each_part_is_predicted_by_the_fit_of_its_own_rows(tmp_path: Path) -> None:
    data = molecules(tmp_path)
    # The first fit knows no acids and the second knows nothing else.
    rows, known, acids = numpy.arange(35), numpy.arange(30), numpy.arange(30, 35)
    parts = [(known, numpy.arange(0, 35, 2)), (acids, numpy.arange(1, 35, 2)), (rows, numpy.arange(0))]
    found = fit_baseline(data, rows, parts)
    assert found.predicted[0::2].tolist() == predicted_directly(known, rows[0::2])
    assert found.predicted[1::2].tolist() == [0] * 17
    assert (found.fits, found.training_rows) == (2, 35)


def test_too_many_rows_are_drawn_with_all_classes_and_the_same_ones_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = molecules(tmp_path)
    rows = numpy.arange(35)
    monkeypatch.setattr(baseline_fit, "_MOST_WORK", 3 * 9)
    drawn = []

    def note(data: DrugDataModule, training: NDArray[Any], tested: NDArray[Any]) -> NDArray[Any]:
        drawn.append(training)
        return tested

    monkeypatch.setattr(baseline_fit, "_predict", note)
    first, _ = (fit_baseline(data, rows, [(rows, rows)]) for _ in range(2))
    assert (first.fitted_rows, first.training_rows) == (9, 35)
    assert drawn[0].tolist() == drawn[1].tolist()
    assert numpy.bincount(data.records.codes[drawn[0]]).tolist() == [3, 3, 3]


def test_a_fit_that_is_cut_off_warns_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_fit, "_ITERATIONS", 1)
    data, rows = molecules(tmp_path), numpy.arange(35)
    # Warnings are errors in tests.
    assert (fit_baseline(data, rows, [(rows, rows)]).predicted >= 0).all()


def test_arrays_are_standardized_with_the_training_rows(tmp_path: Path) -> None:
    generator = numpy.random.default_rng(0)
    labels = numpy.arange(60) % 3
    values = generator.normal(size=(60, 3, 2)) * 1_000 ** generator.random((3, 2))
    values[:, 0, 0] += 500 * labels
    numpy.savez(tmp_path / "made.npz", images=values, labels=labels)
    data = DrugDataModule(str(tmp_path / "made.npz"), input="array")
    data.setup("fit")
    training, tested = data.records.rows["train"], data.records.rows["test"]
    found = fit_baseline(data, tested, [(training, numpy.arange(len(tested)))])
    flat = values.astype(numpy.float32).astype(float).reshape(60, 6)
    scaled = (flat - flat[training].mean(axis=0)) / flat[training].std(axis=0)
    model = LogisticRegression(class_weight="balanced", max_iter=100).fit(scaled[training], labels[training])
    assert found.predicted.tolist() == model.predict(scaled[tested]).tolist()
    assert found.features == "the standardized values of the arrays"


def batch_of(counts: list[list[int]], samples: int) -> Batch:
    """Samples with the molecules of these counts, (M, bins)."""
    dense = torch.tensor(counts)
    molecule, bin = dense.nonzero(as_tuple=True)
    fingerprints = FingerprintBatch(molecule, bin, dense[molecule, bin].float(), (len(dense), dense.shape[1]))
    return Batch(torch.arange(samples), torch.zeros(samples, dtype=torch.int64), fingerprints=fingerprints)


def features(
    counts: list[list[int]], samples: int, input: InputKind, *kinds: FingerprintKind, size: int = 2
) -> list[list[float]]:
    """Features with the logarithm taken back, so that counts are whole numbers again."""
    task = DrugTask(input, ("a", "b"), (1, 1), FeatureSettings(2, size, kinds or ("morgan",)))
    found = baseline_features(batch_of(counts, samples), task).toarray()
    return list((numpy.sign(found) * numpy.expm1(abs(found))).round(9).tolist())


def test_only_the_bins_of_morgan_fingerprints_are_read() -> None:
    counts = [[1, 0, 2, 3, 4, 0], [0, 5, 0, 6, 0, 7]]
    assert features(counts, 2, "molecule", "path", "morgan", "torsion") == [[2, 3], [0, 6]]
    assert features(counts, 2, "molecule", "path", "atom_pair", "torsion") == counts


def test_molecules_are_side_by_side_and_reactions_are_differences() -> None:
    counts = [[1, 0], [3, 2], [0, 4], [0, 1]]
    assert features(counts, 2, "pair") == [[1, 0, 3, 2], [0, 4, 0, 1]]
    assert features(counts, 2, "reaction") == [[2, 2], [0, -3]]
    assert features(counts, 4, "drug_protein") == counts


def test_many_bins_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_fit, "_MOST_BINS", 2)
    counts = [[1, 2, 3, 0, 0, 7, 0, 0]]
    assert features(counts, 1, "molecule", "path", "torsion", size=4) == [[4, 2, 0, 7]]


@pytest.mark.parametrize(
    ("input", "kinds", "text"),
    [
        ("molecule", ("torsion", "morgan"), "Morgan counts"),
        ("reaction", ("path", "atom_pair"), "path and atom-pair counts"),
        ("drug_protein", ("morgan",), "Morgan counts of the drugs alone"),
    ],
)
def test_the_features_are_named(input: InputKind, kinds: tuple[FingerprintKind, ...], text: str) -> None:
    task = DrugTask(input, ("a", "b"), (1, 1), FeatureSettings(fingerprint_kinds=kinds))
    assert baseline_fit._features_text(task) == text


def test_each_label_has_a_regression_of_the_rows_that_are_known(tmp_path: Path) -> None:
    names = [name for _, name in DRUGS]
    columns = {
        "ether": ["" if place % 4 == 0 else str(int(name == "ether")) for place, name in enumerate(names)],
        "amine": [str(int(name == "amine")) for name in names],
        "drug": ["1"] * 34 + [""],
    }
    path = tmp_path / "labels.csv"
    polars.DataFrame({"smiles": [smiles for smiles, _ in DRUGS], **columns}).write_csv(path)
    options: dict[str, Any] = {"fingerprint_size": SIZE, "cache_folder": str(tmp_path / "cache")}
    data = DrugDataModule(str(path), labels="multi", label_column=list(columns), **options)
    data.setup("fit")
    training, tested = numpy.arange(0, 35, 2), numpy.arange(1, 35, 2)
    found = fit_baseline(data, tested, [(training, numpy.arange(len(tested)))])
    for place, cells in enumerate(list(columns.values())[:2]):
        known = numpy.array([row for row in training if cells[row]])
        model = LogisticRegression(class_weight="balanced", max_iter=100)
        model.fit(dense_features(known), [int(cells[row]) for row in known])
        expected = model.predict_proba(dense_features(tested))[:, 1]
        assert found.predicted[:, place] == pytest.approx(expected, abs=1e-3)
    # All known rows have it, so that there is nothing to learn.
    assert (found.predicted[:, 2] == 1).all()
