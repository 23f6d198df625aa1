"""The search space of a sweep: a file in W&B's sweep format, which Optuna samples in the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from base.errors import InputError
from base.yaml_file import read_yaml

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from optuna.trial import BaseTrial

Value = bool | int | float | str

_SCHEMA = Path(__file__).with_name("search_space.schema.json")
# Bounds that are multiples of q as decimals are so only up to rounding as binary fractions.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Parameter:
    """A setting of `lightning fit` and its values: those of a list, or those of an interval.

    Attributes:
        name: Dotted name of the setting.
        values: The values to choose from; None for an interval. A single value is not searched.
        low: Smallest value.
        high: Largest value.
        step: Distance between neighboring values; None for a continuous interval.
        log: Whether the logarithm of the value is uniform.
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
        """The value of a trial, which remembers it unless it is a constant."""
        if self.values is not None:
            if len(self.values) == 1:
                return self.values[0]
            return cast(Value, trial.suggest_categorical(self.name, self.values))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def example(self, position: int) -> Value:
        """One of the values.

        Args:
            position: Index into the list, which starts again at its end; without effect for an interval.
        """
        if self.values is not None:
            return self.values[position % len(self.values)]
        return int(self.low) if self.whole else self.low


@dataclass(frozen=True)
class SearchSpace:
    """A valid search space.

    Attributes:
        name: Name of the search.
        method: "bayes" or "random".
        metric: Name of the metric that ranks the trials.
        maximize: Whether a higher metric is better.
        parameters: The settings that differ between trials, and constants.
        patience: Number of epochs before a trial may be pruned; None for no pruning.
        fit_options: Options of `lightning fit` in every trial.
        fingerprint: Equal for search spaces whose trials can be compared.
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
        """Values of as few trials as contain each entry of every list."""
        longest = max(len(parameter.values or ("",)) for parameter in self.parameters)
        return [{one.name: one.example(position) for one in self.parameters} for position in range(longest)]


def suggest(trial: BaseTrial, space: SearchSpace) -> dict[str, Value]:
    """The values of a trial by dotted name, including constants.

    Args:
        trial: A trial of an Optuna study.
        space: The search space.
    """
    return {parameter.name: parameter.suggest(trial) for parameter in space.parameters}


def fit_arguments(space: SearchSpace, values: Mapping[str, Value], further: list[str]) -> list[str]:
    """The arguments of `lightning fit` in a trial, written as W&B's agent writes them.

    Args:
        space: The search space.
        values: Values of the trial by dotted name.
        further: Options of the user. They override a `config` file that is searched over, and are overridden by the
            other settings of the search.
    """
    files = [f"--{name}={value}" for name, value in values.items() if name == "config"]
    settings = [f"--{name}={value}" for name, value in values.items() if name != "config"]
    return [*space.fit_options, *files, *further, *settings]


def read_search_space(path: Path) -> SearchSpace:
    """Read and validate a search space.

    Args:
        path: A YAML file in W&B's sweep format.

    Raises:
        InputError: If the file is not valid, or has a distribution that Optuna does not sample as W&B does.
    """
    content = read_yaml(path)
    try:
        return _make_space(content, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _make_space(content: Any, stem: str) -> SearchSpace:
    content = _with_distributions(content)
    _validate(content)
    metric, parameters = content["metric"], content["parameters"]
    return SearchSpace(
        name=content.get("name", stem),
        method=content["method"],
        metric=metric["name"],
        maximize=metric["goal"] == "maximize",
        parameters=tuple(_make_parameter(str(name), given) for name, given in parameters.items()),
        patience=(content.get("early_terminate") or {}).get("min_iter"),
        fit_options=_fit_options(content.get("command")),
        fingerprint=json.dumps([metric, parameters], sort_keys=True, default=str),
    )


def _with_distributions(content: Any) -> Any:
    """The content with the distribution that W&B takes for each parameter that names none."""
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        return content
    named = {
        name: {"distribution": _default_distribution(given), **given} if isinstance(given, dict) else given
        for name, given in content["parameters"].items()
    }
    return {**content, "parameters": named}


def _default_distribution(given: Mapping[str, Any]) -> str:
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    whole = all(isinstance(given.get(bound), int) for bound in ("min", "max"))
    return "int_uniform" if whole else "uniform"


def _validate(content: Any) -> None:
    """Raise an `InputError` for the most general violation of the schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(json.loads(_SCHEMA.read_text())).iter_errors(content))
    if error is not None:
        raise InputError(_describe(error))


def _describe(error: ValidationError) -> str:
    """Which part of the search space violates its schema, what was expected, and what was given."""
    where = ".".join(str(part) for part in error.absolute_path) or "search space"
    if error.validator in ("required", "additionalProperties"):
        return f"{where}: {error.message[0].lower()}{error.message[1:]}."
    return f"{where}: expected {error.schema['description']}, got {error.instance!r}."


def _fit_options(command: list[Any] | None) -> tuple[str, ...]:
    if command is None:
        return ()
    if command[-1] != "${args}":
        raise InputError(f"command: expected a list that ends with ${{args}}, got {command!r}.")
    return tuple(str(part) for part in command[command.index("fit") + 1 : -1])


def _make_parameter(name: str, given: Mapping[str, Any]) -> Parameter:
    distribution = given["distribution"]
    if distribution in ("constant", "categorical"):
        values = [given["value"]] if distribution == "constant" else given["values"]
        # Optuna stores plain values only; on the command line a list looks the same as its text.
        plain = (value if isinstance(value, (bool, int, float, str)) else str(value) for value in values)
        return Parameter(name, values=tuple(plain))
    low, high = given["min"], given["max"]
    if not -inf < low < high < inf:
        raise InputError(f"parameters.{name}: expected finite numbers, min below max, got {low} and {high}.")
    log = "log" in distribution
    if not distribution.startswith("q_"):
        return Parameter(name, low=low, high=high, log=log, whole=distribution == "int_uniform")
    step = given.get("q", 1.0)
    # W&B rounds to multiples of q; Optuna counts steps from the lower bound.
    if not step < inf or any(abs(bound / step - round(bound / step)) > _ROUNDING for bound in (low, high)):
        raise InputError(
            f"parameters.{name}.q: expected a number of which min and max are multiples, got {step} for {low} and "
            f"{high}."
        )
    return Parameter(name, low=low, high=high, step=step, log=log, whole=log or isinstance(step, int))
