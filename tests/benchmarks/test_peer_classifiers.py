"""What is computed for the peers of a benchmark, and when."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from benchmarks import peer_classifiers, peer_fits
from benchmarks.peer_data import Fit, Fitted, PeerData
from benchmarks.peer_fits import FAMILIES, Family, fit_network, fit_tuned_logistic
from datamodules.splits.splitters import SPLIT_NAMES

TABLE = "smiles,label\n" + "".join(f"{'C' * size}{end},{end}\n" for size in range(1, 21) for end in ("O", "N"))
PLAN = """
baseline: plain
data:
  made: {arguments: --data.source table.csv --data.id_column null}
methods: {plain: ""}
split_seeds: 2
"""


def samples(numbers: tuple[int, int, int] = (60, 20, 20), classes: int = 3) -> PeerData:
    """Counts in which each class has a column of its own, and one that is random."""
    generator = numpy.random.default_rng(0)
    codes = {split: numpy.arange(number) % classes for split, number in zip(SPLIT_NAMES, numbers, strict=True)}
    features = {
        split: csr_matrix(numpy.column_stack([3 * numpy.eye(classes)[own], generator.integers(0, 3, len(own))]))
        for split, own in codes.items()
    }
    smiles = {split: polars.DataFrame({"molecule_1": ["C"] * len(own)}) for split, own in codes.items()}
    descriptors = {split: numpy.zeros((len(own), 1)) for split, own in codes.items()}
    counts = tuple(numpy.bincount(codes["train"], minlength=classes).tolist())
    return PeerData(features, descriptors, smiles, codes, counts)


def fixed(validation: list[float], test: list[float], prior_removed: float = 0.0) -> Fit:
    """A fit with these probabilities of the second of two classes."""

    def spread(second: list[float]) -> Tensor:
        column = torch.tensor(second)
        return torch.stack([1 - column, column], dim=1)

    return lambda data, seed: Fitted(spread(validation), spread(test), prior_removed)


def two_classes() -> PeerData:
    """Nine training samples of the first class and one of the second; two of each to validate and test."""
    codes = {"train": [0] * 9 + [1], "validation": [0, 0, 1, 1], "test": [0, 0, 1, 1]}
    arrays: Any = {split: numpy.array(own) for split, own in codes.items()}
    return PeerData({}, {}, {}, arrays, (9, 1))


def test_the_decided_row_is_without_the_prior_unless_samples_are_against_it() -> None:
    # Without the prior, odds of 1 / 9 and more are the second class. This is right for all validation samples, and for
    # one test sample of each class. Other odds that are right for validation would find both of one class.
    fit = fixed([0.01, 0.05, 0.2, 0.3], [0.01, 0.15, 0.2, 0.09])
    rows = peer_classifiers.measure(Family({"made": fit}, "made so"), two_classes(), 0)
    assert list(rows) == ["made", "made_decided"]
    assert [rows["made"][name] for name in ("head_accuracy", "tail_accuracy")] == [1, 0]
    decided = rows["made_decided"]
    assert [decided[name] for name in ("balanced_accuracy", "head_accuracy", "tail_accuracy")] == [0.5, 0.5, 0.5]
    for row in rows.values():
        assert row["balanced_accuracy_head_kept"] == 0.5
        assert row["auroc"] == 0.75
        assert (row["train_samples"], row["test_samples"]) == (10, 4)


def test_the_head_is_kept_of_the_variant_without_class_weights() -> None:
    plain, weighted = fixed([0.01, 0.05, 0.2, 0.3], [0.0] * 4), fixed([0.2, 0.6, 0.4, 0.7], [0.1, 0.6, 0.4, 0.7], 1.0)
    rows = peer_classifiers.measure(Family({"plain": plain, "weighted": weighted}, "made so"), two_classes(), 0)
    # As it is, the second and the third sample are wrong. With the head raised until it is whole, the last is found.
    assert rows["weighted"]["balanced_accuracy"] == rows["weighted_decided"]["balanced_accuracy"] == 0.5
    assert rows["weighted"]["balanced_accuracy_head_kept"] == 0.75


def test_every_peer_of_scikit_learn_separates_what_is_separable() -> None:
    data = samples()
    for family in ("logistic", "network"):
        for name, row in peer_classifiers.measure(FAMILIES[family], data, 0).items():
            assert row["balanced_accuracy"] == row["balanced_accuracy_head_kept"] == row["auroc"] == 1, name


def test_tuning_takes_the_default_among_equals() -> None:
    data = samples()
    tuned, again = fit_tuned_logistic(data, 0), fit_tuned_logistic(data, 1)
    assert torch.equal(tuned.test, FAMILIES["logistic"].fits["logistic_balanced"](data, 0).test)
    assert torch.equal(tuned.test, again.test)


def test_a_class_without_training_samples_has_no_probability() -> None:
    data = samples()
    data = PeerData(data.features, data.descriptors, data.smiles, data.codes, (*data.class_counts, 0))
    fitted = fit_network(data, 0)
    assert fitted.test.shape == (20, 4)
    assert (fitted.test[:, 3] == 0).all()


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> polars.DataFrame:
    """The rows after the command has run in a folder with a table and `plan.yaml`."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["peer_classifiers", "--config", "plan.yaml", *words])
    peer_classifiers.main()
    return polars.read_csv(folder / "results/plan/peers.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table and a plan, and no environment of the peers."""
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.setattr(peer_classifiers, "PEERS_PYTHON", tmp_path / "python")
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, calls: list[str], settings: str = "first") -> None:
    """Make two families the only ones, which note their calls; the second runs elsewhere."""

    def fit(name: str) -> Fit:
        def fitted(data: PeerData, seed: int) -> Fitted:
            calls.append(f"{name} {seed}")
            return Fitted(
                torch.full((len(data.codes["validation"]), 2), 0.5), torch.full((len(data.codes["test"]), 2), 0.5)
            )

        return fitted

    families = {
        "here": Family({"one": fit("one"), "two": fit("two")}, settings),
        "there": Family({"far": fit("far")}, "always", elsewhere=True),
    }
    for module in (peer_classifiers, peer_fits):
        monkeypatch.setattr(module, "FAMILIES", families)


def test_rows_are_computed_once_and_again_for_other_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []
    use(monkeypatch, calls)
    rows = run(monkeypatch, folder)
    assert "Left out: there; `make peers` installs what they need." in capsys.readouterr().err
    assert calls == ["one 0", "two 0", "one 1", "two 1"]
    assert rows["method"].to_list() == ["one", "one_decided", "two", "two_decided"] * 2
    assert rows["encoder"].unique().to_list() == ["fingerprint"]
    calls.clear()
    foreign = rows.head(1).with_columns(method=polars.lit("theirs"), peer_settings=polars.lit(None, polars.String))
    polars.concat([rows, foreign]).write_csv(folder / "results/plan/peers.csv")
    assert run(monkeypatch, folder).height == 9
    assert calls == []
    (folder / "python").touch()
    assert run(monkeypatch, folder, "--peers", "there")["method"].to_list()[-2:] == ["far", "far_decided"]
    assert calls == ["far 0", "far 1"]
    calls.clear()
    use(monkeypatch, calls, "second")
    rows = run(monkeypatch, folder)
    assert calls == ["one 0", "two 0", "one 1", "two 1"]
    assert rows.height == 13
    assert rows.filter(polars.col("peer_settings") == "second").height == 8
    calls.clear()
    (folder / "plan.yaml").write_text(PLAN.replace('plain: ""', "plain: --data.count_by rows"))
    assert run(monkeypatch, folder).height == 13
    assert len(calls) == 6
