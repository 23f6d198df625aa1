"""The LightningDataModule that serves long-tailed drug tables."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy
import polars
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from base.atomic_file import write_csv
from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings, FingerprintKind
from datamodules.datasets.dataset_catalog import find_source
from datamodules.drug_records import (
    DrugRecords,
    FeaturedTable,
    SplitSettings,
    divide,
    featurise_table,
    reject_unusable,
)
from datamodules.drug_task import DrugTask
from datamodules.feature_cache import default_cache_folder
from datamodules.molecule_batch import MoleculeBatch
from datamodules.sample_rows import SampleRows
from datamodules.samplers import Draw, EpochBatches
from datamodules.sampling import Sampling
from datamodules.splits.splitters import Fractions, SplitMethod, SplitName, SplitPart
from datamodules.tables.array_table import kind_of_file, read_array_table
from datamodules.tables.drug_table import DrugTable, InputKind, read_table
from datamodules.tables.rejected_rows import check_rejected, rejected_rows

_log = logging.getLogger("tailmol")


class DrugDataModule(lightning.LightningDataModule):
    """A table of SMILES, or of arrays, and labels, checked, split, featurised and served in batches.

    Attributes:
        trained_task: What a trained model knows; set it before `setup` to test or predict with that model.
    """

    trained_task: DrugTask | None = None

    def __init__(
        self,
        source: str = "inn_stems",
        input: InputKind = "molecule",
        smiles_columns: list[str] | None = None,
        label_column: str | None = None,
        id_column: str | None = None,
        split_column: str | None = None,
        sequence_column: str | None = None,
        split: SplitMethod = "random",
        split_seed: int = 0,
        split_fractions: Fractions = (0.7, 0.1, 0.2),
        split_part: SplitPart = "first",
        imbalance: float | None = None,
        max_rejected: float = 0.05,
        fingerprint_radius: int = 2,
        fingerprint_size: int = 2048,
        fingerprint_kinds: tuple[FingerprintKind, ...] = ("morgan",),
        sampling: Sampling | None = None,
        batch_size: int = 128,
        evaluation_batch_size: int = 512,
        order_seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        """Keep the settings; nothing is read before `setup`.

        Args:
            source: A CSV, TSV or Parquet file, plain or gzip, an .npz file of arrays (docs/data.md), or the name of a
                known data set (lightning datasets).
            input: What one sample is. molecule: one SMILES; reaction: reactants and product; pair: two drugs;
                drug_protein: a SMILES and an amino-acid sequence; array: numbers, and what every .npz holds.
            smiles_columns: The SMILES columns, one for molecules, else two; guessed if null.
            label_column: The column, or array of an .npz, with the class, as text or integers; guessed if null.
            id_column: A column that names the samples; guessed if null.
            split_column: The column that says train, validation or test, for split file; guessed if null.
            sequence_column: The column of amino-acid sequences, for drug_protein; guessed if null.
            split: random: stratified by class; standard: validation and test balanced to the rarest class; scaffold:
                no ring system in two splits; cold: no drug of a test row in training; file: as the table says; all:
                every row, to test a trained model.
            split_seed: Of every split but file.
            split_fractions: Shares of training, validation and test.
            split_part: Of pairs and reactions, whose scaffold or drug a test row has new: first, second or both.
            imbalance: Thin the training split to a long tail of this ratio between the largest and the smallest class,
                an exponential profile drawn by split_seed; all of it is kept if null.
            max_rejected: Stop if more than this share of the rows cannot be used.
            fingerprint_radius: Radius of the Morgan count fingerprint, in bonds.
            fingerprint_size: Number of bins of each fingerprint.
            fingerprint_kinds: Which count fingerprints encoders see: morgan, path (bonds along paths of up to 5),
                atom_pair, torsion.
            sampling: How often training sees each class; every sample once an epoch if null.
            batch_size: Training samples in a batch on one process.
            evaluation_batch_size: The same for validation, test, prediction and reclustering.
            order_seed: Of the order of training samples.
            num_workers: Worker processes of each loader; 0 slices batches in the main process.
            cache_folder: Where features are kept; $TAILMOL_CACHE or the user's cache folder if null.

        Raises:
            ValueError: If a batch size is below 1.
        """
        super().__init__()
        if batch_size < 1 or evaluation_batch_size < 1:
            raise ValueError(
                "batch_size and evaluation_batch_size: expected 1 or more, "
                f"got {batch_size} and {evaluation_batch_size}."
            )
        self.source, self.input = source, input
        self.smiles_columns, self.label_column = smiles_columns, label_column
        self.id_column, self.split_column, self.sequence_column = id_column, split_column, sequence_column
        self.split = SplitSettings(split, split_seed, split_fractions, split_part, imbalance)
        self.max_rejected = max_rejected
        self.features = FeatureSettings(fingerprint_radius, fingerprint_size, tuple(fingerprint_kinds))
        self.sampling = sampling
        self.batch_size, self.evaluation_batch_size = batch_size, evaluation_batch_size
        self.order_seed, self.num_workers = order_seed, num_workers
        self.cache_folder = Path(cache_folder) if cache_folder else default_cache_folder()
        self._featured: FeaturedTable | None = None
        self._records: DrugRecords | None = None

    def prepare_data(self) -> None:
        """Set up on one process of a machine, before trackers start and the others read what is cached."""
        stage = self.trainer.state.fn if self.trainer else None
        if stage is None:
            self._load(labelled=True)
        else:
            self.setup(stage.value)

    def setup(self, stage: str) -> None:
        """Read the table and, unless to predict, check and divide it.

        Raises:
            InputError: If the table cannot be used as the settings say.
        """
        self._load(labelled=stage != "predict")
        if stage == "predict" or self._records is not None:
            return
        if stage == "fit" and self.split.method == "all":
            raise InputError("data.split: all leaves nothing to test on; expected another one for fit.")
        known = self.trained_task.classes if self.trained_task and stage != "fit" else None
        reasons = reject_unusable(self.table, known)
        listing = self._write("rejected.csv", rejected_rows(self.table.table, reasons))
        check_rejected(reasons, self.max_rejected, listing)
        self._records = divide(self.table, reasons, self.split, known, self.cache_folder)
        self._write("splits.csv", self._split_listing(self._records))
        _log.info(self._describe(self._records))
        if self.trained_task is not None and self._own_task().training_digest != self.trained_task.training_digest:
            _log.warning(
                "The table or its split is not the one that the model was trained on; "
                "if they share drugs, the metrics are too good."
            )

    @property
    def table(self) -> FeaturedTable:
        """The table with its features, after `setup`."""
        if self._featured is None:
            raise RuntimeError("The data module has read no table yet; call setup first.")
        return self._featured

    @property
    def records(self) -> DrugRecords:
        """The divided samples, after `setup` for fit, validate or test."""
        if self._records is None:
            raise RuntimeError("The data module has no labelled records yet; call setup('fit') first.")
        return self._records

    @property
    def task(self) -> DrugTask:
        """What the model must know of these data."""
        return self.trained_task or self._own_task()

    def train_dataloader(self) -> DataLoader[MoleculeBatch]:
        """Shuffled training batches; a run resumed within an epoch goes on where it stopped."""
        codes, sampling = self.records.codes[self.records.rows["train"]], self.sampling
        draw = None if sampling is None else lambda epoch, generator: sampling.order(codes, epoch, generator)
        batches = self._batches(len(codes), self.batch_size, shuffle=True, draw=draw)
        if self.trainer is not None:
            # A loader with worker processes draws its first batches before Lightning sets the epoch.
            batches.set_epoch(self.trainer.current_epoch)
            if self.trainer.fit_loop.restarting:
                done = self.trainer.fit_loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
                batches.skip(self.trainer.current_epoch, done)
        return self._loader(self._split_rows("train"), batches)

    def train_embedding_dataloader(self, samples: NDArray[Any] | None = None) -> DataLoader[MoleculeBatch]:
        """Training samples once each, in order, shared out over the processes.

        Args:
            samples: Which of them, by `sample_index`; all if None.
        """
        rows = self._split_rows("train", samples)
        return self._loader(rows, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def val_dataloader(self) -> DataLoader[MoleculeBatch]:
        """Validation batches."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[MoleculeBatch]:
        """Test batches."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[MoleculeBatch]:
        """Every usable row of the table; `sample_index` is the row."""
        rows = self.table.reasons.is_null().arg_true().to_numpy().astype(numpy.int64)
        samples = SampleRows(self.table.store, rows, numpy.full(len(rows), -1), rows)
        return self._loader(samples, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def _load(self, labelled: bool) -> None:
        if self._featured is not None and (self._featured.table.labels is not None or not labelled):
            return
        settings = self.trained_task.features if self.trained_task else self.features
        self._featured = featurise_table(self._read(labelled), settings, self.cache_folder)

    def _read(self, labelled: bool) -> DrugTable:
        path = find_source(self.source, self.cache_folder)
        kind = kind_of_file(path, self.input, self.trained_task.input if self.trained_task else None)
        columns = (self.label_column, self.id_column, self.split_column, labelled)
        splits = labelled and self.split.method == "file"
        if kind == "array":
            return read_array_table(path, *columns, splits)
        return read_table(path, kind, self.smiles_columns, *columns, splits, self.sequence_column)

    def _split_rows(self, split: SplitName, samples: NDArray[Any] | None = None) -> SampleRows:
        rows = self.records.rows[split]
        index = numpy.arange(len(rows)) if split == "train" else rows
        if samples is not None:
            rows, index = rows[samples], index[samples]
        return SampleRows(self.table.store, rows, self.records.codes[rows], index)

    def _evaluation_loader(self, split: SplitName) -> DataLoader[MoleculeBatch]:
        rows = self._split_rows(split)
        return self._loader(rows, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def _batches(self, size: int, batch_size: int, shuffle: bool, draw: Draw | None = None) -> EpochBatches:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return EpochBatches(size, batch_size, shuffle, self.order_seed, rank, world_size, draw)

    def _loader(self, rows: SampleRows, batches: EpochBatches) -> DataLoader[MoleculeBatch]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(rows, sampler=batches, batch_size=None, num_workers=self.num_workers, pin_memory=on_gpu)

    def _own_task(self) -> DrugTask:
        records = self.records
        rows = records.rows["train"]
        digest = hashlib.sha256(self.table.skeletons[rows].tobytes() + records.codes[rows].tobytes()).hexdigest()
        features = replace(self.features, array_shape=self.table.settings.array_shape)
        return DrugTask(self.table.table.input, records.classes, records.class_counts, features, digest[:32])

    def _describe(self, records: DrugRecords) -> str:
        counts = [count for count in records.class_counts if count]
        sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in records.rows.items())
        return (
            f"{self.source}: {len(records.classes)} classes of {min(counts):,} to {max(counts):,} training samples; "
            f"{sizes} samples."
        )

    def _split_listing(self, records: DrugRecords) -> polars.DataFrame:
        splits = [polars.DataFrame({"row": rows, "split": name}) for name, rows in records.rows.items()]
        listing = polars.concat(splits).sort("row", maintain_order=True)
        table, rows = self.table.table, listing["row"]
        assert table.labels is not None
        columns = [(rows + 1).alias("row"), listing["split"], table.labels.gather(rows).alias("label")]
        if table.columns.id:
            columns.append(table.frame[table.columns.id].gather(rows).alias("id"))
        return polars.DataFrame(columns)

    def _write(self, name: str, frame: polars.DataFrame) -> str:
        """Write a listing into the run's folder, from the first process; without a trainer nothing is written."""
        if self.trainer is None:
            return f"{name} of a run"
        path = Path(self.trainer.default_root_dir) / name
        if self.trainer.is_global_zero:
            write_csv(frame, path)
        return str(path)
