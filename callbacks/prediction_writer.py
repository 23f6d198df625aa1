"""Writes predictions next to the rows of the table."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import numpy
import polars
from polars import selectors

from base.atomic_file import naming, write_file
from base.errors import InputError
from datamodules.batch import Batch
from datamodules.drug_datamodule import DrugDataModule
from datamodules.prediction_rows import FeaturedChunk, PredictionRows
from modules.evaluation.prediction import Prediction, Values
from modules.evaluation.prediction_columns import values_of_chunk
from modules.processes import leave_processes


class RowColumns(Protocol):
    """What is written for the rows of a table, such as `PredictionColumns`."""

    def check_names(self, given: Iterable[str]) -> None:
        """Check that a table has no column of the same name."""

    def values(self, batch: Batch, prediction: Prediction) -> Values:
        """Convert the predictions for a batch to arrays on the CPU, `rows` among them."""

    def frame(self, chunk: FeaturedChunk, batches: Iterable[Values]) -> polars.DataFrame:
        """What is written for the rows of a chunk; `reason` says why a row has no prediction."""


SHOWN = 200
"""Number of rows that a page of predictions shows."""


@dataclass(frozen=True)
class ShownRows:
    """Rows of a table that a page of predictions shows.

    Attributes:
        names: Ids of the samples; empty texts without a column of ids.
        texts: SMILES of the samples, several molecules joined by >>.
        frame: The rows.
        places: Places of the nearest training samples of each row among those of the evidence, from the nearest on;
            none without evidence or prediction.
    """

    names: list[str]
    texts: list[str]
    frame: polars.DataFrame
    places: list[list[int]]


class PredictionWriter(lightning.Callback):
    """Writes every row of the data module's table, in order.

    Each chunk of rows is written to a separate file as soon as it is complete, and the first process joins the files
    at the end. All processes must share the folder.

    Attributes:
        rows: Number of rows of the table, once prediction has started.
        unusable: Number of rows without a prediction; of this process only, until `join` was called.
        first: The first rows that this process has written, at most `SHOWN`.
    """

    def __init__(self, output: str, suffixes: tuple[str, ...] = (".csv", ".tsv", ".parquet")) -> None:
        """Create the callback.

        Args:
            output: The file to write.
            suffixes: What its name may end in; in an .npy file are the rows of the column `embedding`.

        Raises:
            InputError: If the path has another suffix.
        """
        self.output = Path(output)
        if self.output.suffix not in suffixes:
            listed = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
            raise InputError(f"output: expected a path that ends in {listed}, got {output!r}.")
        self.rows = self.unusable = 0
        self.first: list[ShownRows] = []
        self._batches: list[Values] = []
        self._folder: Path | None = None

    def expect(self, columns: RowColumns, progress: bool) -> None:
        """Set the columns to write; must be called before prediction starts.

        Args:
            columns: What is written for each row.
            progress: Whether to show a progress bar.
        """
        self._columns, self._progress = columns, progress

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Check the table's columns and make the folder for the chunks.

        Raises:
            InputError: If the table has a column of the same name as one of ours.
        """
        from tqdm import tqdm

        data = cast(DrugDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        self._prediction_rows: PredictionRows = data.prediction_rows
        table = self._prediction_rows.table
        self._columns.check_names(table.columns)
        self.rows = table.rows
        name = f".{self.output.name}.{uuid.uuid4().hex}.parts"
        self._folder = self.output.parent / trainer.strategy.broadcast(name)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with naming(self.output):
            self._folder.mkdir(exist_ok=True)
        shown = self._progress and trainer.is_global_zero
        # None: tqdm shows the bar only on a terminal.
        self._bar = tqdm(
            total=-(-table.rows // trainer.world_size),
            desc="Predicting",
            unit=" rows",
            delay=1,
            leave=False,
            disable=None if shown else True,
        )

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the predictions and write the chunks that are complete."""
        values = self._columns.values(batch, outputs)
        self._write_complete(int(values["rows"][0]))
        self._batches.append(values)
        self._bar.update(len(values["rows"]))

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the last chunks."""
        self._bar.close()
        self._write_complete(None)

    def join(self, trainer: lightning.Trainer) -> None:
        """Join the chunks of all processes into one file.

        Must be called on all processes, each of which is then on its own.

        Args:
            trainer: The trainer that has just predicted.

        Raises:
            InputError: If chunks are missing, because prediction was limited or the processes do not share a folder.
        """
        assert self._folder is not None
        if not self._prediction_rows.ended:
            raise InputError(
                "trainer.limit_predict_batches: expected null, since every row must be written, got a limit."
            )
        (self._folder / f"{trainer.global_rank}.unusable").write_text(str(self.unusable))
        leave_processes()
        if trainer.is_global_zero:
            self.unusable = sum(int(path.read_text()) for path in self._folder.glob("*.unusable"))
            if len(list(self._folder.glob("*.unusable"))) < trainer.world_size:
                raise InputError(
                    f"output: expected a folder that all processes share, got {self.output.parent.absolute()}."
                )
            parts = sorted(self._folder.glob("*.part"))
            join = {".parquet": _join_parquet, ".npy": _join_arrays}.get(self.output.suffix, _join_text)
            write_file(self.output, lambda path: join(parts, path))

    def remove_chunks(self, trainer: lightning.Trainer) -> None:
        """Remove the files of the chunks; only the first process does."""
        if self._folder is not None and trainer.is_global_zero:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write_complete(self, next_row: int | None) -> None:
        """Write the chunks that end before `next_row`; all remaining chunks if None."""
        begun = self._prediction_rows.begun
        while begun and (next_row is None or begun[0].first_row + len(begun[0].featured.reasons) <= next_row):
            chunk = begun.popleft()
            frame = self._columns.frame(chunk, self._batches)
            self.unusable += frame["reason"].count()
            if len(frame) and chunk.first_row < SHOWN:
                shown = frame.head(SHOWN - chunk.first_row)
                table, rows = chunk.featured.table, numpy.arange(len(shown))
                places = _nearest_places(chunk, self._batches)[: len(shown)]
                self.first.append(ShownRows(table.ids(rows), table.texts(rows), shown, places))
            self._batches = []
            self._bar.update(len(frame) - len(chunk.featured.usable_rows))
            assert self._folder is not None
            path = self._folder / f"{chunk.first_row:015}.part"
            with naming(self.output):
                self._write(frame, path, header=chunk.first_row == 0)

    def _write(self, frame: polars.DataFrame, path: Path, header: bool) -> None:
        if self.output.suffix == ".parquet":
            frame.write_parquet(path)
            return
        if self.output.suffix == ".npy":
            with path.open("wb") as file:
                numpy.save(file, frame["embedding"].to_numpy().astype(numpy.float32, copy=False))
            return
        unwritable = frame.select(selectors.nested() | selectors.binary()).columns
        if unwritable:
            raise InputError(
                f"output: expected a path that ends in .parquet, since the table's column {unwritable[0]!r} "
                f"holds lists, structures or bytes; got {self.output.name!r}."
            )
        separator = "\t" if self.output.suffix == ".tsv" else ","
        frame.write_csv(path, separator=separator, include_header=header)


def _nearest_places(chunk: FeaturedChunk, batches: Iterable[Values]) -> list[list[int]]:
    """Places of the nearest training samples of all rows of a chunk, as of `ShownRows`."""
    found = values_of_chunk(chunk, batches)
    places: list[list[int]] = [[] for _ in chunk.featured.reasons]
    if "places" in found:
        for row, own in zip(found["rows"].tolist(), found["places"].tolist(), strict=True):
            places[row] = [place for place in own if place >= 0]
    return places


def _join_text(parts: list[Path], path: Path) -> None:
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)


def _join_arrays(parts: list[Path], path: Path) -> None:
    arrays = [numpy.load(part, mmap_mode="r") for part in parts]
    shape = sum(len(array) for array in arrays), arrays[0].shape[1]
    header = {"descr": numpy.lib.format.dtype_to_descr(arrays[0].dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        numpy.lib.format.write_array_header_1_0(file, header)
        for array in arrays:
            file.write(numpy.ascontiguousarray(array).data)


def _join_parquet(parts: list[Path], path: Path) -> None:
    polars.scan_parquet(parts, glob=False, hive_partitioning=False).sink_parquet(path)
