"""The commands of README and docs, shrunk, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamodules.tables.columns import USUAL_COLUMNS
from tests.lightning_app.command import in_this_process
from workflows.settings.config_files import CONFIGS

ROOT = CONFIGS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DRUGS = (
    ["C" * n + "O" for n in range(1, 21)]
    + ["c1ccccc1" + "C" * n for n in range(20)]
    + ["N" + "C" * n for n in range(1, 6)]
)
TINY_FIT = [
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=1",
    "--model.classification_start_epoch=0",
    "--report=false",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--tracking.wandb=disabled",
    "--data.fingerprint_size=128",
    "--trainer.devices=1",
    "--trainer.num_nodes=1",
    "--trainer.strategy=auto",
]
# Files that a reader would have, and what stands in for what a test cannot reach.
STAND_INS = {"hiv": "hiv.csv", "new_classes.csv": "hiv.csv", "flowers.npz": "inn_stems", "new.npz": "new.csv"}


def blocks() -> Iterator[tuple[str, list[str]]]:
    """Page and `lightning` commands, which may build on each other, of each block of shell that has some."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            lines = [line.split(" #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
            found = [line.removeprefix("srun ") for line in lines]
            if commands := [line for line in found if line.startswith("lightning ")]:
                yield page.name, commands


def write_tables(folder: Path) -> None:
    """The tables that the commands name, and the checkpoint of a run."""
    rows = [f"{drug},{place // 15}" for place, drug in enumerate(DRUGS)]
    for name, header in (("my_drugs.csv", "smiles,label"), ("hiv.csv", "X,Y")):
        (folder / name).write_text("\n".join([header, *rows]))
    assays = [f"{drug},{place % 2},{place % 3 // 2},{'' if place % 5 else 1}" for place, drug in enumerate(DRUGS)]
    (folder / "assays.csv").write_text("\n".join(["smiles,NR-AR,NR-AhR,SR-p53", *assays]))
    mechanisms = [f"{drug},{('a', 'b', 'a|b')[place % 3]}" for place, drug in enumerate(DRUGS)]
    (folder / "mechanisms.csv").write_text("\n".join(["smiles,mechanism", *mechanisms]))
    for name, header, hidden in (("herg.csv", "Drug,Y,split", False), ("active.csv", "smiles,active,split", True)):
        rows = [
            f"{drug},{place % 2},train" if place % 5 else f"{drug},{'' if hidden else place % 2},test"
            for place, drug in enumerate(DRUGS)
        ]
        (folder / name).write_text("\n".join([header, *rows]))
    (folder / "new.csv").write_text("smiles\nCCO\nc1ccccc1\n")
    page = (ROOT / "docs/tracking.md").read_text()
    (folder / "loggers.yaml").write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])  # type: ignore[index]
    page = (ROOT / "docs/extending.md").read_text()
    (folder / "my_encoders.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])  # type: ignore[index]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


def shrink(words: list[str]) -> list[str]:
    """The same command in seconds."""
    words = [STAND_INS.get(word, word) for word in words]
    if words[0] == "fit" and "--ckpt_path" not in words:
        return [*words, *TINY_FIT]
    if words[0] == "fit":
        return [*words, "--trainer.max_epochs=2"]
    if words[0] == "sweep":
        words = [word if word != "20" else "1" for word in words]
        return [*words, *([] if "--" in words else ["--"]), "--config=encoder/fingerprint.yaml", *TINY_FIT[:4]]
    if words[0] == "benchmark" and "--dry-run" not in words:
        return [*words, "--tables-only"]
    return words


# MLflow asks SQLAlchemy for rows in a way that it deprecates.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "commands"), list(blocks()), ids=lambda found: found if isinstance(found, str) else found[0][:70]
)
def test_the_commands_of_the_documentation_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, page: str, commands: list[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if not (place / "my_drugs.csv").exists():
        write_tables(place)
        first = ["fit", "--data.source", "my_drugs.csv", *TINY_FIT]
        assert in_this_process(monkeypatch, *first) == 0
    for line in commands:
        assert in_this_process(monkeypatch, *shrink(shlex.split(line)[1:])) == 0, f"{page}: {line}"


def test_there_are_commands_to_test() -> None:
    assert {page for page, _ in blocks()} >= {"README.md", "methods.md", "multi_gpu.md", "sweeps.md", "tracking.md"}


def test_the_usual_names_of_columns_are_documented() -> None:
    rows = re.search(r"\| column \| usual names \|\n.*?\n\n", (ROOT / "docs/data.md").read_text(), re.DOTALL)
    assert rows is not None
    cells = [row.split("|")[2] for row in rows[0].strip().splitlines()[2:]]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == USUAL_COLUMNS


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                path = (page.parent / target).resolve()
                assert path.exists(), f"{page.name}: {target}"
                linked.add(path)
    assert [page.name for page in PAGES[1:] if page.resolve() not in linked] == []
