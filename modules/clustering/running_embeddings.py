"""Embeddings collected during training, for reclustering without a pass over the training set."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from modules.processes import sum_over_processes
from modules.unit_embeddings import unit_embeddings


class RunningEmbeddings:
    """Latest unit embedding of each training sample, in half precision.

    Each process stores the embeddings it computes; `collect` merges them.
    """

    def __init__(self, rows: NDArray[Any], width: int, device: torch.device) -> None:
        """Create a store without embeddings.

        Args:
            rows: Ascending indices of the training samples to store, integers (S,).
            width: Size d of an embedding.
            device: Device of the store.
        """
        self._rows = torch.from_numpy(rows).to(device)
        self._known = torch.zeros(len(rows), dtype=torch.bool, device=device)
        # The last row takes what is not stored, since leaving it out would wait for a GPU.
        self._seen = torch.zeros(len(rows) + 1, dtype=torch.bool, device=device)
        self._embeddings = torch.zeros(len(rows) + 1, width, dtype=torch.float16, device=device)

    def update(self, sample_index: Tensor, embeddings: Tensor) -> None:
        """Store the embeddings of a batch; samples that are not among the rows are ignored.

        Args:
            sample_index: Index of each sample in the training split, int64 (B,).
            embeddings: Embeddings, (B, d).
        """
        places = torch.searchsorted(self._rows, sample_index).clamp(max=len(self._rows) - 1)
        places = places.where(self._rows[places] == sample_index, len(self._rows))
        self._embeddings[places] = unit_embeddings(embeddings).half()
        self._seen[places] = True

    def collect(self) -> Tensor | None:
        """Merge the embeddings of all processes, which must all call this method.

        Returns:
            Unit embeddings in the order of the rows, fp32 (S, d); None until all rows have been seen.
        """
        self._known, self._embeddings[:-1] = self._merged()
        self._seen.zero_()
        return self._embeddings[:-1].float() if bool(self._known.all()) else None

    def fill(self, embeddings: Tensor) -> None:
        """Store the embeddings of all rows.

        Args:
            embeddings: Embeddings in the order of the rows, (S, d), equal on all processes.
        """
        self._embeddings[:-1] = unit_embeddings(embeddings).half()
        self._known.fill_(True)
        self._seen.zero_()

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Rows seen on any process, bool (S,), and their embeddings; the mean for rows seen on several processes."""
        seen, embeddings = self._seen[:-1], self._embeddings[:-1]
        times = sum_over_processes(seen.float()).unsqueeze(1)
        mean = sum_over_processes(torch.where(seen.unsqueeze(1), embeddings.float(), 0.0)) / times.clamp(min=1)
        return self._known | (times.squeeze(1) > 0), torch.where(times > 0, mean.half(), embeddings)

    def state_dict(self) -> dict[str, Any]:
        """Merged state of all processes, which must all call this method, for the checkpoint."""
        known, embeddings = self._merged()
        return {"known": known, "embeddings": embeddings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self._known.copy_(state_dict["known"])
        self._embeddings[:-1] = state_dict["embeddings"]
