"""The embeddings that training computed last, kept for reclustering without a pass over the training set."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from modules.processes import sum_over_processes
from modules.unit_embeddings import unit_embeddings


class RunningEmbeddings:
    """The unit embeddings that training computed last, in half precision.

    Each process keeps what it saw; `collect` brings them together.
    """

    def __init__(self, rows: NDArray[Any], width: int, device: torch.device) -> None:
        """Start with none.

        Args:
            rows: Training samples to keep, ascending.
            width: Size of an embedding.
            device: Where to keep them.
        """
        self._rows = torch.from_numpy(rows).to(device)
        self._known = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._seen = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._embeddings = torch.zeros(len(rows), width, dtype=torch.float16, device=device)

    def keep(self, sample_index: Tensor, embeddings: Tensor) -> None:
        """Take a batch's embeddings, as far as its samples are among the rows.

        Args:
            sample_index: int64 (B,).
            embeddings: (B, d).
        """
        places = torch.searchsorted(self._rows, sample_index).clamp(max=len(self._rows) - 1)
        kept = self._rows[places] == sample_index
        places = places[kept]
        self._embeddings[places] = unit_embeddings(embeddings[kept]).half()
        self._seen[places] = True

    def collect(self) -> Tensor | None:
        """Bring the processes' embeddings together; all of them must call it.

        Returns:
            fp32 (S, d) in the order of the rows, or None as long as some were never seen.
        """
        self._known, self._embeddings = self._merged()
        self._seen.zero_()
        return self._embeddings.float() if bool(self._known.all()) else None

    def fill(self, embeddings: Tensor) -> None:
        """Take the embeddings of all rows at once.

        Args:
            embeddings: (S, d) in the order of the rows, the same on all processes.
        """
        self._embeddings = unit_embeddings(embeddings).half()
        self._known.fill_(True)
        self._seen.zero_()

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Which rows were seen so far on any process, and their embeddings; of rows seen on several, the mean."""
        times = sum_over_processes(self._seen.float()).unsqueeze(1)
        seen = torch.where(self._seen.unsqueeze(1), self._embeddings.float(), 0.0)
        mean = sum_over_processes(seen) / times.clamp(min=1)
        return self._known | (times.squeeze(1) > 0), torch.where(times > 0, mean.half(), self._embeddings)

    def state_dict(self) -> dict[str, Any]:
        """What was seen on any process, for the checkpoint; all of them must call it."""
        known, embeddings = self._merged()
        return {"known": known, "embeddings": embeddings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was seen before a run was resumed."""
        self._known.copy_(state_dict["known"])
        self._embeddings.copy_(state_dict["embeddings"])
