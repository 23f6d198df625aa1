"""The base of the subcommands that read a table and write a file beside its rows: predict and embed."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from base.errors import InputError, is_disk_full
from base.ranges import check_whole
from callbacks.prediction_writer import PredictionWriter, RowColumns
from datamodules.prediction_rows import CHUNK_ROWS
from modules.checkpoint_file import checkpoint_to_predict_with
from workflows.drug_cli import DrugCLI
from workflows.settings.command_help import COMPUTING, Option
from workflows.settings.command_line import split_command_line
from workflows.settings.layers import CommandSettings


class TableCLI(DrugCLI):
    """Settings and trainer of a subcommand that writes something for each row of a table.

    Attributes:
        writer: Writes the file; None if the subcommand writes none.
    """

    unused_settings: Mapping[str, tuple[str, ...]] = {
        **DrugCLI.unused_settings,
        # Of the columns of the training table, only those of SMILES and sequences are columns of the new one, which is
        # not split.
        "data": ("sampling", "split", "id_column", "split_column", "label_column"),
    }
    uses_run_folder = False
    common_settings: Mapping[str, Mapping[str, str]] = {
        "Computing": {**COMPUTING, "chunk_rows": "rows in memory at a time, about"}
    }
    writer: PredictionWriter | None = None

    def own_options(self) -> dict[str, Option]:
        """See `DrugCLI.own_options`."""
        return {"chunk_rows": Option(int, CHUNK_ROWS, "Approximate number of rows in memory at a time.")}

    def read_settings(self, arguments: list[str]) -> CommandSettings:
        """See `DrugCLI`; of a run, the checkpoint of its refit is taken, or else the best one."""
        given = split_command_line(arguments).value("ckpt_path")
        if given is not None and Path(given).is_dir():
            arguments = [*arguments, f"--ckpt_path={checkpoint_to_predict_with(Path(given))}"]
        return super().read_settings(arguments)

    def before_instantiate_classes(self) -> None:
        """Check that there is a table, and that the output can be written.

        Raises:
            InputError: If there is none but that of training, or the output cannot be written.
        """
        if self.config.output is not None:
            if self.settings.is_saved("data.source"):
                raise InputError("data.source: expected a table of new samples, got none.")
            check_output(Path(self.config.output), (self.config.data.source, self.config.ckpt_path))
        super().before_instantiate_classes()

    def check_numbers(self) -> None:
        """See `DrugCLI.check_numbers`."""
        super().check_numbers()
        check_whole("chunk_rows", self.config.chunk_rows, 1)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer without a progress bar, since the writer shows the progress."""
        return super().instantiate_trainer(**kwargs, enable_progress_bar=False)

    def write(self, columns: RowColumns, quiet: bool) -> None:
        """Infer all rows and write the file; the model must be built.

        Args:
            columns: What is written.
            quiet: Whether to show no progress.

        Raises:
            InputError: If the table cannot be read, or the file cannot be written.
        """
        assert self.writer is not None
        self.writer.expect(columns, self.config.trainer.enable_progress_bar is not False and not quiet)
        self.datamodule.chunk_rows = self.config.chunk_rows
        with _EndedBySigterm(self.trainer):
            try:
                self.trainer.predict(
                    self.model,
                    datamodule=self.datamodule,
                    return_predictions=False,
                    ckpt_path=self.checkpoint,
                    weights_only=True,
                )
                self.writer.join(self.trainer)
            finally:
                self.writer.remove_chunks(self.trainer)


class _EndedBySigterm(Callback):
    """A context in which SIGTERM ends the process as an error would, with the usual exit status, 143."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        trainer.callbacks.append(self)  # type: ignore[attr-defined]

    def __enter__(self) -> None:
        """Take over the signal."""
        self._before = signal.signal(signal.SIGTERM, self._end)

    def __exit__(self, *error: object) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGTERM, self._before)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's handler, which notes the signal for loops of training and waits for other processes."""
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        launcher = self._trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGKILL)
        # Otherwise the chunks that they featurize would be waited for.
        for worker in multiprocessing.active_children():
            worker.terminate()
        sys.exit(128 + number)


def check_output(output: Path, others: Sequence[str | None], setting: str = "output") -> None:
    """Make the folder of the output and check that a file can be written there, before hours of prediction.

    Args:
        output: The file to write.
        others: Files that it must not replace, if they are given.
        setting: The setting, for messages.

    Raises:
        InputError: If it is a folder or one of the others, or cannot be written.
    """
    if output.is_dir():
        raise InputError(f"{setting}: expected a file, got {output}, which is a folder.")
    if any(output.resolve() == Path(name).resolve() for name in others if name is not None):
        raise InputError(f"{setting}: expected a new file, got {output}, which is another file of this command.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        if is_disk_full(error):
            raise
        raise InputError(f"{setting}: expected a folder that can be written, got {output.parent} ({error}).") from error
