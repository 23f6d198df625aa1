"""What a search may change, read from a file in W&B's sweep format and drawn from by Optuna too."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from base.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Value = bool | int | float | str

# W&B's distributions that Optuna draws from alike, with what each needs beside its name.
_BOUNDED = ("uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values")
_NEEDED = {"constant": ("value",), "categorical": ("values",), **dict.fromkeys(_BOUNDED, ("min", "max"))}

_METHODS = ("bayes", "random")
_NEEDED_KEYS = ("method", "metric", "parameters")
_KEYS = (*_NEEDED_KEYS, "name", "description", "project", "entity", "program", "run_cap", "early_terminate", "command")


@dataclass(frozen=True)
class Parameter:
    """A setting of `lightning fit` and where its values come from: from a list, or from an interval.

    Attributes:
        name: Dotted name of the setting.
        values: What to choose from; a single one is not searched. None with an interval.
        low: Least value.
        high: Largest value.
        step: What lies between neighbouring values; None if all are allowed.
        log: Whether the logarithm is uniform.
        whole: Whether the values are integers.
    """

    name: str
    values: tuple[Value, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def suggest(self, trial: BaseTrial) -> Value:
        """A value for a trial.

        Args:
            trial: It remembers what it was given.
        """
        if self.values is not None:
            if len(self.values) == 1:
                return self.values[0]
            return cast(Value, trial.suggest_categorical(self.name, self.values))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def example(self, position: int) -> Value:
        """One of the values, to see whether `lightning fit` takes it.

        Args:
            position: Counts through the list, and starts again at its end.
        """
        if self.values is not None:
            return self.values[position % len(self.values)]
        return int(self.low) if self.whole else self.low


@dataclass(frozen=True)
class SearchSpace:
    """A sweep file that has been checked.

    Attributes:
        name: Of the search.
        method: bayes or random.
        metric: What decides between trials.
        maximize: Whether more of it is better.
        parameters: What changes from trial to trial.
        patience: Epochs before a trial may be stopped early; None never stops one.
        fit_options: What follows `lightning fit` in every trial.
        fingerprint: Equal for files whose trials can be compared.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    parameters: tuple[Parameter, ...]
    patience: int | None
    fit_options: tuple[str, ...]
    fingerprint: str

    def examples(self) -> list[dict[str, Value]]:
        """Values that contain each entry of every list."""
        longest = max(len(parameter.values or ("",)) for parameter in self.parameters)
        return [{one.name: one.example(position) for one in self.parameters} for position in range(longest)]


def suggest(trial: BaseTrial, space: SearchSpace) -> dict[str, Value]:
    """A value for each setting of a search.

    Args:
        trial: Of an Optuna study.
        space: The search.

    Returns:
        Values by dotted name; also those that are the same in every trial.
    """
    return {parameter.name: parameter.suggest(trial) for parameter in space.parameters}


def fit_arguments(space: SearchSpace, values: dict[str, Value], further: list[str]) -> list[str]:
    """The command line after `lightning fit`, written as W&B's agent writes it.

    Args:
        space: The search.
        values: By dotted name.
        further: Options of the user, which lie over a file that is searched over and under any other setting of the
            search.
    """
    files = [f"--{name}={value}" for name, value in values.items() if name == "config"]
    settings = [f"--{name}={value}" for name, value in values.items() if name != "config"]
    return [*space.fit_options, *files, *further, *settings]


