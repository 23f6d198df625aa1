"""An exported model predicts what its checkpoint predicts, in a process that cannot import torch."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import polars
import pytest

import tailmol
from base.errors import InputError
from modules.drug_classifier import DrugClassifier
from modules.export.portable import Predictor
from tests.datamodules.example_smiles import INN_STEMS, READABLE, UNREADABLE
from tests.lightning_app.command import TINY, in_this_process
from tests.workflows.portable_process import predicted_alone
from workflows.export import export_run
from workflows.fit import fit

SHORT = [*TINY, "--tracking.wandb=disabled", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
SHORT += ["--model.classification_start_epoch=0", "--data.batch_size=32"]
DRUGS = INN_STEMS[:400]
# Similar drugs have similar numbers of nitrogen atoms.
LABELS = [f"c{min(text.count('N'), 3)}" for text in DRUGS]


def trained(folder: Path, *options: str, source: str | None = None) -> Path:
    """The folder of a short run, on drugs unless there is another source."""
    table = folder / "drugs.csv"
    polars.DataFrame({"smiles": DRUGS, "label": LABELS}).write_csv(table)
    words = [*SHORT, "--data.source", source or str(table), f"--run.root={folder}/runs", *options]
    return fit(words, show_progress=False).folder


def assert_equal_predictions(run: Path, samples: Any, place: Path, table: Any = None) -> polars.DataFrame:
    """Export a run and compare its predictions of at least 4,096 samples, or of all, with those of the checkpoint."""
    exported = export_run(run)
    found = predicted_alone(exported.folder, samples, place)
    expected: polars.DataFrame = tailmol.load(run).predict(samples if table is None else table)
    usable = expected["reason"].is_null()
    probabilities = expected.select(r"^p/.*$").to_numpy()
    for size in (1, 7, 4096):
        number = min(40 * size, len(expected))
        own = usable[:number].to_numpy()
        assert (found[f"{size}/reasons"] == "None").tolist() == own.tolist()
        labels = expected["predicted_label"][:number].filter(usable[:number]).to_list()
        assert found[f"{size}/labels"][own].tolist() == labels
        values = {"probabilities": probabilities}
        values |= {name: expected[name].to_numpy() for name in ("probability", "calibrated_probability")}
        values |= {"uncertainty": expected["uncertainty"].to_numpy()} if "uncertainty" in expected.columns else {}
        for name, known in values.items():
            assert numpy.abs(found[f"{size}/{name}"] - known[:number])[own].max() < 1e-5, name
            assert numpy.isnan(found[f"{size}/{name}"][~own]).all()
    embeddings = tailmol.load(run).embed(samples if table is None else table)
    numpy.testing.assert_allclose(found["4096/embeddings"], embeddings, atol=1e-4)
    return expected


def test_the_default_model_with_neighbors(tmp_path: Path) -> None:
    run = trained(tmp_path)
    assert DrugClassifier.load_from_checkpoint(run / "checkpoints/best.ckpt").decision.opinions.neighbors.weight > 0
    samples = [*INN_STEMS, *READABLE, *UNREADABLE]
    assert len(set(samples)) > 1_000
    expected = assert_equal_predictions(run, [*samples, *samples * 4][:4_200], tmp_path)
    assert 0 < expected["reason"].count() < 400
    assert (run / "export" / "model_card.md").read_text() == (run / "model_card.md").read_text()
    settings = json.loads((run / "export" / "model.json").read_text())
    assert settings["classes"] == ["c0", "c1", "c2", "c3"]
    assert settings["columns"] == ["smiles"]
    assert settings["features"]["fingerprint_size"] == 256


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--config=encoder/gin.yaml", "--config=method/cross_entropy.yaml"],
        ["--config=encoder/fingerprint.yaml", "--refit=true"],
        ["--config=method/paper.yaml"],
        ["--config=method/evidential.yaml"],
        ["--config=method/experts.yaml"],
        ["--config=method/weight_scaling.yaml"],
        ["--config=encoder/fingerprint.yaml", "--folds=2"],
    ],
    ids=lambda options: " ".join(options),
)
def test_other_encoders_methods_and_ensembles(tmp_path: Path, options: list[str]) -> None:
    if "experts" in options[0] or "weight" in options[0]:
        options = [*options, "--trainer.max_epochs=2"]
    assert_equal_predictions(trained(tmp_path, *options), [*INN_STEMS, *UNREADABLE], tmp_path)


def test_a_decision_by_costs(tmp_path: Path) -> None:
    names = sorted(set(LABELS))
    costs = tmp_path / "costs.csv"
    rows = [",".join([name, *(str(abs(one - other) ** 2) for other in range(4))]) for one, name in enumerate(names)]
    costs.write_text("\n".join([f"true,{','.join(names)}", *rows]) + "\n")
    options = ["--config=encoder/fingerprint.yaml", "--data.fingerprint_kinds=[path, morgan]"]
    run = trained(tmp_path, *options, "--decision.objective=cost_matrix", f"--decision.costs={costs}")
    expected = assert_equal_predictions(run, INN_STEMS[:100], tmp_path)
    assert sorted(path.name for path in (run / "export").glob("*.npz")) == ["forest.npz", "neighbors.npz"]
    likeliest = expected.select(r"^p/.*$").to_numpy().argmax(axis=1)
    assert (expected["predicted_label"] != polars.Series(names)[likeliest]).any()


@pytest.mark.slow
@pytest.mark.parametrize("input", ["reaction", "pair"])
def test_samples_of_two_molecules(tmp_path: Path, input: str) -> None:
    pairs = [(DRUGS[place], DRUGS[place * 7 % 400]) for place in range(400)]
    first, second = zip(*pairs, strict=True)
    table = tmp_path / "two.csv"
    polars.DataFrame({"X1": first, "X2": second, "label": LABELS}).write_csv(table)
    options = [f"--data.input={input}", "--neighbors.number=5"]
    run = trained(tmp_path, *options, source=str(table))
    assert DrugClassifier.load_from_checkpoint(run / "checkpoints/best.ckpt").decision.opinions.forest.weight > 0
    samples = [*pairs, ("CC>O", "C"), ("C", ""), *pairs[::-1]]
    assert_equal_predictions(run, samples, tmp_path, [tuple(pair) for pair in samples])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(12,), (6, 5)])
def test_arrays(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = numpy.random.default_rng(0)
    codes = generator.integers(0, 3, 300)
    arrays = (generator.normal(size=(300, *shape)) + codes.reshape(-1, *[1] * len(shape))).astype(numpy.float32)
    name = "features" if len(shape) == 1 else "images"
    named: dict[str, Any] = {name: arrays}
    numpy.savez(tmp_path / "arrays.npz", labels=codes, **named)
    encoder = [] if len(shape) == 1 else ["--config=encoder/image.yaml"]
    run = trained(tmp_path, "--data.input=array", *encoder, source=str(tmp_path / "arrays.npz"))
    arrays[7].flat[3] = numpy.nan
    numpy.savez(tmp_path / "new.npz", **named)
    assert_equal_predictions(run, arrays, tmp_path, tmp_path / "new.npz")
    with pytest.raises(ValueError, match="samples: expected arrays of shape"):
        Predictor(run / "export").predict(arrays[:, :3])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a small model that was exported."""
    run = trained(tmp_path_factory.mktemp("small"), "--config=encoder/fingerprint.yaml")
    export_run(run)
    return run


