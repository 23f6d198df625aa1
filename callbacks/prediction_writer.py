"""Predictions beside the rows they are for."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import lightning
import polars
from polars import selectors

from base.atomic_file import write_file
from base.errors import InputError
from datamodules.prediction_rows import PredictionRows, usable_rows
from modules.evaluation.prediction_columns import PredictionColumns, Values


class PredictionWriter(lightning.Callback):
    """Writes every row of the table in its order, with the columns of `PredictionColumns`.

    Each chunk goes into a file of its own as soon as it is done; the first process joins the files at the end. The
    processes must see the same folder.

    Attributes:
        unusable: Rows without a prediction, of this process until all are joined.
    """

    def __init__(self, output: str) -> None:
        """Keep the path.

        Args:
            output: The file to write: .csv, .tsv or .parquet.

        Raises:
            InputError: If the path ends otherwise.
        """
        self.output = Path(output)
        if self.output.suffix not in (".csv", ".tsv", ".parquet"):
            raise InputError(f"output: expected a path that ends in .csv, .tsv or .parquet, got {output!r}.")
        self.unusable = 0
        self._batches: list[Values] = []
        self._folder: Path | None = None

    def expect(self, rows: PredictionRows, columns: PredictionColumns, progress: bool) -> None:
        """Say what will be predicted.

        Args:
            rows: The rows of this process.
            columns: What to write beside them.
            progress: Whether to show it.

        Raises:
            InputError: If the table has a column of ours.
        """
        clash = sorted(set(rows.table.columns) & set(columns.names))
        if clash:
            raise InputError(f"data.source: the table already has a column {clash[0]!r}; rename it.")
        self._rows, self._columns, self._progress = rows, columns, progress

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Share out the rows, which Lightning reads before prediction starts, and make the folder for the chunks."""
        from tqdm import tqdm

        name = f".{self.output.name}.{uuid.uuid4().hex}.parts"
        self._folder = self.output.parent / trainer.strategy.broadcast(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._rows.share(trainer.global_rank, trainer.world_size)
        shown = self._progress and trainer.is_global_zero
        # None: no bar where there is no terminal.
        self._bar = tqdm(
            total=-(-self._rows.table.rows // trainer.world_size),
            desc="Predicting",
            unit=" rows",
            delay=1,
            leave=False,
            disable=None if shown else True,
        )

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare embeddings where the model computes them."""
        self._columns.move_to(pl_module.device)

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was predicted, and write the chunks that are complete."""
        values = self._columns.values(outputs)
        self._write_complete(int(values["rows"][0]))
        self._batches.append(values)
        self._bar.update(len(values["rows"]))

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the last chunks."""
        self._bar.close()
        self._write_complete(None)

    def join(self, trainer: lightning.Trainer) -> None:
        """Join the chunks of all processes into one file, from the first; all processes must call it.

        Args:
            trainer: It has just predicted.

        Raises:
            InputError: If chunks are missing, because prediction was limited or a process has another disk.
        """
        assert self._folder is not None
        if not self._rows.ended:
            raise InputError("trainer.limit_predict_batches: predict writes every row; expected no limit.")
        (self._folder / f"{trainer.global_rank}.unusable").write_text(str(self.unusable))
        trainer.strategy.barrier("prediction chunks")
        if trainer.is_global_zero:
            self.unusable = sum(int(path.read_text()) for path in self._folder.glob("*.unusable"))
            if len(list(self._folder.glob("*.unusable"))) < trainer.world_size:
                raise InputError(f"output: the processes do not share the folder {self.output.parent.absolute()}.")
            parts = sorted(self._folder.glob("*.part"))
            join = _join_parquet if self.output.suffix == ".parquet" else _join_text
            write_file(self.output, lambda path: join(parts, path))

    def remove_chunks(self, trainer: lightning.Trainer) -> None:
        """Remove the chunks, from the first process, which is the one that reads them."""
        if self._folder is not None and trainer.is_global_zero:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write_complete(self, next_row: int | None) -> None:
        """Write the chunks that end before a row, or all that were begun."""
        begun = self._rows.begun
        while begun and (next_row is None or begun[0].first_row + len(begun[0].featured.reasons) <= next_row):
            chunk = begun.popleft()
            frame = self._columns.frame(chunk, self._batches)
            self._batches = []
            unusable = len(frame) - len(usable_rows(chunk))
            self.unusable += unusable
            self._bar.update(unusable)
            assert self._folder is not None
            path = self._folder / f"{chunk.first_row:015}.part"
            if self.output.suffix == ".parquet":
                frame.write_parquet(path)
            else:
                unwritable = frame.select(selectors.nested() | selectors.binary()).columns
                if unwritable:
                    raise InputError(
                        f"output: the table's column {unwritable[0]!r} holds lists, structures or bytes, which "
                        f"{self.output.suffix} cannot hold; give a path that ends in .parquet."
                    )
                separator = "\t" if self.output.suffix == ".tsv" else ","
                frame.write_csv(path, separator=separator, include_header=chunk.first_row == 0)


def _join_text(parts: list[Path], path: Path) -> None:
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)


def _join_parquet(parts: list[Path], path: Path) -> None:
    polars.scan_parquet(parts, glob=False, hive_partitioning=False).sink_parquet(path)
