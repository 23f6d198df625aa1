"""Which samples `DrugDataModule` serves, in which order and with which numbers."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from datamodules.batch_loader import BatchLoader
from datamodules.sampling import PowerSampling, SamplingSchedule
from datamodules.splits.splitters import SplitName
from tests.datamodules.batch_parts import graphs
from tests.datamodules.drug_module import Recorder, data_module, fit_loader, flat, served


def test_an_epoch_trains_on_every_sample_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    module, recorder = data_module(tmp_path, batch_size=8, evaluation_batch_size=5), Recorder()
    assert module.trainer is not None
    module.trainer.fit(recorder, module)
    size = module.task.num_training_samples
    assert size == 21 + 9
    epochs = recorder.seen["train"][:4], recorder.seen["train"][4:]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [8, 8, 7, 7]
        assert sorted(flat(batches)) == list(range(size))
    assert epochs[0] != epochs[1]
    assert flat(recorder.seen["validation"][-1:]) == module.records.rows["validation"].tolist()


def test_the_order_seed_changes_the_order_and_not_the_split(tmp_path: Path) -> None:
    modules = [data_module(tmp_path, batch_size=8, order_seed=seed) for seed in (0, 0, 1)]
    first, again, other = (served(fit_loader(module)) for module in modules)
    assert first == again != other
    assert modules[0].records.rows["test"].tolist() == modules[2].records.rows["test"].tolist()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_run_resumed_within_an_epoch_meets_the_rest_of_it(num_workers: int, tmp_path: Path) -> None:
    module = data_module(tmp_path, batch_size=8, num_workers=num_workers)
    assert module.trainer is not None
    loop = module.trainer.fit_loop
    epochs: Any = loop.epoch_progress.current
    batches: Any = loop.epoch_loop.batch_progress.current
    epochs.processed = epochs.completed = 3
    whole = [batch.sample_index.tolist() for batch in fit_loader(module)]
    assert module.trainer.current_epoch == 3
    batches.processed = 2
    assert [batch.sample_index.tolist() for batch in module.train_dataloader()] == whole
    loop.restarting = True
    assert [batch.sample_index.tolist() for batch in module.train_dataloader()] == whole[2:]
    assert served(module.train_embedding_dataloader()) == list(range(30))


class SaveEpochs(lightning.Callback):
    """Saves a checkpoint at the end of each epoch, as `lightning fit` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_run_resumed_at_the_end_of_an_epoch_meets_the_next_one(num_workers: int, tmp_path: Path) -> None:
    sampling = SamplingSchedule([(1, PowerSampling(0))])
    recorders = Recorder(), Recorder()
    for recorder, checkpoint in zip(recorders, (None, tmp_path / "0.ckpt"), strict=True):
        module = data_module(tmp_path, batch_size=8, num_workers=num_workers, sampling=sampling)
        assert module.trainer is not None
        module.trainer.callbacks.append(SaveEpochs(tmp_path))  # type: ignore[attr-defined]
        module.trainer.fit(recorder, module, ckpt_path=checkpoint, weights_only=True)
    whole, resumed = (recorder.seen["train"] for recorder in recorders)
    assert sorted(flat(whole[:4])) == list(range(30)) != sorted(flat(whole[4:]))
    assert resumed == whole[4:]


def test_training_samples_are_numbered_by_their_place_in_the_split(tmp_path: Path) -> None:
    module = data_module(tmp_path, batch_size=8)
    rows = None
    for batch in fit_loader(module):
        rows = module.records.rows["train"][batch.sample_index]
        structures = module.table.table.smiles[0].gather(rows)
        assert graphs(batch).atoms_per_molecule.tolist() == [len(smiles) for smiles in structures]
        assert [module.records.classes[code] for code in batch.labels] == [smiles[-1] for smiles in structures]
    assert rows is not None


def test_the_embedding_pass_meets_each_training_sample_once_in_order(tmp_path: Path) -> None:
    module = data_module(tmp_path, batch_size=4, evaluation_batch_size=9)
    module.setup("fit")
    batches = list(module.train_embedding_dataloader())
    assert served(batches) == list(range(30))
    assert [len(batch) for batch in batches] == [8, 8, 7, 7]
    labels = torch.cat([batch.labels for batch in batches])
    assert labels.tolist() == module.records.codes[module.records.rows["train"]].tolist()
    assert torch.bincount(labels).tolist() == list(module.task.class_counts)


def test_evaluation_samples_are_numbered_by_their_row(tmp_path: Path) -> None:
    module = data_module(tmp_path, evaluation_batch_size=4)
    module.setup("fit")
    loaders: dict[SplitName, BatchLoader] = {
        "validation": module.val_dataloader(),
        "test": module.test_dataloader(),
    }
    for split, loader in loaders.items():
        rows = module.records.rows[split].tolist()
        assert served(loader) == rows
        assert [code for batch in loader for code in batch.labels.tolist()] == module.records.codes[rows].tolist()


def test_worker_processes_serve_the_same_batches(tmp_path: Path) -> None:
    alone = list(fit_loader(data_module(tmp_path, batch_size=8)))
    helped = list(fit_loader(data_module(tmp_path, batch_size=8, num_workers=1)))
    assert len(alone) == len(helped) == 4
    for left, right in zip(alone, helped, strict=True):
        assert left.sample_index.tolist() == right.sample_index.tolist()
        assert torch.equal(graphs(left).atom_codes, graphs(right).atom_codes)
        assert torch.equal(graphs(left).source, graphs(right).source)


def test_pairs_have_two_molecules_a_sample(tmp_path: Path) -> None:
    text = "x1,x2,y\n" + "".join(f"{'C' * row},{'O' * (row % 3 + 1)},{row % 2}\n" for row in range(1, 31))
    module = data_module(tmp_path, text, input="pair")
    batch = next(iter(fit_loader(module)))
    assert len(graphs(batch)) == 2 * len(batch)
    rows = module.records.rows["train"][batch.sample_index]
    expected = [length for row in rows.tolist() for length in (row + 1, (row + 1) % 3 + 1)]
    assert graphs(batch).atoms_per_molecule.tolist() == expected
