"""Tables of results, read as they were written."""

from __future__ import annotations

from pathlib import Path

import polars
import pytest

from experiments.benchmark_results import read_results


@pytest.mark.parametrize("digest", ["012345678901", "1234e5678901", "0123456789ab"])
def test_text_that_looks_like_a_number_stays_text(tmp_path: Path, digest: str) -> None:
    texts = {"data": "2020", "encoder": "default", "method": "1e3", "settings": digest, "arguments": "--seed 0"}
    frame = polars.DataFrame({**{name: [text] for name, text in texts.items()}, "split_seed": [0], "accuracy": [0.5]})
    frame.write_csv(tmp_path / "cells.csv")
    assert read_results(tmp_path / "cells.csv").equals(frame)
