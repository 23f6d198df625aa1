"""Where a search keeps its trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from experiments.study_storage import open_storage, opening

if TYPE_CHECKING:
    from optuna import Study

    from experiments.search_space import SearchSpace

_STUDY, _SPACE, _OPTIONS = "study.db", "search_space", "fit_options"
_OF_A_WORKER = (
    *("--run.", "--tracking.", "--trainer.accelerator", "--trainer.devices", "--trainer.enable_progress_bar"),
    *("--data.num_workers", "--data.cache_folder"),
)
_HEARTBEAT, _GRACE = 30, 180


def open_study(space: SearchSpace, folder: Path, address: str | None, further: Sequence[str] | None = None) -> Study:
    """The study of a search, made if it is not there yet.

    Args:
        space: The search.
        folder: The sweep's, which names the study.
        address: Of the database; an SQLite file in the folder if None.
        further: Options of `lightning fit` that the user gave; None if nothing is to be run.

    Raises:
        InputError: If the database cannot be used, or holds another search of this name, or one with other options.
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
        options = None if further is None else _comparable([*space.fit_options, *further])
        trained = study.user_attrs.get(_OPTIONS)
        if trained is None and options is not None:
            study.set_user_attr(_OPTIONS, options)
    if known not in (None, space.fingerprint):
        raise InputError(f"folder: {folder} holds a search over other parameters; choose another one.")
    if trained is not None and options is not None and trained != options:
        raise InputError(
            f"folder: the trials in {folder} were trained with {' '.join(trained) or 'no options'}, got "
            f"{' '.join(options) or 'none'}; choose another folder, since their values cannot be compared."
        )
    if any(folder.glob("trial_*")) and not study.get_trials(deepcopy=False):
        raise InputError(f"folder: {folder} holds trials that the storage does not know; choose another one.")
    return study


def _comparable(options: Sequence[str]) -> list[str]:
    """The options of `lightning fit` but for those that may differ from worker to worker."""
    kept: list[str] = []
    dropping = False
    for word in options:
        dropping = word.startswith(_OF_A_WORKER) if word.startswith("--") else dropping
        if not dropping:
            kept.append(word)
    return kept
