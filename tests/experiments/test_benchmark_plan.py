from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from base.errors import InputError
from experiments.benchmark_plan import read_plan
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import CONFIGS
from workflows.settings.layers import settings_files

PLAN = """
baseline: a
arguments: --trainer.max_epochs 3
data:
  one: --data.source one.csv
  two: {arguments: --data.source "two 2.csv", last: --last 1, split_seeds: [4], seeds: [7, 8], seconds: 9}
encoders: {small: --config small.yaml}
methods: {a: "", b: --config b.yaml}
split_seeds: 2
"""


def plan_file(folder: Path, text: str) -> Path:
    """A plan's file."""
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("small", "b"):
        Path(f"{name}.yaml").write_text("model: {dropout: 0.5}\n")


def test_cells_come_split_by_split_with_the_arguments_in_order(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path, PLAN), settings_files)
    assert (plan.name, plan.baseline, plan.ours) == ("plan", "a", None)
    assert [(cell.data, cell.method, cell.split_seed, cell.seed) for cell in plan.cells] == [
        ("one", "a", 0, 0),
        ("one", "b", 0, 0),
        ("one", "a", 1, 0),
        ("one", "b", 1, 0),
        ("two", "a", 4, 7),
        ("two", "b", 4, 7),
        ("two", "a", 4, 8),
        ("two", "b", 4, 8),
    ]
    assert plan.cells[5].arguments == (
        "--data.source 'two 2.csv' --config small.yaml --config b.yaml --last 1 --trainer.max_epochs 3 "
        "--data.split_seed 4 --seed_everything 7"
    )
    assert plan.cells[5].seconds == 9
    assert plan.cells[0].name == "one small a split 0 seed 0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baseline: a", "baseline: c", "baseline: expected one of the methods a, b, got 'c'"),
        ("baseline: a", "baseline: a\nours: c", "ours: expected one of the methods a, b, got 'c'"),
        ("split_seeds: 2", "split_seeds: 0", "split_seeds: expected an integer from 1 to 10000, got 0"),
        ("split_seeds: 2", "splits: 2", "expected the keys arguments, baseline, .*, got 'splits'"),
        ("baseline: a", "", "expected baseline, data and methods, got no 'baseline'"),
        ('a: ""', "a: 3", "arguments of one small a: expected text, got 3"),
        (
            'a: ""',
            "a: --run.name it's",
            'arguments of one small a: expected a command line, got "--run.name it\'s" .no closing quotation',
        ),
        ("b.yaml", "c.yaml", "expected an existing or shipped file, got 'c.yaml'"),
        (PLAN, "[1]", r"expected a mapping of names to settings, got \[1\]"),
        (PLAN, "{", "cannot be read as YAML"),
    ],
)
def test_a_wrong_plan_is_refused_with_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plan(plan_file(tmp_path, PLAN.replace(old, new)), settings_files)


def test_cells_have_other_settings_when_a_file_says_something_else(tmp_path: Path) -> None:
    def settings() -> dict[str, set[str | None]]:
        cells = read_plan(plan_file(tmp_path, PLAN), settings_files).cells
        return {method: {cell.settings for cell in cells if cell.method == method} for method in ("a", "b")}

    before = settings()
    assert len(before["a"]) == len(before["b"]) == 1
    assert before["a"] != before["b"]
    Path("b.yaml").write_text("# A comment is no setting.\nmodel:\n  dropout: 0.5\n")
    assert settings() == before
    Path("b.yaml").write_text("model: {dropout: 0.25}\n")
    after = settings()
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]


@pytest.mark.parametrize("path", sorted((CONFIGS / "benchmark").glob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_shipped_plan_has_settings_of_fit(path: Path) -> None:
    plan = read_plan(path, settings_files)
    assert len({cell.arguments for cell in plan.cells}) == len(plan.cells)
    first = plan.cells[0]
    for cell in plan.cells:
        if cell.split_seed == first.split_seed and (cell.data == first.data or cell.method == first.method):
            # An ensemble trains each member with these settings.
            member = ["--folds=null", "--data.folds=5", "--data.fold=0"] if "--folds 5" in cell.arguments else []
            words = [*shlex.split(cell.arguments), *member]
            cli = FitCLI([*words, "--trainer.accelerator=cpu", "--tracking.wandb=disabled"])
            assert cli.config.data.split_seed == cell.split_seed
            assert cli.config.seed_everything == cell.seed


@pytest.mark.parametrize("folds", ["--folds 5", "--folds=5"])
def test_folds_without_test_rows_outside_of_them_are_refused(tmp_path: Path, folds: str) -> None:
    text = PLAN.replace("--trainer.max_epochs 3", folds)
    with pytest.raises(InputError, match=r"expected --data\.keep_test true with --folds, since .* got '.*--folds"):
        read_plan(plan_file(tmp_path, text), settings_files)
    for words in (f"{folds} --data.keep_test true", f"{folds} --data.split file"):
        assert len(read_plan(plan_file(tmp_path, text.replace(folds, words)), settings_files).cells) == 8
    for words in (f"{folds} --data.keep_test false", f"{folds} --data.split scaffold"):
        with pytest.raises(InputError, match=r"expected --data\.keep_test true with --folds"):
            read_plan(plan_file(tmp_path, text.replace(folds, words)), settings_files)
    Path("small.yaml").write_text("folds: 5\n")
    with pytest.raises(InputError, match=r"expected --data\.keep_test true with --folds"):
        read_plan(plan_file(tmp_path, PLAN), settings_files)
    assert len(read_plan(plan_file(tmp_path, text.replace(folds, "--folds null")), settings_files).cells) == 8
    for own in ("keep_test: true", "split: file"):
        Path("small.yaml").write_text(f"data: {{{own}}}\n")
        assert len(read_plan(plan_file(tmp_path, text), settings_files).cells) == 8
