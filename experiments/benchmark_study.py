"""The queue of a benchmark: workers on one or more machines share the cells through an Optuna study."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars

from base.atomic_file import write_csv
from experiments.benchmark_plan import BenchmarkPlan, Cell
from experiments.benchmark_results import read_results
from experiments.benchmark_run import HEARTBEAT_SECONDS, CellFailedError, RunCell
from experiments.study_storage import open_storage, opening

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

IDENTITY = ("data", "encoder", "method", "split_seed", "seed")
_WAIT_SECONDS = 2.0
_GRACE_SECONDS = 6 * HEARTBEAT_SECONDS


class BenchmarkStudy:
    """The cells of a plan as enqueued trials of an Optuna study.

    Optuna's queue hands each trial to one worker, and its heartbeat fails the trial of a worker that has died. A cell
    without a trial that is waiting, running or finished is enqueued, by whichever worker notices first: at the start,
    after its worker died or was interrupted, and after its settings files changed. Should workers with separate
    folders enqueue a cell twice, the second trial is pruned. A cell that failed keeps its error.
    """

    def __init__(
        self,
        plan: BenchmarkPlan,
        folder: Path,
        storage: str | None = None,
        retry_failed: bool = False,
    ) -> None:
        """Open or create the study, and import finished cells from `cells.csv` in the folder.

        Args:
            plan: The cells.
            folder: Folder of the runs, the study and `cells.csv`.
            storage: Database URL as SQLAlchemy takes it; `study.db` in the folder if None.
            retry_failed: Whether cells that have failed before are run again.

        Raises:
            InputError: If the database cannot be used.
        """
        import optuna

        self.plan, self.folder = plan, folder
        self._cells = {cell.arguments: cell for cell in plan.cells}
        self._retried_before = datetime.now() if retry_failed else datetime.min
        url = storage or f"sqlite:///{(folder / 'study.db').resolve()}"
        with opening(folder):
            self._storage = open_storage(url, HEARTBEAT_SECONDS, _GRACE_SECONDS)
            self._study = optuna.create_study(
                study_name=plan.name, storage=self._storage, load_if_exists=True, direction="maximize"
            )
            self._import(folder / "cells.csv")

    def work(self, run_cell: RunCell, on_cell: Callable[[Cell, str], None] | None = None) -> None:
        """Run waiting cells until none is left, and wait for those that other workers run.

        Args:
            run_cell: Runs a cell.
            on_cell: Called with each cell that was run here and its error, which is empty on success.
        """
        while True:
            self._enqueue_missing()
            states = self.states().values()
            if "waiting" in states:
                if (claim := self._claim()) is not None:
                    cell, trial = claim
                    error = self._run(run_cell, cell, trial)
                    self.export()
                    if on_cell is not None:
                        on_cell(cell, error)
            elif "running" in states:
                time.sleep(_WAIT_SECONDS)
            else:
                return

    def states(self) -> dict[str, str]:
        """The state of each cell by its arguments: `waiting`, `running`, `complete` or `failed`."""
        return {arguments: self._state(trials) or "waiting" for arguments, trials in self._trials().items()}

    def frame(self) -> polars.DataFrame:
        """One row for each finished cell in the order of the plan; see `CellProcess` for the columns."""
        from optuna.trial import TrialState

        found = self._trials()
        rows = []
        for cell in self.plan.cells:
            complete = [trial for trial in found[cell.arguments] if trial.state == TrialState.COMPLETE]
            failed = [trial for trial in found[cell.arguments] if "error" in trial.user_attrs]
            if not complete and not failed:
                continue
            record = complete[0].user_attrs if complete else failed[-1].user_attrs
            rows.append(
                {
                    **{name: getattr(cell, name) for name in IDENTITY},
                    "state": "complete" if complete else "failed",
                    "error": record.get("error"),
                    **record.get("metrics", {}),
                    "settings": record.get("settings"),
                    "arguments": cell.arguments,
                }
            )
        return polars.DataFrame(rows, infer_schema_length=None)

    def export(self) -> None:
        """Write `cells.csv`, from which a study on another machine can go on.

        Rows of cells that are not in the plan, for example after a data set was removed, are kept at the end.
        """
        frame, path = self.frame(), self.folder / "cells.csv"
        if frame.is_empty():
            return
        if path.is_file():
            known = read_results(path)
            others = known.filter(~polars.col("arguments").is_in(list(self._cells)))
            frame = polars.concat([frame, others], how="diagonal_relaxed")
        write_csv(frame, path)

    def _trials(self) -> dict[str, list[FrozenTrial]]:
        """The trials of each cell with its current settings, in order, after failing those of dead workers."""
        self._fail_stale()
        found: dict[str, list[FrozenTrial]] = {arguments: [] for arguments in self._cells}
        for trial in self._study.get_trials(deepcopy=False):
            if (cell := self._cell_of(trial)) is not None:
                found[cell.arguments].append(trial)
        return found

    def _cell_of(self, trial: FrozenTrial | Trial) -> Cell | None:
        """The cell of the plan that a trial runs, or None if the plan or the settings have changed."""
        cell = self._cells.get(trial.user_attrs.get("cell", ""))
        known = cell is not None and trial.user_attrs.get("settings") in (None, cell.settings)
        return cell if known else None

    def _state(self, trials: Sequence[FrozenTrial]) -> str | None:
        """The state of a cell from its trials; None if it has to be enqueued."""
        from optuna.trial import TrialState

        states = {trial.state for trial in trials}
        for state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING):
            if state in states:
                return state.name.lower()
        failed = [trial.datetime_complete or datetime.max for trial in trials if "error" in trial.user_attrs]
        return "failed" if failed and max(failed) >= self._retried_before else None

    def _fail_stale(self) -> None:
        """Fail the running trials whose worker has died."""
        import optuna
        from optuna.trial import TrialState

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        # Optuna never fails a trial whose worker died before the first heartbeat.
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            age = datetime.now() - (trial.datetime_start or datetime.min)
            if "alive" not in trial.user_attrs and age.total_seconds() > _GRACE_SECONDS:
                # Another worker may do the same.
                with suppress(optuna.exceptions.UpdateFinishedTrialError):
                    self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _enqueue_missing(self) -> None:
        """Enqueue the cells that nobody has enqueued; workers that share the folder take turns."""
        if None not in map(self._state, self._trials().values()):
            return
        with opening(self.folder):
            for arguments, trials in self._trials().items():
                if self._state(trials) is None:
                    attributes = {"cell": arguments, "settings": self._cells[arguments].settings}
                    self._study.enqueue_trial({}, user_attrs=attributes)

    def _claim(self) -> tuple[Cell, Trial] | None:
        """Take the next trial of the queue; None if there is nothing to run in it."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        # SQLite locks no rows, so that two workers could take the same trial.
        with opening(self.folder), warnings.catch_warnings():
            # Optuna notes that a trial taken by `ask` has no heartbeat; `_beat` sends it.
            warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
            trial = self._study.ask()
        try:
            self._beat(trial)
            trial.set_user_attr("alive", True)
        except UpdateFinishedTrialError:
            # Failed by another worker, as after a suspend.
            return None
        cell = self._cell_of(trial)
        # An empty queue yields a new trial without a cell.
        rivals = [] if cell is None else [one for one in self._trials()[cell.arguments] if one.number != trial.number]
        earlier = [rival for rival in rivals if rival.number < trial.number or rival.state == TrialState.COMPLETE]
        if cell is None or self._state(earlier) in ("complete", "running", "waiting"):
            self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            return None
        for rival in rivals:
            shutil.rmtree(self._run_folder(cell, rival.number), ignore_errors=True)
        return cell, trial

    def _run(self, run_cell: RunCell, cell: Cell, trial: Trial) -> str:
        """Run a claimed cell and record its metrics or its error, which is returned."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            try:
                metrics = run_cell(cell, self._run_folder(cell, trial.number), lambda: self._beat(trial))
            except CellFailedError as error:
                trial.set_user_attr("error", str(error))
                self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                return str(error)
            except BaseException:
                with suppress(UpdateFinishedTrialError):
                    self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                raise
            trial.set_user_attr("metrics", metrics)
            told = self._study.tell(trial, metrics["balanced_accuracy"], skip_if_finished=True)
            lost = told.state != TrialState.COMPLETE
        except UpdateFinishedTrialError:
            lost = True
        if lost:
            return f"no heartbeat for {_GRACE_SECONDS} s, as after a suspend; the cell was given to another worker"
        return ""

    def _beat(self, trial: Trial) -> None:
        study_id = self._storage.get_study_id_from_name(self.plan.name)
        self._storage.record_heartbeat(self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number))

    def _run_folder(self, cell: Cell, number: int) -> Path:
        """The folder of one attempt; a worker that was taken for dead may still be writing to that of another."""
        return self.folder / "runs" / f"{cell.folder}{number}"

    def _import(self, path: Path) -> None:
        """Add the complete cells of a file that the study does not contain."""
        from optuna.trial import create_trial

        if not path.is_file():
            return
        states = self.states()
        columns = {*IDENTITY, "state", "error", "settings", "arguments"}
        for row in read_results(path).iter_rows(named=True):
            cell = self._cells.get(row["arguments"])
            if cell is None or row.get("settings") not in (None, cell.settings):
                continue
            if row["state"] == "complete" and states[cell.arguments] in ("waiting", "failed"):
                metrics = {name: value for name, value in row.items() if name not in columns}
                attributes = {"cell": cell.arguments, "settings": row.get("settings"), "metrics": metrics}
                self._study.add_trial(create_trial(value=metrics["balanced_accuracy"], user_attrs=attributes))
