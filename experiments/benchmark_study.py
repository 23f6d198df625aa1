"""Who runs which cell: workers on one or many machines share an Optuna study."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from base.atomic_file import write_csv
from experiments.benchmark_plan import BenchmarkPlan, Cell
from experiments.benchmark_run import HEARTBEAT_SECONDS, CellFailedError, run_cell
from experiments.study_storage import open_storage, opening

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

IDENTITY = ("data", "encoder", "method", "split_seed", "seed")
_WAIT_SECONDS = 2.0
_GRACE_SECONDS = 6 * HEARTBEAT_SECONDS


class BenchmarkStudy:
    """The cells of a plan as trials of an Optuna study.

    A worker claims a cell by adding a running trial that names it; of several trials of one cell that with the lowest
    number counts, since a database numbers them one after the other. A claim whose worker has sent no sign of life for
    half a minute is free again, and so is a cell whose settings files have changed. A cell that failed is left, with
    its error.
    """

    def __init__(
        self, plan: BenchmarkPlan, folder: Path, storage: str | None = None, retry_failed: bool = False
    ) -> None:
        """Open or make the study, and take over finished cells from `cells.csv` in the folder.

        Args:
            plan: What to run.
            folder: For the runs, the study and `cells.csv`.
            storage: Address of an RDB as SQLAlchemy writes it; `study.db` in the folder if None.
            retry_failed: Whether cells that failed before now are run again.

        Raises:
            InputError: If the database cannot be used.
        """
        import optuna

        self.plan, self.folder = plan, folder
        self._settings = {cell.arguments: cell.settings for cell in plan.cells}
        self._retried_before = datetime.now() if retry_failed else datetime.min
        address = storage or f"sqlite:///{(folder / 'study.db').resolve()}"
        with opening(folder):
            self.storage = open_storage(address, HEARTBEAT_SECONDS, _GRACE_SECONDS)
            self.study = optuna.create_study(
                study_name=plan.name, storage=self.storage, load_if_exists=True, direction="maximize"
            )
            self._import(folder / "cells.csv")

    def work(self, on_cell: Callable[[Cell, str], None] | None = None) -> None:
        """Run free cells until none is left, and wait for those that other workers run.

        Args:
            on_cell: Called with each cell that was run here, and its error, empty if there was none.
        """
        while True:
            states = self.states()
            free = [cell for cell in self.plan.cells if states[cell.arguments] == "free"]
            if not free and "running" not in states.values():
                return
            if not free:
                time.sleep(_WAIT_SECONDS)
            elif (claim := self._claim(free[0])) is not None:
                error = self._run(free[0], claim)
                self.export()
                if on_cell is not None:
                    on_cell(free[0], error)

    def states(self) -> dict[str, str]:
        """`free`, `running`, `complete` or `failed`, by the arguments of each cell of the plan."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        found = dict.fromkeys((cell.arguments for cell in self.plan.cells), "free")
        for trial in self._trials():
            if found[trial.user_attrs["cell"]] in ("free", "failed") and self._state(trial) != "free":
                found[trial.user_attrs["cell"]] = self._state(trial)
        return found

    def frame(self) -> polars.DataFrame:
        """One row for each finished cell of the plan, in its order; see `run_cell` for the columns."""
        records: dict[str, dict[str, Any]] = {}
        for trial in self._trials():
            known = records.get(trial.user_attrs["cell"])
            if "error" in trial.user_attrs or "metrics" in trial.user_attrs:
                records[trial.user_attrs["cell"]] = known if known and "metrics" in known else trial.user_attrs
        rows = [
            {
                **{name: getattr(cell, name) for name in IDENTITY},
                "state": "complete" if "metrics" in record else "failed",
                "error": record.get("error"),
                **record.get("metrics", {}),
                "settings": record.get("settings"),
                "arguments": cell.arguments,
            }
            for cell in self.plan.cells
            if (record := records.get(cell.arguments)) is not None
        ]
        return polars.DataFrame(rows, infer_schema_length=None)

    def export(self) -> None:
        """Write `cells.csv`, from which a study on another machine goes on.

        Rows of cells that the plan does not have, as after a data set was taken out of it, are kept below the others.
        """
        frame, path = self.frame(), self.folder / "cells.csv"
        if frame.is_empty():
            return
        if path.is_file():
            known = polars.read_csv(path, infer_schema_length=None)
            others = known.filter(~polars.col("arguments").is_in([cell.arguments for cell in self.plan.cells]))
            frame = polars.concat([frame, others], how="diagonal_relaxed")
        write_csv(frame, path)

    def _trials(self) -> list[FrozenTrial]:
        """Those of the plan's cells, with the settings of today as far as one knows."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.user_attrs["cell"] in self._settings
            and trial.user_attrs.get("settings") in (None, self._settings[trial.user_attrs["cell"]])
        ]

    def _state(self, trial: FrozenTrial) -> str:
        from optuna.trial import TrialState

        if trial.state == TrialState.FAIL and "error" in trial.user_attrs:
            retried = trial.datetime_complete is not None and trial.datetime_complete < self._retried_before
            return "free" if retried else "failed"
        if trial.state == TrialState.RUNNING and "alive" not in trial.user_attrs:
            # Its worker ended before the first sign of life, of which Optuna never despairs.
            age = datetime.now() - (trial.datetime_start or datetime.min)
            return "free" if age.total_seconds() > _GRACE_SECONDS else "running"
        return {TrialState.RUNNING: "running", TrialState.COMPLETE: "complete"}.get(trial.state, "free")

    def _claim(self, cell: Cell) -> int | None:
        """The number of the trial that claims a cell, or None where another worker was faster."""
        from optuna.trial import TrialState, create_trial

        claim = create_trial(state=TrialState.RUNNING, user_attrs={"cell": cell.arguments, "settings": cell.settings})
        trial_id = self.storage.create_new_trial(self.study._study_id, claim)
        self.storage.record_heartbeat(trial_id)
        self.storage.set_trial_user_attr(trial_id, "alive", True)
        own = self.storage.get_trial(trial_id).number
        rivals = [trial for trial in self._trials() if trial.user_attrs["cell"] == cell.arguments]
        if any(trial.number < own and self._state(trial) != "free" for trial in rivals):
            self.storage.set_trial_state_values(trial_id, TrialState.PRUNED)
            return None
        for rival in rivals:
            shutil.rmtree(self._run_folder(cell, rival.number), ignore_errors=True)
        return own

    def _run(self, cell: Cell, number: int) -> str:
        """Run a claimed cell and record its metrics or its error, which is returned."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)
        run, beat = self._run_folder(cell, number), partial(self.storage.record_heartbeat, trial_id)
        try:
            try:
                metrics = run_cell(cell, run, beat)
            except CellFailedError as error:
                self.storage.set_trial_user_attr(trial_id, "error", str(error))
                self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
                return str(error)
            except BaseException:
                with suppress(UpdateFinishedTrialError):
                    self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
                raise
            self.storage.set_trial_user_attr(trial_id, "metrics", metrics)
            self.storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [metrics["balanced_accuracy"]])
        except UpdateFinishedTrialError:
            return f"no sign of life for {_GRACE_SECONDS} s, as after a suspend; the cell was given to another worker"
        return ""

    def _run_folder(self, cell: Cell, number: int) -> Path:
        """Of one attempt, since a worker that was taken for dead may still be writing."""
        return self.folder / "runs" / f"{cell.folder}{number}"

    def _import(self, path: Path) -> None:
        """Add the complete cells of a file that the study does not know."""
        from optuna.trial import create_trial

        if not path.is_file():
            return
        states = self.states()
        columns = {*IDENTITY, "state", "error", "settings", "arguments"}
        for row in polars.read_csv(path, infer_schema_length=None).iter_rows(named=True):
            if row.get("settings") not in (None, self._settings.get(row["arguments"])):
                continue
            if row["state"] == "complete" and states.get(row["arguments"]) in ("free", "failed"):
                metrics = {name: value for name, value in row.items() if name not in columns}
                attributes = {"cell": row["arguments"], "settings": row.get("settings"), "metrics": metrics}
                self.study.add_trial(create_trial(value=metrics["balanced_accuracy"], user_attrs=attributes))
