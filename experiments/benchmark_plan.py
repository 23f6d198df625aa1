"""The grid of a benchmark, read from a YAML file: data sets, encoders, methods and seeds."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from base.errors import InputError
from base.ranges import check_range, check_seed, check_whole
from base.yaml_file import read_yaml
from experiments.settings_digest import SettingsFiles, digest

_KEYS = {"baseline", "ours", "data", "encoders", "methods", "split_seeds", "seeds", "arguments"}
_MOST_SEEDS = 10_000
_DATA_KEYS = {"arguments", "last", "split_seeds", "seeds", "seconds"}


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        data: Name of the data set.
        encoder: Name of the encoder.
        method: Name of the method.
        split_seed: Seed of the split.
        seed: Seed of the weights and of the order of samples.
        arguments: Arguments of `lightning fit`, including the seeds. They identify the cell.
        seconds: Expected duration; None if the plan does not state one.
        settings: Digest of the settings files that the arguments use.
    """

    data: str
    encoder: str
    method: str
    split_seed: int
    seed: int
    arguments: str
    seconds: float | None = None
    settings: str | None = None

    @property
    def name(self) -> str:
        """The name shown in messages."""
        return f"{self.data} {self.encoder} {self.method} split {self.split_seed} seed {self.seed}"

    @property
    def folder(self) -> str:
        """The prefix of the cell's run folders, to which the number of the trial is added.

        Runs with other arguments or settings have another prefix.
        """
        made_with = hashlib.sha256(f"{self.settings} {self.arguments}".encode()).hexdigest()[:8]
        return f"{self.name.replace(' ', '_')}_{made_with}_trial_"

    def agrees_with(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of results has the arguments and settings of the cell, as far as it names them."""
        return all(row.get(name) in (None, getattr(self, name)) for name in ("arguments", "settings"))


@dataclass(frozen=True)
class BenchmarkPlan:
    """A grid of runs.

    Attributes:
        name: Name of the file without its suffix, and of the study.
        baseline: The method that all others are compared with.
        ours: The method that a separate table compares with each other method; None for no such table.
        cells: The runs in order: all methods of one split before the next split.
    """

    name: str
    baseline: str
    ours: str | None
    cells: tuple[Cell, ...]


def read_plan(path: Path, settings_files: SettingsFiles) -> BenchmarkPlan:
    """Read the YAML file of a benchmark.

    `data`, `encoders` and `methods` map names to arguments of `lightning fit`. A run gets the arguments of its data
    set, encoder and method in this order, then the plan's own `arguments` and the seeds. A data set may also be a
    mapping with `arguments`, further arguments that come `last`, after those of the method, its own `split_seeds` and
    `seeds`, and the expected `seconds` of a run. `split_seeds` and `seeds` are lists, or a number n for 0 to n - 1.

    Args:
        path: The file.
        settings_files: Returns the settings files of a run, whose digest tells whether a cell must be run again.

    Raises:
        InputError: If the file is missing or malformed, the baseline is not one of its methods, a settings file that
            it names does not exist, or a run has folds and no test rows outside of them.
    """
    settings = _mapping(read_yaml(path), str(path), _KEYS)
    missing = sorted({"baseline", "data", "methods"} - set(settings))
    if missing:
        raise InputError(f"config: {path}: expected baseline, data and methods, got no {missing[0]!r}.")
    methods = _mapping(settings["methods"], "methods")
    for key in ("baseline", "ours"):
        if settings.get(key, settings["baseline"]) not in methods:
            raise InputError(f"config: {key}: expected one of the methods {', '.join(methods)}, got {settings[key]!r}.")
    cells = tuple(_cells(settings, functools.cache(functools.partial(_checked_digest, settings_files))))
    return BenchmarkPlan(path.stem, settings["baseline"], settings.get("ours"), cells)


def _cells(settings: Mapping[str, Any], digest_of: Callable[[tuple[str, ...]], str]) -> Iterator[Cell]:
    methods = _mapping(settings["methods"], "methods")
    encoders = _mapping(settings.get("encoders", {"default": ""}), "encoders")
    for data, given in _mapping(settings["data"], "data").items():
        own = _mapping(given, f"data.{data}", _DATA_KEYS) if isinstance(given, dict) else {"arguments": given}
        split_seeds = _seeds(own.get("split_seeds", settings.get("split_seeds", 1)), "split_seeds")
        if own.get("seconds") is not None:
            check_range(f"config: data.{data}.seconds", own["seconds"], 0)
        seeds = _seeds(own.get("seeds", settings.get("seeds", 1)), "seeds")
        for split_seed, seed, encoder, method in itertools.product(split_seeds, seeds, encoders, methods):
            layers = [own.get("arguments", ""), encoders[encoder], methods[method], own.get("last", "")]
            layers.append(settings.get("arguments", ""))
            words = [word for layer in layers for word in _words(layer, f"{data} {encoder} {method}")]
            settings_digest = digest_of(tuple(words))
            words += ["--data.split_seed", str(split_seed), "--seed_everything", str(seed)]
            yield Cell(data, encoder, method, split_seed, seed, shlex.join(words), own.get("seconds"), settings_digest)


def _mapping(value: object, what: str, known: set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise InputError(f"config: {what}: expected a mapping of names to settings, got {value!r}.")
    unknown = sorted(set(value) - known) if known else []
    if known and unknown:
        raise InputError(f"config: {what}: expected the keys {', '.join(sorted(known))}, got {unknown[0]!r}.")
    return cast("Mapping[str, Any]", value)


def _seeds(value: Any, what: str) -> list[int]:
    if not isinstance(value, list):
        check_whole(f"config: {what}", value, 1, _MOST_SEEDS)
        return list(range(value))
    if not value:
        raise InputError(f"config: {what}: expected a number above 0 or a list of numbers, got [].")
    for seed in value:
        check_seed(f"config: {what}", seed)
    return value


def _words(value: object, what: str) -> list[str]:
    if not isinstance(value, str):
        raise InputError(f"config: arguments of {what}: expected text, got {value!r}.")
    try:
        return shlex.split(value)
    except ValueError as error:
        raise InputError(
            f"config: arguments of {what}: expected a command line, got {value!r} ({str(error).lower()})."
        ) from error


def _checked_digest(settings_files: SettingsFiles, words: tuple[str, ...]) -> str:
    """Digest of the settings files of a run."""
    files = [read_yaml(path) for path in settings_files([os.path.expandvars(word) for word in words])]
    _refuse_out_of_fold(words, files)
    return digest(files)


def _refuse_out_of_fold(words: Sequence[str], files: Sequence[Any]) -> None:
    """Refuse arguments that ask for folds if neither they nor a settings file say what stays out of the folds.

    Out-of-fold metrics are of the same rows in every split. The splits then differ much less than other data would, so
    that a test over splits rejects far too often, also with the correction for repeated cross-validation (Bouckaert and
    Frank, 2004, PAKDD).
    """
    given: dict[str, Any] = {}
    for one in files:
        if isinstance(one, dict):
            data = one.get("data")
            given |= one | {f"data.{name}": value for name, value in (data if isinstance(data, dict) else {}).items()}
    for word, following in itertools.pairwise([*words, ""]):
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in ("folds", "data.keep_test", "data.split"):
            given[name] = yaml.safe_load(value if equals else following)
    if given.get("folds") is not None and not given.get("data.keep_test") and given.get("data.split") != "file":
        raise InputError(
            "config: arguments: expected --data.keep_test true with --folds, since out-of-fold metrics are of the same "
            f"rows in every split, got {shlex.join(words)!r}."
        )
