"""Embeddings of the rows of a table, as one column."""

from __future__ import annotations

from collections.abc import Iterable

import numpy
import polars

from datamodules.batch import Batch
from datamodules.prediction_rows import FeaturedChunk
from modules.evaluation.prediction import Prediction, Values

_NOT_FINITE = "the model's embedding of this sample is NaN or infinite"


class EmbeddingColumns:
    """The columns that name a row, `embedding` as a list of d float32 numbers, and `reason`.

    A row is named by the id and by the SMILES and the sequence of its sample, as far as the table has them; a row of
    arrays by its number if it has no id.
    """

    def __init__(self, width: int) -> None:
        """Create the columns.

        Args:
            width: Size d of embeddings.
        """
        self._width = width

    def check_names(self, given: Iterable[str]) -> None:
        """Nothing to check, since the other columns of the table are not written."""

    def values(self, batch: Batch, prediction: Prediction) -> Values:
        """Convert the predictions for a batch to arrays on the CPU.

        Args:
            batch: The batch.
            prediction: Predictions for the batch.
        """
        embeddings = prediction.embeddings.float()
        rows, finite = prediction.sample_index, embeddings.isfinite().all(dim=1)
        return {"rows": rows.cpu().numpy(), "embeddings": embeddings.cpu().numpy(), "finite": finite.cpu().numpy()}

    def frame(self, chunk: FeaturedChunk, batches: Iterable[Values]) -> polars.DataFrame:
        """The names of the rows of a chunk with their embeddings, null where a row cannot be used.

        Args:
            chunk: Rows of the table.
            batches: `values` of the batches of the chunk; those of other chunks are ignored.
        """
        table, reasons = chunk.featured.table, chunk.featured.reasons
        embeddings = numpy.full((len(reasons), self._width), numpy.nan, dtype=numpy.float32)
        for batch in batches:
            rows = batch["rows"] - chunk.first_row
            if 0 <= int(rows[0]) < len(reasons):
                embeddings[rows[batch["finite"]]] = batch["embeddings"][batch["finite"]]
                reasons = reasons.scatter(rows[~batch["finite"]], _NOT_FINITE)
        columns = table.columns
        named = [name for name in (columns.id, *columns.smiles, columns.sequence) if name is not None]
        known = polars.Series("embedding", embeddings, dtype=polars.Array(polars.Float32, self._width))
        return table.frame.select(list(dict.fromkeys(named or ["row"]))).with_columns(
            known.zip_with(reasons.is_null(), polars.Series("embedding", [None], dtype=known.dtype)),
            reasons.alias("reason"),
        )
