"""The LightningDataModule that serves long-tailed drug tables."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lightning
import numpy
import polars
import torch
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray

from base.atomic_file import write_csv
from base.errors import InputError
from base.ranges import check_range, check_seed, check_whole
from base.stratified import draw_some
from datamodules.batch import Batch
from datamodules.batch_loader import BatchLoader
from datamodules.chemistry.count_fingerprints import FingerprintKind
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.chemistry.parent_molecule import Standardise
from datamodules.chemistry.pretrained_vectors import PretrainedModel
from datamodules.datasets.dataset_catalog import find_source
from datamodules.drug_task import DrugTask
from datamodules.feature_cache import default_cache_folder
from datamodules.features import FeaturedTable, featurize_cached, featurize_table
from datamodules.identity import SampleIdentity, identify
from datamodules.prediction_rows import CHUNK_ROWS, PredictionRows, open_prediction_table
from datamodules.records import reject_unusable
from datamodules.sample_store import SampleRows
from datamodules.samplers import Draw, EpochBatches
from datamodules.sampling import Sampling
from datamodules.splits.divide import DrugRecords, divide, split_listing
from datamodules.splits.divide_folds import fold_rows
from datamodules.splits.split_check import check_split
from datamodules.splits.split_file import without_unlabeled_tests
from datamodules.splits.split_settings import CountBy, SplitSettings
from datamodules.splits.splitters import Fractions, SplitMethod, SplitName, SplitPart
from datamodules.tables.class_labels import MISSING_LABELS, LabelKind, LabelSettings
from datamodules.tables.columns import ColumnNames, InputKind
from datamodules.tables.rejected_rows import check_rejected, rejected_rows
from datamodules.tables.smiles_cells import Agents
from datamodules.tables.source_table import kind_of_file, read_table

T = TypeVar("T")

_log = logging.getLogger("tailmol")


class DrugDataModule(lightning.LightningDataModule):
    """A table of SMILES, or of arrays, and labels: read, featurized, checked, divided and served in batches.

    Attributes:
        trained_task: The task of a trained model; set it before `setup` to test or predict with that model.
        chunk_rows: About how many rows of a table to predict on are in memory at a time; set it before `setup`.
    """

    trained_task: DrugTask | None = None
    chunk_rows: int = CHUNK_ROWS

    def __init__(
        self,
        source: str = "inn_stems",
        input: InputKind = "molecule",
        smiles_columns: list[str] | str | None = None,
        labels: LabelKind = "single",
        label_column: list[str] | str | None = None,
        label_separator: str | None = None,
        id_column: str | None = None,
        split_column: str | None = None,
        sequence_column: str | None = None,
        agents: Agents = "apart",
        standardise: Standardise = "parent",
        ordered_pairs: bool = False,
        missing_labels: list[str] | str | None = None,
        label_thresholds: list[float] | float | None = None,
        split: SplitMethod = "random",
        split_seed: int = 0,
        split_fractions: Fractions = (0.7, 0.1, 0.2),
        split_part: SplitPart = "first",
        test_folds: list[int | str] | int | str | None = None,
        validation_folds: list[int | str] | int | str | None = None,
        imbalance: float | None = None,
        count_by: CountBy = "samples",
        folds: int | None = None,
        fold: int | None = None,
        keep_test: bool = False,
        train_on_all: bool = False,
        max_rejected: float = 0.05,
        fingerprint_radius: int = 2,
        fingerprint_size: int = 2048,
        fingerprint_kinds: tuple[FingerprintKind, ...] = ("morgan",),
        pretrained: PretrainedModel | None = None,
        sampling: Sampling | None = None,
        batch_size: int = 128,
        evaluation_batch_size: int = 512,
        order_seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        """Choose the data; nothing is read before `setup`.

        Args:
            source: A CSV, TSV or Parquet file, plain or packed, an .npz file of arrays (docs/data.md), or the name of a
                known data set (lightning datasets).
            input: What one sample is. molecule: one SMILES; reaction: reactants and product; pair: two drugs;
                drug_protein: a SMILES and an amino-acid sequence; array: numbers, as every .npz file holds.
            smiles_columns: The SMILES columns, two for pairs, one or two for reactions (reactants>agents>product, or
                reactants and product), else one; found by their usual names if null.
            labels: Whether a row has a single label, its class, or any number of several (multi): in one column that
                lists them, or in a column for each with 1, 0 and empty cells for what is not known.
            label_column: The column, or array of an .npz, of classes, as text or integers, or of lists of labels; or
                the columns of several labels. Found by its usual name if null.
            label_separator: What stands between the labels in a list; the first of | ; , that occurs if null, which a
                run keeps for other tables.
            id_column: The column that names the samples; found by its usual name if null.
            split_column: The column that says train, validation or test, for split file; found by its usual name if
                null.
            sequence_column: The column of amino-acid sequences, for drug_protein; found by its usual name if null.
            agents: What becomes of the agents of reactions in one column. apart: they are left out; reactants: they
                join the reactants.
            standardise: When two molecules are the same drug. parent: if their parents are, the largest organic
                component, neutralized; none: if they are as given. Stereochemistry, isotopes and atom maps count in
                neither. Rows of one drug stay in one split; the model sees the molecules as given.
            ordered_pairs: Whether the order of the drugs of a pair means something. If not, both orders are the same
                sample and have the same prediction.
            missing_labels: Labels that mean that there is none; those of pandas, such as NA and None, and a lone - or ?
                if null.
            label_thresholds: Bounds that make classes of a column of measured numbers, ascending; a number that equals
                one belongs to the class above.
            split: random: stratified by class; standard: validation and test balanced to the rarest class; scaffold:
                no ring system in two splits; cold: no drug of a test row in training; file: as the table says, where
                a split without rows is drawn from the training rows; all: every row, to test a trained model.
            split_seed: Random seed of the split.
            split_fractions: Shares of training, validation and test.
            split_part: Which parts of pairs, reactions and drugs with proteins are new in a test row, by scaffold or
                altogether: first, second or both.
            test_folds: The folds of test, if the split column holds folds instead of names.
            validation_folds: The folds of validation; all others are training. If one of the two is null, its split is
                drawn from the training rows.
            imbalance: Imbalance ratio, of the largest to the smallest class, that the training split is thinned to by
                an exponential profile; all of it is kept if null.
            count_by: What the class counts that set weights, margins, adjustments and head and tail are of: samples,
                each different one once, or rows.
            folds: Number of folds that the rows are divided into, as the split keeps them apart, in place of training,
                validation and test; fit --folds sets it.
            fold: The fold that is left out of training, to be tested, from 0; fit --folds sets it.
            keep_test: Whether the test rows of the split stay out of all folds, to test the ensemble on them; those of
                split file always do.
            train_on_all: Whether every row is trained on, and none validates or tests; fit --refit sets it.
            max_rejected: Largest share of rows that may be unusable.
            fingerprint_radius: Radius of the Morgan count fingerprint, in bonds.
            fingerprint_size: Number of bins of each fingerprint.
            fingerprint_kinds: The count fingerprints that encoders and the forest see: morgan, path (bonds along paths
                of up to 5), atom_pair, torsion.
            pretrained: A pretrained model whose vectors of the molecules modules.encoders.PretrainedMLP reads. minimol:
                512 numbers a molecule, by the extra minimol (docs/data.md).
            sampling: How often each class is drawn in training; every sample once an epoch if null.
            batch_size: Training samples in a batch on one process.
            evaluation_batch_size: Samples in a batch of validation, test, prediction and reclustering.
            order_seed: Random seed of the order of training samples.
            num_workers: Worker processes of each loader; 0 slices batches in this process.
            cache_folder: Folder of cached features; $TAILMOL_CACHE or the user's cache folder if null.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__()
        check_range("data.max_rejected", max_rejected, 0, highest=1)
        check_whole("data.batch_size", batch_size, 1)
        check_whole("data.evaluation_batch_size", evaluation_batch_size, 1)
        check_seed("data.order_seed", order_seed)
        check_whole("data.num_workers", num_workers, 0)
        self.source, self.input = source, input
        smiles = None if smiles_columns is None else _several(smiles_columns)
        if isinstance(label_column, list) and len(label_column) == 1:
            label_column = label_column[0]
        self.columns = ColumnNames(smiles, label_column, id_column, split_column, sequence_column)
        test, validation = (
            None if own is None else tuple(map(str, _several(own))) for own in (test_folds, validation_folds)
        )
        self.split = SplitSettings(
            split,
            split_seed,
            split_fractions,
            split_part,
            imbalance,
            test,
            validation,
            count_by,
            folds,
            fold,
            keep_test,
            train_on_all,
        )
        self.standardise, self.ordered_pairs, self.agents = standardise, ordered_pairs, agents
        self.labels = LabelSettings(
            MISSING_LABELS if missing_labels is None else tuple(_several(missing_labels)),
            None if label_thresholds is None else tuple(_several(label_thresholds)),
            labels,
            label_separator,
        )
        self.max_rejected = max_rejected
        self.features = FeatureSettings(fingerprint_radius, fingerprint_size, tuple(fingerprint_kinds), pretrained)
        self.sampling = sampling
        self.batch_size, self.evaluation_batch_size = batch_size, evaluation_batch_size
        self.order_seed, self.num_workers = order_seed, num_workers
        self.cache_folder = Path(cache_folder) if cache_folder else default_cache_folder()
        self._featured: FeaturedTable | None = None
        self._identity: SampleIdentity | None = None
        self._shares_table = False
        self._records: DrugRecords | None = None
        self._prediction_rows: PredictionRows | None = None

    def prepare_data(self) -> None:
        """Fill the cache from one process of a machine, before trackers start and the others read it."""
        stage = self.trainer.state.fn if self.trainer else None
        if stage is None:
            self._load()
        elif stage == TrainerFn.PREDICTING:
            find_source(self.source, self.cache_folder)
        else:
            self.setup(stage.value)

    def setup(self, stage: str) -> None:
        """Read, check and divide the table; to predict, open it.

        Raises:
            InputError: If the table does not suit the settings.
        """
        if stage == "predict":
            self._prediction_rows = self._open_prediction_rows()
            return
        self._load()
        if self._records is not None:
            return
        if stage == "fit" and self.split.method == "all":
            raise InputError("data.split: expected a split that leaves samples to test on for fit, got all.")
        if stage == "fit" and self.split.folds is not None and self.split.fold is None:
            raise InputError(
                "data.fold: expected the fold to leave out, got null; fit --folds trains one after another."
            )
        if stage != "fit" and self.split.train_on_all and not self.split.has_test_rows:
            raise InputError(
                "ckpt_path: expected a checkpoint that was not trained on the test rows, got that of a refit on all "
                "rows; best.ckpt beside it was tested, and --data.split all tests this one on another table."
            )
        if self.trainer is not None and self.split.fold is None and not self.split.has_test_rows and stage != "fit":
            raise InputError(
                "data.source: expected a table that the ensemble was not trained on, with --data.split all, got one "
                "of which all rows are in its folds; test_metrics.json has its out-of-fold metrics."
            )
        known = self.trained_task.classes if self.trained_task and stage != "fit" else None
        table, task = self.table.table, self.trained_task
        ordered_pairs = self.ordered_pairs if task is None else task.ordered_pairs
        if self._identity is None:
            self._identity = identify(self.table, self.standardise, ordered_pairs, self.cache_folder)
        identity = self._identity
        reasons = reject_unusable(self.table, identity, known)
        rejected = reasons
        if self.split.method == "file":
            rejected = without_unlabeled_tests(table, self.split, reasons, not self._shares_table)
        listing = self._write("rejected.csv", rejected_rows(table, rejected))
        if not self._shares_table:
            check_rejected(table, rejected, self.max_rejected, listing)
        records = divide(self.table, reasons, identity, self.split, known)
        self._write("splits.csv", split_listing(table, records))
        check = check_split(table, identity, records, self.split)
        if not (self._shares_table and self.split.fold is None):
            _log.info(f"{self.source}: {records.summary()}.")
        if not self._shares_table:
            _log.log(logging.WARNING if check.shared else logging.INFO, check.sentence)
        self._records = records
        if self.trained_task is not None:
            self._compare_with_training(self.trained_task)

    def _compare_with_training(self, task: DrugTask) -> None:
        """Warn if metrics would be too good, or might be."""
        is_same = self._own_task().training_digest == task.training_digest
        if is_same and self.split.method == "all" and self.split.train_on_all:
            _log.warning("The model was trained on the rows of this very table, so the metrics are too good.")
        if not is_same:
            _log.warning(
                "The table or its split is not the one that the model was trained on; "
                "if they share drugs, the metrics are too good."
            )
            tested, usable = len(self.records.rows["test"]), sum(map(len, self.records.rows.values()))
            if self.split.method != "all" and tested < usable:
                _log.warning(f"Only the {tested:,} test rows of a new split count; --data.split all counts every row.")

    def share_table(self, other: DrugDataModule) -> None:
        """Take the table and its features from another data module, before `setup`, instead of reading them again.

        What the other one has said of the table is not said again.

        Args:
            other: A data module that is set up, with the same settings but for the fold.
        """
        self._featured, self._identity, self._shares_table = other._featured, other._identity, True

    @property
    def table(self) -> FeaturedTable:
        """The table with its features, after `setup` for fit, validate or test."""
        if self._featured is None:
            raise RuntimeError("The data module has read no table yet; call setup('fit') first.")
        return self._featured

    @property
    def records(self) -> DrugRecords:
        """The divided samples, after `setup` for fit, validate or test."""
        if self._records is None:
            raise RuntimeError("The data module has no labeled records yet; call setup('fit') first.")
        return self._records

    @property
    def prediction_rows(self) -> PredictionRows:
        """The rows to predict on, after `setup` for predict."""
        if self._prediction_rows is None:
            raise RuntimeError("The data module has no rows to predict on yet; call setup('predict') first.")
        return self._prediction_rows

    @property
    def task(self) -> DrugTask:
        """What a model of these data must know."""
        return self.trained_task or self._own_task()

    def digest_without_fold(self, fold: int) -> str:
        """The `training_digest` of the model that leaves one fold out, of a data module that leaves none out.

        Args:
            fold: The fold, from 0.
        """
        assert self._identity is not None
        records = self.records
        # The rows are those that `imbalance` has left.
        split = replace(self.split, fold=fold, imbalance=None)
        rows, _ = fold_rows(self.table.table, self._identity, records.rows["train"], records.codes, split)
        return self._training_digest(rows["train"])

    @property
    def smallest_batch(self) -> int:
        """Number of samples of the smallest training batch of any process, after `setup` for fit."""
        return self._batches(len(self.records.rows["train"]), self.batch_size, shuffle=True).smallest

    def train_dataloader(self) -> BatchLoader:
        """Shuffled training batches; a run resumed within an epoch continues where it stopped."""
        codes, sampling = self.records.codes[self.records.rows["train"]], self.sampling
        draw = None if sampling is None else partial(sampling.order, self.records.sampled_codes(codes))
        batches = self._batches(len(codes), self.batch_size, shuffle=True, draw=draw)
        if self.trainer is not None:
            # A loader with worker processes draws its first batches before Lightning sets the epoch, and before
            # `current_epoch` is that of a run resumed at the end of an epoch.
            loop: Any = self.trainer.fit_loop
            epoch = loop.epoch_progress.current.processed
            batches.set_epoch(epoch)
            if loop.restarting:
                batches.skip(epoch, loop.epoch_loop.batch_progress.current.processed)
        return self._loader(self._split_rows("train"), batches)

    def train_embedding_dataloader(self, samples: NDArray[Any] | None = None) -> BatchLoader:
        """Training samples once each, in order, each process its share.

        Args:
            samples: `sample_index` of the samples; all if None.
        """
        rows = self._split_rows("train", samples)
        return self._loader(rows, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def val_dataloader(self) -> BatchLoader:
        """Validation batches."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> BatchLoader:
        """Test batches."""
        return self._evaluation_loader("test")

    def drawn_dataloader(self, split: SplitName, most: int) -> BatchLoader:
        """Batches of some rows of the validation or test split, the same ones in every run, each process its share.

        Args:
            split: The split.
            most: Number of rows that are drawn at random; all if there are no more.
        """
        rows = self._split_rows(split, draw_some(len(self.records.rows[split]), most))
        return self._loader(rows, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def predict_dataloader(self) -> BatchLoader:
        """Usable rows of the table, of several processes each in its share of chunks; `sample_index` is the row."""
        rank, world_size = self._rank_and_world_size()
        self.prediction_rows.share(rank, world_size)
        return BatchLoader(self.prediction_rows, self._device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Leave a batch on the device that its loader has copied it to."""
        return batch.to(device)

    def batches_of(self, rows: NDArray[Any]) -> BatchLoader:
        """Some rows of the table in evaluation batches; `sample_index` is the row.

        Args:
            rows: (n,) rows.
        """
        samples = SampleRows(self.table.store, rows, self.records.codes[rows], rows)
        return self._loader(samples, EpochBatches(len(rows), self.evaluation_batch_size, shuffle=False))

    def _load(self) -> None:
        if self._featured is not None:
            return
        path, kind = self._source()
        need_splits = self.split.method == "file"
        labels = replace(self.labels, known=self.trained_task.classes) if self.trained_task else self.labels
        table = read_table(path, kind, self.columns, True, need_splits, labels, self.agents)
        from_cache = partial(featurize_cached, cache_folder=self.cache_folder)
        self._featured = featurize_table(table, self._feature_settings(), from_cache)

    def _open_prediction_rows(self) -> PredictionRows:
        path, kind = self._source()
        # Whole batches, so that no batch is made of two chunks.
        size = max(1, self.chunk_rows // self.evaluation_batch_size) * self.evaluation_batch_size
        table = open_prediction_table(path, kind, self.columns, self._feature_settings(), size, self.agents)
        return PredictionRows(table, self.evaluation_batch_size)

    def _source(self) -> tuple[Path, InputKind]:
        """The file, and what one sample of it is."""
        path = find_source(self.source, self.cache_folder)
        return path, kind_of_file(path, self.input, self.trained_task.input if self.trained_task else None)

    def _feature_settings(self) -> FeatureSettings:
        return self.trained_task.features if self.trained_task else self.features

    def _split_rows(self, split: SplitName, samples: NDArray[Any] | None = None) -> SampleRows:
        rows = self.records.rows[split]
        index = numpy.arange(len(rows)) if split == "train" else rows
        if samples is not None:
            rows, index = rows[samples], index[samples]
        return SampleRows(self.table.store, rows, self.records.codes[rows], index)

    def _evaluation_loader(self, split: SplitName) -> BatchLoader:
        rows = self._split_rows(split)
        return self._loader(rows, self._batches(len(rows), self.evaluation_batch_size, shuffle=False))

    def _batches(self, size: int, batch_size: int, shuffle: bool, draw: Draw | None = None) -> EpochBatches:
        rank, world_size = self._rank_and_world_size()
        return EpochBatches(size, batch_size, shuffle, self.order_seed, rank, world_size, draw)

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def _loader(self, rows: SampleRows, batches: EpochBatches) -> BatchLoader:
        return BatchLoader(rows, self._device, batches, self.num_workers)

    def _own_task(self) -> DrugTask:
        records = self.records
        digest = self._training_digest(records.rows["train"])
        features = replace(self.features, array_shape=self.table.settings.array_shape)
        return DrugTask(
            *(self.table.table.input, records.classes, records.class_counts, features, digest, self.ordered_pairs),
            records.known_counts,
        )

    def _training_digest(self, rows: NDArray[Any]) -> str:
        hashes = self.table.parents if self.standardise == "parent" else self.table.skeletons
        return hashlib.sha256(hashes[rows].tobytes() + self.records.codes[rows].tobytes()).hexdigest()[:32]

    def _write(self, name: str, frame: polars.DataFrame) -> str:
        """Write a listing into the run's folder from the first process; without a trainer nothing is written."""
        if self.trainer is None:
            return f"{name} of a run"
        path = Path(self.trainer.default_root_dir) / name
        if self.trainer.is_global_zero:
            write_csv(frame, path)
        return str(path)


def _several(value: list[T] | T) -> list[T]:
    """A single value as a list of one."""
    return value if isinstance(value, list) else [value]
