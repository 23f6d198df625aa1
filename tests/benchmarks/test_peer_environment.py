"""The peers that run in an environment of their own, with programs in their place that answer as they do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy
import polars
import pytest
import torch
from scipy.sparse import csr_matrix

from benchmarks import peer_chemprop, peer_fits
from benchmarks.peer_chemprop import fit_chemprop
from benchmarks.peer_data import PeerData
from benchmarks.peer_fits import fit_boosting
from datamodules.splits.splitters import SPLIT_NAMES

# Its probabilities are proportional to a number of the row's SMILES, for all classes but the first.
CHEMPROP = """
import csv, json, pathlib, sys

words = sys.argv[1:]
if words[0] == "train":
    paths = words[2:5]
    rows = [list(csv.DictReader(open(path))) for path in paths]
    told = {"words": words, "rows": rows}
    pathlib.Path(words[words.index("--output-dir") + 1]).mkdir()
    pathlib.Path(__file__).with_name("told.json").write_text(json.dumps(told))
    sys.exit("no such thing as a molecule" if rows[0][0]["molecule_1"] == "broken" else 0)
told = json.loads(pathlib.Path(__file__).with_name("told.json").read_text())
several = "--multiclass-num-classes" in told["words"]
with open(words[words.index("--preds-path") + 1], "w") as file:
    writer = csv.writer(file)
    writer.writerow(["molecule_1", "target", "weight"] + ["target_prob"] * several)
    for row in csv.DictReader(open(words[2])):
        part = len(row["molecule_1"]) / 100
        cells = [0, row["weight"], f"{1 - 3 * part:e},{part:e},{2 * part:e}"] if several else [part, row["weight"]]
        writer.writerow([row["molecule_1"], *cells])
"""
# Its probabilities are the shares of the known classes in the training samples.
PYTHON = """
import sys, pathlib, numpy
from scipy.sparse import load_npz

assert sys.argv[1:3] == ["-m", "benchmarks.peer_boosting"]
folder, weight, seed = pathlib.Path(sys.argv[3]), *sys.argv[4:]
codes = numpy.load(folder / "train_codes.npy")
shares = numpy.unique(codes, return_counts=True)[1] / len(codes)
for split in ("validation", "test"):
    features = load_npz(folder / f"{split}.npz").toarray()
    assert (features[:, -1] == 7).all() and features.shape[1] == 3 and weight == "balanced" and seed == "4"
    numpy.save(folder / f"{split}_probabilities.npy", numpy.tile(shares, (len(features), 1)))
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both programs."""
    for name, text in (("chemprop", CHEMPROP), ("python", PYTHON)):
        (tmp_path / name).write_text(f"#!{sys.executable}{text}")
        (tmp_path / name).chmod(0o755)
    for module in (peer_chemprop, peer_fits):
        monkeypatch.setattr(module, "PEERS_PYTHON", tmp_path / "python")
    return tmp_path


def samples(classes: int, known: int, first: str = "C") -> PeerData:
    """Ten samples of each known class in training but 30 of the first, and ten to validate and test on."""
    train = [0] * 20 + list(range(known)) * 10
    codes = {split: numpy.array(own) for split, own in zip(SPLIT_NAMES, (train, [0, 1] * 5, [1, 0] * 5), strict=True)}
    texts = {split: [first, *("C" * (1 + place % 7) for place in range(1, len(own)))] for split, own in codes.items()}
    return PeerData(
        {split: csr_matrix(numpy.ones((len(own), 2))) for split, own in codes.items()},
        {split: numpy.full((len(own), 1), 7.0) for split, own in codes.items()},
        {split: polars.DataFrame({"molecule_1": own}) for split, own in texts.items()},
        codes,
        tuple(numpy.bincount(train, minlength=classes).tolist()),
    )


def test_chemprop_gets_the_split_and_gives_probabilities_of_all_classes(environment: Path) -> None:
    data = samples(3, 3)
    fitted = fit_chemprop(False, 5, data, 4)
    told = json.loads((environment / "told.json").read_text())
    for split, rows in zip(SPLIT_NAMES, told["rows"], strict=True):
        assert [row["molecule_1"] for row in rows] == data.smiles[split]["molecule_1"].to_list()
        assert [int(row["target"]) for row in rows] == data.codes[split].tolist()
        assert {float(row["weight"]) for row in rows} == {1}
    for option, value in (("--ensemble-size", "5"), ("--pytorch-seed", "4"), ("--multiclass-num-classes", "3")):
        assert told["words"][told["words"].index(option) + 1] == value
    assert fitted.validation[2].tolist() == pytest.approx([0.91, 0.03, 0.06])
    assert fitted.test.shape == (10, 3)
    assert fitted.prior_removed == 0


def test_balanced_classes_weigh_the_same_in_all(environment: Path) -> None:
    fitted = fit_chemprop(True, 1, samples(3, 3), 0)
    told = json.loads((environment / "told.json").read_text())
    weights = {row["target"]: float(row["weight"]) for row in told["rows"][0]}
    assert weights == pytest.approx({"0": 50 / 90, "1": 50 / 30, "2": 50 / 30})
    assert "--class-balance" not in told["words"]
    assert fitted.prior_removed == 1


def test_two_classes_have_one_probability_and_a_balance_of_their_own(environment: Path) -> None:
    fitted = fit_chemprop(True, 1, samples(2, 2), 0)
    told = json.loads((environment / "told.json").read_text())
    assert "--class-balance" in told["words"]
    assert told["words"][told["words"].index("--task-type") + 1] == "classification"
    assert {float(row["weight"]) for row in told["rows"][0]} == {1}
    assert fitted.test[1].tolist() == pytest.approx([0.98, 0.02])


def test_what_chemprop_says_when_it_fails_is_shown() -> None:
    with pytest.raises(SystemExit, match=r"chemprop train failed:\nno such thing as a molecule"):
        fit_chemprop(False, 1, samples(3, 3, first="broken"), 0)


def test_boosting_gets_descriptors_and_spreads_the_known_classes() -> None:
    fitted = fit_boosting(True, samples(3, 2), 4)
    assert torch.allclose(fitted.test, torch.tensor([[0.75, 0.25, 0.0]]).expand(10, 3))
    assert fitted.validation.shape == (10, 3)
    assert fitted.prior_removed == 1
