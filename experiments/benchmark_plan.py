"""The grid of a benchmark: data sets, encoders, methods and seeds, as a YAML file says."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from base.errors import InputError
from workflows.setting_layers import settings_files

_KEYS = {"baseline", "ours", "data", "encoders", "methods", "split_seeds", "seeds", "arguments"}
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
        arguments: What `lightning fit` is called with, the seeds included. Two cells are the same if this is.
        seconds: How long the plan says that the run takes; None if it does not.
        settings: A digest of the settings files that the arguments bring in.
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
        """For messages."""
        return f"{self.data} {self.encoder} {self.method} split {self.split_seed} seed {self.seed}"

    @property
    def folder(self) -> str:
        """What the names of its runs' folders start with; the number of the trial follows."""
        return f"{self.name.replace(' ', '_')}_trial_"


@dataclass(frozen=True)
class BenchmarkPlan:
    """A grid of runs.

    Attributes:
        name: Of the file without its ending; names the study.
        baseline: The method that the others are compared with.
        ours: The method that is compared with every other one in a table of its own; None for no such table.
        cells: In the order in which they are run: all methods of a split before the next split.
    """

    name: str
    baseline: str
    ours: str | None
    cells: tuple[Cell, ...]


def read_plan(path: Path) -> BenchmarkPlan:
    """Read a benchmark's YAML file.

    `data`, `encoders` and `methods` map names to arguments of `lightning fit`, which are put one after the other in
    this order, behind them the plan's own `arguments` and the seeds. A data set may be a mapping instead, with
    `arguments`, those that come `last`, behind the method's, its own `split_seeds` and `seeds`, and the `seconds` that
    a run takes. `split_seeds` and `seeds` are lists, or numbers n for 0 to n - 1.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, no such mapping, the baseline is none of its methods, or one of the settings files
            that it names is missing.
    """
    settings = _mapping(_read_yaml(path), str(path), _KEYS)
    missing = sorted({"baseline", "data", "methods"} - set(settings))
    if missing:
        raise InputError(f"config: {path} has no {missing[0]!r}; expected baseline, data and methods.")
    methods, encoders = (
        _mapping(settings["methods"], "methods"),
        _mapping(settings.get("encoders", {"default": ""}), "encoders"),
    )
    for key in ("baseline", "ours"):
        if settings.get(key, settings["baseline"]) not in methods:
            raise InputError(f"config: the {key} {settings[key]!r} is none of the methods {', '.join(methods)}.")
    digest_of = functools.cache(_digest)
    cells: list[Cell] = []
    for data, given in _mapping(settings["data"], "data").items():
        own = _mapping(given, f"data.{data}", _DATA_KEYS) if isinstance(given, dict) else {"arguments": given}
        split_seeds = _seeds(own.get("split_seeds", settings.get("split_seeds", 1)), "split_seeds")
        seeds = _seeds(own.get("seeds", settings.get("seeds", 1)), "seeds")
        for split_seed, seed, encoder, method in itertools.product(split_seeds, seeds, encoders, methods):
            layers = [own.get("arguments", ""), encoders[encoder], methods[method], own.get("last", "")]
            layers.append(settings.get("arguments", ""))
            words = [word for layer in layers for word in _words(layer, f"{data} {encoder} {method}")]
            digest = digest_of(tuple(words))
            words += ["--data.split_seed", str(split_seed), "--seed_everything", str(seed)]
            arguments = shlex.join(words)
            cells.append(Cell(data, encoder, method, split_seed, seed, arguments, own.get("seconds"), digest))
    return BenchmarkPlan(path.stem, settings["baseline"], settings.get("ours"), tuple(cells))


def _mapping(value: object, what: str, known: set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
        raise InputError(f"config: expected {what} to map names to settings, got {value!r}.")
    unknown = sorted(set(value) - known) if known else []
    if known and unknown:
        raise InputError(f"config: {what} has an unknown key {unknown[0]!r}; expected {', '.join(sorted(known))}.")
    return cast("Mapping[str, Any]", value)


def _seeds(value: object, what: str) -> list[int]:
    if isinstance(value, int) and value > 0:
        return list(range(value))
    if isinstance(value, list) and value and all(isinstance(seed, int) and seed >= 0 for seed in value):
        return value
    raise InputError(f"config: {what}: expected a number above 0 or a list of numbers, got {value!r}.")


def _words(value: object, what: str) -> list[str]:
    if not isinstance(value, str):
        raise InputError(f"config: the arguments of {what}: expected text, got {value!r}.")
    try:
        return shlex.split(value)
    except ValueError as error:
        raise InputError(f"config: the arguments of {what} cannot be divided into words ({error}).") from error


def _digest(words: tuple[str, ...]) -> str:
    """Of the contents of the files that lie under a run's options, whatever their comments say."""
    files = settings_files([os.path.expandvars(word) for word in words])
    return hashlib.sha256(json.dumps([_read_yaml(path) for path in files], default=str).encode()).hexdigest()[:12]


def _read_yaml(path: Path) -> object:
    import yaml

    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"config: {path} cannot be read as YAML ({error}).") from error
