"""Training from Python, with the settings of the command."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from base.atomic_file import write_file
from datamodules.feature_cache import default_cache_folder
from tailmol.frames import Frame, is_frame, to_polars
from tailmol.model import Model, load

Setting: TypeAlias = "str | int | float | bool | Path | Sequence[Setting] | Mapping[str, Setting] | None"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: The folder of the run, with its report, metrics and checkpoints.
        checkpoint: The checkpoint with the best validation metric.
        metrics: Metrics on the test split, such as `test/balanced_accuracy`; None where a metric does not exist.
        final_checkpoint: The checkpoint of the refit, which was not tested; None without `refit`.
    """

    folder: Path
    checkpoint: Path
    metrics: dict[str, float | None]
    final_checkpoint: Path | None = None

    def load(self, trust: str | Sequence[str] = ()) -> Model:
        """The trained model, which is that of the refit if there is one.

        Args:
            trust: Modules with classes of yours in the model, such as `my_encoders`.
        """
        return load(self.final_checkpoint or self.checkpoint, trust=trust)


def fit(
    data: Frame | str | Path, settings: Mapping[str, Setting] | None = None, configs: Sequence[str | Path] = ()
) -> Run:
    """Train, test the best checkpoint and write the report, as `lightning fit` does.

    Args:
        data: The name of a known data set, the path of a table or an .npz file, or a polars or pandas data frame. A
            frame is stored in the cache folder, so that the run can be resumed and reported on.
        settings: Settings by the names that the command has, such as `{"trainer.max_epochs": 5}`.
        configs: YAML files, yours or shipped, such as `method/paper.yaml`; `settings` override them.

    Raises:
        InputError: If a setting, a file or the table cannot be used.
    """
    from workflows.fit import fit as run_fit

    frame = {"data.source": _stored(data), "run.name": "frame"} if is_frame(data) else {"data.source": str(data)}
    given: dict[str, Setting] = {**frame, **(settings or {})}
    options = [f"--{name}={_text(value)}" for name, value in given.items()]
    result = run_fit(options, configs, command="tailmol")
    return Run(result.folder, result.best_checkpoint, result.metrics, result.final_checkpoint)


def _stored(frame: Frame) -> str:
    """The path of a Parquet file with the frame, named by its content."""
    content = io.BytesIO()
    to_polars(frame).write_parquet(content)
    path = default_cache_folder() / "frames" / f"{hashlib.sha256(content.getvalue()).hexdigest()[:16]}.parquet"
    if not path.is_file():
        write_file(path, lambda temporary: temporary.write_bytes(content.getvalue()))
    return str(path)


def _text(value: Setting) -> str:
    """The value as the command line has it."""
    if isinstance(value, str | Path):
        return str(value)
    return json.dumps(value)
