"""The Optuna study of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from base.errors import InputError
from base.yaml_file import read_yaml
from experiments.search_space import SearchSpace, fit_arguments
from experiments.settings_digest import SettingsFiles, digest
from experiments.study_storage import open_storage, opening

if TYPE_CHECKING:
    from optuna import Study

_STUDY, _SPACE, _OPTIONS, _FILES = "study.db", "search_space", "fit_options", "settings_files"
_WORKER_OPTIONS = (
    *("--run.", "--tracking.", "--trainer.accelerator", "--trainer.devices", "--trainer.enable_progress_bar"),
    *("--data.num_workers", "--data.cache_folder"),
)
_HEARTBEAT, _GRACE = 30, 180


def open_study(
    space: SearchSpace,
    folder: Path,
    address: str | None,
    settings_files: SettingsFiles,
    further: Sequence[str] | None = None,
) -> Study:
    """Open the study of a search, or create it.

    Args:
        space: The search space.
        folder: Folder of the search, whose name is that of the study.
        address: URL of the database; an SQLite file in the folder if None.
        settings_files: Returns the settings files of a trial, whose contents must stay the same.
        further: Options of `lightning fit` given by the user; None if no trial will be run.

    Raises:
        InputError: If the database or a settings file cannot be used, or the study of this name has another search
            space or was run with other options or settings files.
    """
    import optuna

    options = None if further is None else _comparable([*space.fit_options, *further])
    files = None if further is None else _digest(space, further, settings_files)
    # Hyperband would divide the few trials among its brackets.
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
        trained, trained_files = study.user_attrs.get(_OPTIONS), study.user_attrs.get(_FILES)
        if trained is None and options is not None:
            study.set_user_attr(_OPTIONS, options)
            study.set_user_attr(_FILES, files)
    if known not in (None, space.fingerprint):
        raise InputError(
            f"folder: expected a folder of this search, got {folder}, which holds one over other parameters."
        )
    if trained is not None and options is not None and trained != options:
        raise InputError(
            f"folder: expected the options that the trials in {folder} were trained with, "
            f"{' '.join(trained) or 'none'}, got {' '.join(options) or 'none'}; choose another folder, since their "
            "values cannot be compared."
        )
    if files is not None and trained_files not in (None, files):
        raise InputError(
            f"folder: expected the settings files that the trials in {folder} were trained with, got files with other "
            "contents; choose another folder, since their values cannot be compared."
        )
    if any(folder.glob("trial_*")) and not study.get_trials(deepcopy=False):
        raise InputError(f"folder: expected trials that the storage contains, got {folder} with others.")
    return study


def _digest(space: SearchSpace, further: Sequence[str], settings_files: SettingsFiles) -> str:
    """Digest of the settings files of trials that have each value of a `config` that is searched over."""
    trials = [fit_arguments(space, values, list(further)) for values in space.examples()]
    return digest([read_yaml(path) for arguments in trials for path in settings_files(arguments)])


def _comparable(options: Sequence[str]) -> list[str]:
    """The options of `lightning fit` without those that may differ between workers."""
    kept: list[str] = []
    dropping = False
    for word in options:
        dropping = word.startswith(_WORKER_OPTIONS) if word.startswith("--") else dropping
        if not dropping:
            kept.append(word)
    return kept
