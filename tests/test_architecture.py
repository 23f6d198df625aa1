"""`docs/architecture.md` lists the files that the code really passes through, in the order in which it does."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import lightning
import pytest

from callbacks.recluster import Recluster
from modules.decision_choice import choose_decision
from modules.decisions.settings import DecisionSettings
from modules.embedding_pass import score_validation_set
from tailmol.model import Model
from workflows.fit_cli import FitCLI

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
OPTIONS = (
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--tracking.wandb=disabled",
)
DEFAULT = ("--recluster.start_epoch=0",)
PLAIN = ("--config=encoder/gin.yaml", "--config=method/cross_entropy.yaml")


class Called(dict[str, None]):
    """The project's files with a called function, in the order of the first call."""

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note the files that are called within the block, in this thread and those that it starts.

        Constructors and properties, through which no data passes, do not count.
        """

        def note(frame: FrameType, event: str, argument: Any) -> None:
            path = Path(frame.f_code.co_filename)
            if event != "call" or not path.is_relative_to(ROOT) or _passes_no_data(frame):
                return
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith((".venv/", "tests/")):
                self.setdefault(name)

        threading.setprofile(note)
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _passes_no_data(frame: FrameType) -> bool:
    name = frame.f_code.co_name
    own = type(frame.f_locals["self"]) if "self" in frame.f_locals else None
    return name in ("<module>", "__init__") or isinstance(getattr(own, name, None), property)


class WatchStep(lightning.Callback):
    """Notes what one batch passes through from the training step to the gradients."""

    def __init__(self, called: Called) -> None:
        """Create the callback, which adds to `called`."""
        self.called = called

    def on_train_batch_start(self, *arguments: Any) -> None:
        """Begin."""
        self.block = self.called.watch()
        self.block.__enter__()

    def on_after_backward(self, *arguments: Any) -> None:
        """End."""
        self.block.__exit__(None, None, None)


def traced(options: Sequence[str]) -> dict[str, Called]:
    """Train for one batch; what a table row, a sample, a class weight, a decision and a prediction passed through."""
    row, sample, weight, decision, prediction = Called(), Called(), Called(), Called(), Called()
    cli = FitCLI([*options, *OPTIONS])
    trainer: Any = cli.trainer
    model, data = cli.model, cli.datamodule
    with row.watch():
        data.prepare_data()
        data.setup("fit")
    with sample.watch():
        next(iter(data.train_dataloader()))
    trainer.callbacks = [one for one in trainer.callbacks if isinstance(one, Recluster)] + [WatchStep(sample)]
    trainer.fit(model, data)
    with weight.watch():
        trainer.callbacks[0].recluster(trainer, model)
    settings = DecisionSettings("head_kept")
    with decision.watch():
        choose_decision(model, score_validation_set(model, data), settings)
    with prediction.watch():
        Model(model).predict(["CCO", "[13CH4]", "not a molecule"])
    found = {"table row": row, "sample": sample, "class weight": weight}
    return {**found, "decision": decision, "prediction": prediction}


class Way(NamedTuple):
    """One way as the page lists it."""

    stations: list[str]
    marked: list[str]
    beside: set[str]


def documented(name: str) -> Way:
    """The stations of a way in order, those marked as met without contrast too, and the files beside the way."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (section,) = (text for text in sections if text.startswith(f"The way of a {name}"))
    lines = section.splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    stations = [line.split("`")[1] for line in rows]
    beside = section.partition("Beside the way")[2]
    return Way(
        stations,
        [line.split("`")[1] for line in rows if line.split("|")[2].strip() == "yes"],
        set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", beside)),
    )


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Called]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("default"))
        patch.setenv("TAILMOL_CACHE", "cache")
        return traced(DEFAULT)


@pytest.mark.parametrize("name", ["table row", "sample", "class weight", "decision", "prediction"])
def test_the_default_method_passes_through_the_listed_files_in_their_order(
    default: dict[str, Called], name: str
) -> None:
    way = documented(name)
    assert set(default[name]) == {*way.stations, *way.beside}
    assert [file for file in default[name] if file in set(way.stations)] == way.stations


def test_cross_entropy_with_a_gin_passes_through_the_marked_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILMOL_CACHE", "cache")
    called = traced(PLAIN)["sample"]
    way = documented("sample")
    assert set(called) - way.beside == set(way.marked)


def test_long_files_are_named_with_their_reason() -> None:
    section = PAGE.read_text().partition("## Long files")[2]
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    files = [path for package in packages for path in package.rglob("*.py")]
    assert len(files) > 150
    long = {path.relative_to(ROOT).as_posix() for path in files if len(path.read_text().splitlines()) > 300}
    assert long == set(re.findall(r"`([a-z_/]+\.py)`", section))
