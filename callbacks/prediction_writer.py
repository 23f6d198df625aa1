"""Predictions beside the rows they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import lightning
import numpy
import polars
import torch

from datamodules.atomic_file import write_file
from datamodules.drug_datamodule import DrugDataModule
from datamodules.input_error import InputError
from modules.drug_classifier import DrugClassifier

Share = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Rows of a table, (B,), their class probabilities, (B, C), and how unsure these are, (B,) or None."""


class PredictionWriter(lightning.Callback):
    """Writes every row of the table in its order, with `predicted_label`, `probability`, `p/<class>` and `reason`.

    A model whose loss can say how unsure it is adds a column `uncertainty`, in 0..1.
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
        self._shares: list[Share] = []

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Check that no column would be overwritten, before any work is done.

        Raises:
            InputError: If the table has a column of ours.
        """
        given = set(cast(DrugDataModule, trainer.datamodule).table.table.frame.columns)  # type: ignore[attr-defined]
        clash = sorted(given & set(self._columns(pl_module)))
        if clash:
            raise InputError(f"data.source: the table already has a column {clash[0]!r}; rename it.")

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the probabilities of a batch."""
        index, probabilities, uncertainty = outputs
        self._shares.append((index.cpu(), probabilities.cpu(), None if uncertainty is None else uncertainty.cpu()))

    def write(self, trainer: lightning.Trainer, model: DrugClassifier) -> None:
        """Gather the rows of all processes and write the file from the first; also where no row could be used.

        Args:
            trainer: It has just predicted.
            model: What it predicted with.
        """
        shares = self._shares
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, self._shares)
            shares = [share for of_process in gathered for share in of_process]
        if trainer.is_global_zero:
            self._write(cast(DrugDataModule, trainer.datamodule), model, shares)  # type: ignore[attr-defined]

    def _columns(self, model: lightning.LightningModule) -> list[str]:
        task = cast(DrugClassifier, model).task
        assert task is not None
        return ["predicted_label", "probability", *(f"p/{name}" for name in task.classes), "uncertainty", "reason"]

    def _write(self, data: DrugDataModule, model: DrugClassifier, shares: list[Share]) -> None:
        assert model.task is not None
        featured = data.table
        classes = model.task.classes
        probabilities = numpy.full((len(featured.reasons), len(classes)), numpy.nan, dtype=numpy.float32)
        uncertainties = numpy.full(len(probabilities), numpy.nan, dtype=numpy.float32)
        for index, share, unsure in shares:
            probabilities[index.numpy()] = share.numpy()
            if unsure is not None:
                uncertainties[index.numpy()] = unsure.numpy()
        usable = ~numpy.isnan(probabilities).any(axis=1)
        best = numpy.where(usable, numpy.nan_to_num(probabilities).argmax(axis=1), -1).tolist()
        values = {
            "predicted_label": polars.Series([classes[code] if code >= 0 else None for code in best]),
            "probability": polars.Series(probabilities.max(axis=1)),
            **{f"p/{name}": polars.Series(probabilities[:, code]) for code, name in enumerate(classes)},
        }
        if not numpy.isnan(uncertainties).all():
            values["uncertainty"] = polars.Series(uncertainties)
        # NaN marks rows without a prediction here; in the file they are empty.
        columns = [series.fill_nan(None) if series.dtype.is_float() else series for series in values.values()]
        frame = featured.table.frame.with_columns(
            *(series.alias(name) for name, series in zip(values, columns, strict=True)),
            featured.reasons.alias("reason"),
        )
        if self.output.suffix == ".parquet":
            write_file(self.output, frame.write_parquet)
        else:
            separator = "\t" if self.output.suffix == ".tsv" else ","
            write_file(self.output, lambda path: frame.write_csv(path, separator=separator))