def read_search_space(path: Path) -> SearchSpace:
    """Read and check a sweep file.

    Args:
        path: A YAML file in W&B's sweep format.

    Raises:
        InputError: If the file is not one, or has what Optuna cannot draw as W&B does.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config: {path} is no YAML file ({' '.join(str(error).split())}).") from error
    try:
        return _check_space(content, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_space(content: Any, stem: str) -> SearchSpace:
    _check_keys("the sweep", content, _NEEDED_KEYS, _KEYS)
    if content["method"] not in _METHODS:
        raise InputError(f"method: expected one of {', '.join(_METHODS)}, got {content['method']!r}.")
    metric, parameters = content["metric"], content["parameters"]
    _check_keys("metric", metric, ("name", "goal"), ("name", "goal"))
    if metric["goal"] not in ("maximize", "minimize"):
        raise InputError(f"metric.goal: expected maximize or minimize, got {metric['goal']!r}.")
    if not isinstance(parameters, dict) or not parameters:
        raise InputError(f"parameters: expected a distribution for each of one setting or more, got {parameters!r}.")
    return SearchSpace(
        name=str(content.get("name", stem)),
        method=content["method"],
        metric=str(metric["name"]),
        maximize=metric["goal"] == "maximize",
        parameters=tuple(_check_parameter(str(name), given) for name, given in parameters.items()),
        patience=_check_patience(content.get("early_terminate")),
        fit_options=_check_command(content.get("command")),
        fingerprint=json.dumps([metric, parameters], sort_keys=True, default=str),
    )


def _check_keys(where: str, given: Any, needed: tuple[str, ...], known: tuple[str, ...]) -> None:
    if not isinstance(given, dict):
        raise InputError(f"{where}: expected keys and values, got {given!r}.")
    unknown, missing = [str(key) for key in given if key not in known], [key for key in needed if key not in given]
    if unknown:
        raise InputError(f"{where}: {unknown[0]!r} is not known here; expected {', '.join(known)}.")
    if missing:
        raise InputError(f"{where}: {missing[0]!r} is missing; expected {', '.join(needed)}.")


def _check_patience(given: Any) -> int | None:
    if given is None:
        return None
    _check_keys("early_terminate", given, ("type", "min_iter"), ("type", "min_iter", "max_iter", "s", "eta", "strict"))
    patience = given["min_iter"]
    if given["type"] != "hyperband" or not isinstance(patience, int) or patience < 1:
        raise InputError(f"early_terminate: expected type hyperband and an integer min_iter of 1 or more, got {given}.")
    return patience


def _check_command(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    parts = [str(part) for part in given] if isinstance(given, list) else []
    if "fit" not in parts or parts[-1] != "${args}":
        raise InputError(f"command: expected a list as [${{env}}, lightning, fit, ${{args}}], got {given!r}.")
    return tuple(parts[parts.index("fit") + 1 : -1])


def _check_parameter(name: str, given: Any) -> Parameter:
    where = f"parameters.{name}"
    distribution = _distribution(where, given)
    needed = _NEEDED[distribution]
    quantised = ("q",) if distribution.startswith("q_") else ()
    _check_keys(where, given, needed, ("distribution", *needed, *quantised))
    if distribution not in _BOUNDED:
        return Parameter(name, values=_check_values(where, given))
    low, high = (_number(f"{where}.{bound}", given[bound]) for bound in ("min", "max"))
    if low >= high:
        raise InputError(f"{where}: expected min below max, got {low} and {high}.")
    if distribution == "int_uniform":
        if not isinstance(low, int) or not isinstance(high, int):
            raise InputError(f"{where}: int_uniform needs integers, got {low} and {high}.")
        return Parameter(name, low=low, high=high, whole=True)
    if "log" in distribution and low <= 0:
        raise InputError(f"{where}.min: {distribution} needs a number above 0, got {low}.")
    if quantised:
        return _check_steps(where, Parameter(name, low=low, high=high, log="log" in distribution), given.get("q", 1.0))
    return Parameter(name, low=low, high=high, log=distribution != "uniform")


def _distribution(where: str, given: Any) -> str:
    """The distribution that a parameter names, or the one that W&B takes where none is named."""
    if not isinstance(given, dict):
        raise InputError(f"{where}: expected a distribution, or value or values, got {given!r}.")
    bounds = [given.get("min"), given.get("max")]
    whole = all(isinstance(bound, int) for bound in bounds)
    unnamed = "constant" if "value" in given else "categorical" if "values" in given else None
    unnamed = unnamed or ("int_uniform" if whole else "uniform")
    distribution = given.get("distribution", unnamed)
    if distribution not in _NEEDED:
        raise InputError(f"{where}.distribution: expected one of {', '.join(_NEEDED)}, got {distribution!r}.")
    return str(distribution)


def _check_values(where: str, given: dict[str, Any]) -> tuple[Value, ...]:
    values = [given["value"]] if "value" in given else given["values"]
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}.values: expected a list of one value or more, got {values!r}.")
    if None in values:
        raise InputError(f"{where}: W&B passes null on as None; write 'null', with the quotes.")
    # Optuna keeps plain values only; on the command line a list looks the same as its text.
    return tuple(value if isinstance(value, (bool, int, float, str)) else str(value) for value in values)


def _check_steps(where: str, parameter: Parameter, q: Any) -> Parameter:
    step, whole = _number(f"{where}.q", q), isinstance(q, int)
    # W&B rounds to multiples of q, where Optuna counts in steps from the lower bound.
    if step <= 0 or any(abs(bound / step - round(bound / step)) > 1e-9 for bound in (parameter.low, parameter.high)):
        raise InputError(f"{where}.q: expected min and max to be multiples of a q above 0, got q {step}.")
    if parameter.log and (step != 1 or not whole):
        raise InputError(f"{where}.q: q_log_uniform_values is searched over integers only; expected 1, got {q}.")
    return replace(parameter, step=step, whole=whole)


def _number(where: str, given: Any) -> int | float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        hint = "; YAML takes 1e-4 for text: write 0.0001 or 1.0e-4" if isinstance(given, str) else ""
        raise InputError(f"{where}: expected a number, got {given!r}{hint}.")
    return given
