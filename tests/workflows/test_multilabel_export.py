"""An exported model of several labels predicts what its checkpoint predicts."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy
import polars
import pytest
from polars.testing import assert_frame_equal

import tailmol
from tests.datamodules.example_smiles import INN_STEMS, UNREADABLE
from tests.lightning_app.command import in_this_process
from tests.workflows.multilabel_tables import COLUMNS, NAMES, options, with_columns
from tests.workflows.portable_process import predicted_alone
from workflows.export import export_run
from workflows.fit import fit


@pytest.mark.parametrize(
    "given",
    [
        ["--config=multilabel/logit_adjustment.yaml"],
        pytest.param(["--config=multilabel/asymmetric.yaml", "--folds=2"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_probabilities_and_labels_are_those_of_the_checkpoint(
    tmp_path: Path, given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = with_columns(tmp_path)
    run = fit(options(tmp_path, COLUMNS, *given), show_progress=False).folder
    folder, samples = export_run(run).folder, [*polars.read_csv(table)["smiles"], *INN_STEMS, *UNREADABLE]
    found, expected = predicted_alone(folder, samples, tmp_path), tailmol.load(run).predict(samples)
    usable, shares = expected["reason"].is_null().to_numpy(), expected.select(f"p/{name}" for name in NAMES).to_numpy()
    for size in (1, 7, 4096):
        number = min(40 * size, len(samples))
        own, calibrated = usable[:number], found[f"{size}/calibrated_probability"]
        labels = expected["predicted_labels"][:number].to_numpy()
        assert found[f"{size}/labels"][own].tolist() == labels[own].tolist()
        assert numpy.abs(calibrated - shares[:number])[own].max() < 1e-5
        assert numpy.isnan(calibrated[~own]).all()
        assert (found[f"{size}/reasons"] == "None").tolist() == own.tolist()
    # The thresholds are not one half, and the calibration is not the identity.
    stated = numpy.array([[name in text.split("; ") for name in NAMES] for text in found["4096/labels"]])
    assert (stated != (calibrated > 0.5))[usable].any()
    assert numpy.abs(calibrated - found["4096/probabilities"])[usable].max() > 0.01
    assert_same_files(run, table, tmp_path, monkeypatch)
    capsys.readouterr()
    program(folder)(["--smiles", "CCCCCCN"])
    (one,) = tailmol.load(run).predict(["CCCCCCN"], top=3).to_dicts()
    best = ", ".join(f"{one[f'label_{place}']} {one[f'probability_{place}']:.3f}" for place in (1, 2, 3))
    assert capsys.readouterr().out == f"{one['predicted_labels']}; most probable: {best}\n"


def assert_same_files(run: Path, table: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict a table with the command and the program of its export, and compare their files."""
    program(run / "export")([str(table), str(place / "own.csv")])
    words = (f"--data.source={table}", f"--output={place / 'out.csv'}", "--trainer.accelerator=cpu", "--quiet")
    assert in_this_process(monkeypatch, "predict", f"--ckpt_path={run}", *words) == 0
    own, out = polars.read_csv(place / "own.csv"), polars.read_csv(place / "out.csv")
    evidence = ("nearest_", "applicability")
    assert own.columns == [name for name in out.columns if not name.startswith(evidence)]
    assert own["predicted_labels"].to_list() == out["predicted_labels"].to_list()
    shares, expected = (frame.select(f"p/{name}" for name in NAMES) for frame in (own, out))
    assert_frame_equal(shares, expected, abs_tol=1e-5, rel_tol=0)


def program(folder: Path) -> Callable[[Sequence[str]], None]:
    """The program of an export."""
    main: Callable[[Sequence[str]], None] = runpy.run_path(str(folder / "predict.py"))["main"]
    return main