def test_the_program_writes_what_the_command_writes(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, own = tmp_path / "new.csv", tmp_path / "own.tsv"
    texts = [*DRUGS[:20], "C1CC(", "", 'CC"O', "CCO ethanol"]
    polars.DataFrame({"note": ["a,b"] * 24, "SMILES": texts}).write_csv(table)
    options = (f"--data.source={table}", f"--output={tmp_path / 'out.csv'}", "--trainer.accelerator=cpu", "--quiet")
    assert in_this_process(monkeypatch, "predict", f"--ckpt_path={exported}", *options) == 0
    program = [sys.executable, str(exported / "export" / "predict.py")]
    done = subprocess.run([*program, str(table), str(own)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"24 rows written to {own}; 3 of them could not be used.\n"
    expected = polars.read_csv(tmp_path / "out.csv")
    found = polars.read_csv(own, separator="\t")
    evidence = ("nearest_", "applicability")
    assert found.columns == [name for name in expected.columns if not name.startswith(evidence)]
    same = [frame.select("note", "SMILES", "predicted_label").fill_null("") for frame in (found, expected)]
    assert same[0].equals(same[1])
    assert (found["calibrated_probability"] - expected["calibrated_probability"]).abs().max() < 1e-5  # type: ignore[operator]
    one = subprocess.run([*program, "--smiles", DRUGS[0]], capture_output=True, text=True, timeout=120)
    assert one.stdout.startswith(f"{found['predicted_label'][0]}: probability ")
    for words, sentence in (
        (["--smiles", "C1CC("], "'C1CC(' cannot be used: SMILES that RDKit cannot read."),
        ([str(table)], "expected either a table and an output, or --smiles."),
        ([str(table), str(table)], "which is the input."),
        (
            [str(own), str(tmp_path / "again.tsv")],
            "expected no column 'calibrated_probability', which predictions have",
        ),
    ):
        wrong = subprocess.run([*program, *words], capture_output=True, text=True, timeout=120)
        assert wrong.returncode == 2
        assert sentence in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv", "own.tsv"]


@pytest.mark.parametrize(
    ("name", "content", "got"),
    [
        ("a.csv.gz", gzip.compress(b"SMILES\nCCO\n", mtime=0), "a.csv.gz"),
        ("a.csv", "SMILES,note\nCCO,Ärzte\n".encode("cp1252"), "a.csv"),
        ("a.csv", b'SMILES\n"' + b"C" * 200_000, "a.csv"),
        ("a.csv", b"SMILES;note\nCCO;x\n", "a.csv with the header 'SMILES;note'"),
        ("a.tsv", b"SMILES,note\nCCO,x\n", "a.tsv with the header 'SMILES,note'"),
    ],
)
def test_a_table_in_another_form_is_one_sentence(
    exported: Path, tmp_path: Path, name: str, content: bytes, got: str
) -> None:
    (tmp_path / name).write_bytes(content)
    program = [sys.executable, str(exported / "export" / "predict.py"), name, "out.csv"]
    wrong = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 2
    sentence = f"table: expected CSV or TSV in UTF-8, got {got}; lightning predict reads more."
    assert wrong.stderr.splitlines()[-1] == f"predict.py: error: {sentence}"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_command(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    assert in_this_process(monkeypatch, "export", str(exported), "--output", str(output), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["export"] == str(output)
    assert answer["bytes"] == sum(path.stat().st_size for path in output.iterdir())
    # An export may be written again, but not over something else.
    assert in_this_process(monkeypatch, "export", str(exported), "--output", str(output), "--quiet") == 0
    (output / "model.json").unlink()
    assert in_this_process(monkeypatch, "export", str(exported), "--output", str(output)) == 2
    assert "output: expected a new or empty folder, got" in capsys.readouterr().err


def test_the_card_is_that_of_the_run_of_the_checkpoint(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "models" / "best.ckpt"
    moved.parent.mkdir()
    shutil.copy(exported / "checkpoints" / "best.ckpt", moved)
    (tmp_path / "model_card.md").write_text("Another model.")
    export_run(moved)
    assert not (tmp_path / "models" / "export" / "model_card.md").exists()
    monkeypatch.chdir(exported / "checkpoints")
    export_run(Path("best.ckpt"), tmp_path / "own")
    assert (tmp_path / "own" / "model_card.md").read_text() == (exported / "model_card.md").read_text()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"input": "drug_protein"},
            "data.input: expected molecule, reaction, pair or array for an export, got drug_pro",
        ),
        ({"pretrained": "minimol"}, "data.pretrained: expected null for an export, got minimol."),
    ],
)
def test_what_cannot_be_exported_is_named(
    exported: Path, tmp_path: Path, changed: dict[str, str], sentence: str
) -> None:
    import torch

    content = torch.load(exported / "checkpoints" / "best.ckpt", weights_only=True)
    task = content["drug_task"]
    task |= {name: value for name, value in changed.items() if name in task}
    task["features"] |= {name: value for name, value in changed.items() if name in task["features"]}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(InputError) as error:
        export_run(tmp_path / "other.ckpt")
    assert str(error.value).startswith(sentence)
    assert not (tmp_path / "export").exists()


def test_an_export_that_fails_its_check_changes_nothing(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (exported / "export").iterdir()}
    monkeypatch.setattr("workflows.export._TOLERANCE", -1.0)
    for output in (None, tmp_path / "new"):
        with pytest.raises(InputError, match=r"^RUN: expected a model that predicts the same after its export, got"):
            export_run(exported, output)
    assert {path: path.stat().st_mtime_ns for path in (exported / "export").iterdir()} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_an_export_that_is_cut_off_in_the_place_of_another_one_cannot_be_read_and_is_repeated(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def replace(path: Path, target: Path) -> Path:
        if path.name == name and path.parent.name == ".unfinished":
            raise KeyboardInterrupt
        return move(path, target)

    folder, move = Path(shutil.copytree(exported / "export", tmp_path / "export")), Path.replace
    (folder / "neighbors.npz").write_text("of another model")
    (folder / "notes.txt").write_text("of the user")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            export_run(exported, folder)
    with pytest.raises(FileNotFoundError):
        Predictor(folder)
    export_run(exported, folder)
    names = {path.name for path in (exported / "export").iterdir()}
    assert {path.name for path in folder.iterdir()} == {*names, "notes.txt"}
    assert Predictor(folder).predict(DRUGS[:3]).labels == Predictor(exported / "export").predict(DRUGS[:3]).labels
