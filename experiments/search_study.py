"""Where a search keeps its trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.input_error import InputError
from experiments.study_storage import open_storage, opening

if TYPE_CHECKING:
    from optuna import Study

    from experiments.search_space import SearchSpace

_STUDY, _SPACE = "study.db", "search_space"
_HEARTBEAT, _GRACE = 30, 180


def open_study(space: SearchSpace, folder: Path, address: str | None) -> Study:
    """The study of a search, made if it is not there yet.

    Args:
        space: The search.
        folder: The sweep's, which names the study.
        address: Of the database; an SQLite file in the folder if None.

    Raises:
        InputError: If the database cannot be used, or holds another search of this name.
    """
    import optuna

    # Best of a few trials that all learn from each other; Hyperband would share them out among its brackets.
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=space.patience - 1) if space.patience else None
    with opening(folder):
        study = optuna.create_study(
            study_name=folder.resolve().name,
            storage=open_storage(address or f"sqlite:///{(folder / _STUDY).resolve()}", _HEARTBEAT, _GRACE),
            direction="maximize" if space.maximize else "minimize",
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        known = study.user_attrs.get(_SPACE)
        if known is None:
            study.set_user_attr(_SPACE, space.fingerprint)
    if known not in (None, space.fingerprint):
        raise InputError(f"folder: {folder} holds a search over other parameters; choose another one.")
    if any(folder.glob("trial_*")) and not study.get_trials(deepcopy=False):
        raise InputError(f"folder: {folder} holds trials that the storage does not know; choose another one.")
    return study
