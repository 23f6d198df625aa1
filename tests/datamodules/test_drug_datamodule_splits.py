"""What each split of `DrugDataModule` promises, checked with RDKit on the bundled drugs and on a small table."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import polars
import pytest
from rdkit import Chem
from rdkit.Chem import rdinchi
from rdkit.Chem.Scaffolds import MurckoScaffold

from base.errors import InputError
from datamodules.datasets.dataset_catalog import find_source
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.splitters import SPLIT_NAMES, SplitMethod, SplitName
from tests.datamodules.drug_module import TABLE, data_module, served


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def embedded(folder: Path, split: SplitMethod, **settings: Any) -> DrugDataModule:
    module = DrugDataModule(split=split, cache_folder=str(folder), fingerprint_size=64, **settings)
    module.setup("fit")
    return module


def smiles_of(module: DrugDataModule) -> dict[SplitName, list[str]]:
    """The SMILES of the first column of each split."""
    return {name: module.table.table.smiles[0].gather(rows).to_list() for name, rows in module.records.rows.items()}


@cache
def inchi_skeleton(text: str) -> str:
    """The part of the InChIKey that says how atoms are connected."""
    return rdinchi.MolToInchiKey(Chem.MolFromSmiles(text))[:14]


@cache
def scaffold(text: str) -> str:
    find: Any = MurckoScaffold.MurckoScaffoldSmiles
    found: str = find(smiles=text, includeChirality=False)
    return found


def disjoint(sets: Iterable[set[str]]) -> bool:
    found = list(sets)
    return sum(map(len, found)) == len(set().union(*found))


# The bundled drugs


@pytest.mark.parametrize("method", ["random", "standard", "scaffold", "cold"])
def test_a_training_on_all_rows_leaves_none_to_validate_or_test(folder: Path, method: SplitMethod) -> None:
    module = embedded(folder, method, train_on_all=True)
    assert {name: len(rows) for name, rows in module.records.rows.items()} == {"train": 654, "validation": 0, "test": 0}
    assert module.task.class_counts == embedded(folder, "random", train_on_all=True).task.class_counts
    assert sum(module.task.class_counts) == 654
    assert len(served(module.train_embedding_dataloader())) == 654
    for stage in ("test", "validate"):
        again = DrugDataModule(split=method, cache_folder=str(folder), fingerprint_size=64, train_on_all=True)
        with pytest.raises(InputError, match=r"ckpt_path: expected a checkpoint that was not trained on the test rows"):
            again.setup(stage)


def test_all_rows_test_a_model_that_was_trained_on_another_table(folder: Path) -> None:
    module = DrugDataModule(split="all", cache_folder=str(folder), fingerprint_size=64, train_on_all=True)
    module.setup("test")
    assert {len(rows) for rows in module.records.rows.values()} == {654}


def test_a_training_on_all_rows_is_no_training_on_folds() -> None:
    with pytest.raises(InputError, match=r"data\.train_on_all: expected false with folds, got true with 3 folds"):
        DrugDataModule(folds=3, train_on_all=True)


@pytest.mark.parametrize("method", ["random", "standard", "scaffold", "cold"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_drug_is_in_one_split_and_no_skeleton_in_two(method: SplitMethod, seed: int, folder: Path) -> None:
    module = embedded(folder, method, split_seed=seed)
    assert sorted(row for rows in module.records.rows.values() for row in rows.tolist()) == list(range(654))
    skeletons = {name: set(map(inchi_skeleton, texts)) for name, texts in smiles_of(module).items()}
    assert disjoint(skeletons.values())
    assert sum(map(len, skeletons.values())) == 654


@pytest.mark.parametrize("seed", range(3))
def test_a_random_split_has_every_class_in_every_split(seed: int, folder: Path) -> None:
    module = embedded(folder, "random", split_seed=seed)
    records = module.records
    for rows in records.rows.values():
        assert set(records.codes[rows].tolist()) == set(range(len(records.classes)))
    assert min(module.task.class_counts) >= 3
    sizes = [len(records.rows[name]) / len(records.codes) for name in SPLIT_NAMES]
    assert sizes == pytest.approx([0.7, 0.1, 0.2], abs=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_a_standard_split_tests_as_many_drugs_of_every_class(seed: int, folder: Path) -> None:
    module = embedded(folder, "standard", split_seed=seed)
    labels = polars.read_csv(find_source("inn_stems", folder))["label"]
    sizes = Counter(labels)
    rarest = min(sizes.values())
    shares: dict[SplitName, float] = {"validation": 0.1, "test": 0.2}
    for name, share in shares.items():
        found = Counter(labels.gather(module.records.rows[name]))
        assert found == dict.fromkeys(sizes, max(1, round(share * rarest)))
    # Training has what is left, so its tail is longer than that of the table.
    trained = module.task.class_counts
    assert max(trained) / min(trained) > max(sizes.values()) / rarest


@pytest.mark.parametrize("seed", range(3))
def test_a_scaffold_split_shares_no_ring_system_and_trains_on_the_largest(seed: int, folder: Path) -> None:
    module = embedded(folder, "scaffold", split_seed=seed)
    scaffolds = {name: [scaffold(text) for text in texts] for name, texts in smiles_of(module).items()}
    assert disjoint(map(set, scaffolds.values()))
    sizes = {name: len(found) / 654 for name, found in scaffolds.items()}
    assert list(sizes.values()) == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    largest = {name: max(Counter(found).values()) for name, found in scaffolds.items()}
    assert largest["train"] > max(largest["validation"], largest["test"])
    order = Counter(text for found in scaffolds.values() for text in found).most_common()
    assert {text for text, _ in order[:20]} <= set(scaffolds["train"])


def test_a_cold_split_of_single_drugs_divides_them_by_the_fractions(folder: Path) -> None:
    module = embedded(folder, "cold")
    assert [len(rows) for rows in module.records.rows.values()] == [458, 65, 131]


@pytest.mark.parametrize("method", ["random", "standard", "scaffold", "cold"])
def test_the_seed_decides_which_drugs_are_tested(method: SplitMethod, folder: Path) -> None:
    tested = [embedded(folder, method, split_seed=seed).records.rows["test"].tolist() for seed in (0, 0, 1)]
    assert tested[0] == tested[1] != tested[2]


# Pairs


RINGS = ["C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "c1ccccc1", "c1ccncc1", "c1ccsc1", "c1ccoc1", "C1CCCN1", "C1CCCO1"]
# Four hundred pairs, of rings with and without a carbon, and of rings with and without a nitrogen.
PAIRS = "x1,x2,y\n" + "".join(
    f"{first}{left},{second}{right},{number % 2}\n"
    for number, (left, right) in enumerate((left, right) for left in RINGS for right in RINGS)
    for first in ("", "C")
    for second in ("", "N")
)


def skeletons_of(module: DrugDataModule, split: SplitName, columns: list[int]) -> set[str]:
    rows = module.records.rows[split]
    texts = [text for column in columns for text in module.table.table.smiles[column].gather(rows)]
    return {Chem.MolToSmiles(Chem.MolFromSmiles(text), isomericSmiles=False) for text in texts}


@pytest.mark.parametrize(("part", "columns"), [("first", [0]), ("second", [1]), ("both", [0, 1])])
@pytest.mark.parametrize("seed", range(3))
def test_no_cold_drug_of_a_tested_pair_is_in_a_training_pair(
    part: str, columns: list[int], seed: int, tmp_path: Path
) -> None:
    module = data_module(
        tmp_path,
        PAIRS,
        input="pair",
        ordered_pairs=True,
        split="cold",
        split_part=part,
        split_seed=seed,
        split_fractions=(0.5, 0.25, 0.25),
    )
    module.setup("fit")
    trained = skeletons_of(module, "train", [0, 1])
    validated, tested = skeletons_of(module, "validation", columns), skeletons_of(module, "test", columns)
    assert disjoint([trained, validated, tested])
    # Rows that would join two splits are in none, and in none of the lists.
    listed = polars.read_csv(tmp_path / "run" / "splits.csv")
    assert listed.height == sum(map(len, module.records.rows.values())) < 400


@pytest.mark.parametrize(("part", "column"), [("first", 0), ("second", 1)])
def test_a_scaffold_split_of_pairs_keeps_the_rings_of_one_column_apart(part: str, column: int, tmp_path: Path) -> None:
    module = data_module(tmp_path, PAIRS, input="pair", ordered_pairs=True, split="scaffold", split_part=part)
    module.setup("fit")
    cells = module.table.table.smiles[column]
    found = {name: {scaffold(text) for text in cells.gather(rows)} for name, rows in module.records.rows.items()}
    assert disjoint(found.values())
    assert sum(map(len, found.values())) == 10
    assert [len(rows) for rows in module.records.rows.values()] == [280, 40, 80]


def test_a_scaffold_split_of_both_columns_is_refused(tmp_path: Path) -> None:
    module = data_module(tmp_path, PAIRS, input="pair", ordered_pairs=True, split="scaffold", split_part="both")
    with pytest.raises(InputError, match=r"data\.split_part: expected first or second for a scaffold split, got both"):
        module.setup("fit")


# Every row


def test_split_all_tests_a_trained_model_on_every_row(tmp_path: Path) -> None:
    trained = data_module(tmp_path)
    trained.setup("fit")
    module = data_module(tmp_path, split="all", evaluation_batch_size=10)
    module.trained_task = trained.task
    module.setup("test")
    assert served(module.test_dataloader()) == served(module.val_dataloader()) == list(range(42))
    labels = [line.split(",")[2] for line in TABLE.splitlines()[1:]]
    codes = [code for batch in module.test_dataloader() for code in batch.labels.tolist()]
    assert [trained.task.classes[code] for code in codes] == labels


def test_split_all_is_refused_for_training(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"data\.split: expected a split that leaves samples to test on for fit, got all\."
    ):
        data_module(tmp_path, split="all").setup("fit")
