"""Search spaces: what Optuna samples from them, what is rejected, and that W&B accepts the shipped ones."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import optuna
import pytest
import yaml

from base.errors import InputError
from experiments import search_space
from experiments.search_results import rerun_settings, short_names
from experiments.search_space import fit_arguments, read_search_space, suggest
from workflows.settings.config_files import CONFIGS

SHIPPED = sorted((CONFIGS / "sweep").glob("*.yaml"))


def content(**parameters: Any) -> dict[str, Any]:
    """A sweep file's content."""
    metric = {"name": "val/balanced_accuracy", "goal": "maximize"}
    return {"method": "bayes", "metric": metric, "parameters": parameters or {"a": {"value": 1}}}


def write(folder: Path, given: Any) -> Path:
    """A sweep file."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def violations(given: Any) -> list[str]:
    """What W&B's own check says of a sweep file's content."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sweeps.config import schema_violations_from_proposed_config
    return list(schema_violations_from_proposed_config(given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"distribution": "uniform", "min": 0, "max": 2}, optuna.distributions.FloatDistribution(0, 2)),
        ({"min": 0.5, "max": 2}, optuna.distributions.FloatDistribution(0.5, 2)),
        ({"min": 1, "max": 9}, optuna.distributions.IntDistribution(1, 9)),
        ({"distribution": "int_uniform", "min": -1, "max": 9}, optuna.distributions.IntDistribution(-1, 9)),
        (
            {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1},
            optuna.distributions.FloatDistribution(0.001, 0.1, log=True),
        ),
        (
            {"distribution": "q_uniform", "min": 0.2, "max": 0.8, "q": 0.2},
            optuna.distributions.FloatDistribution(0.2, 0.8, step=0.2),
        ),
        (
            {"distribution": "q_uniform", "min": 32, "max": 128, "q": 32},
            optuna.distributions.IntDistribution(32, 128, step=32),
        ),
        (
            {"distribution": "q_log_uniform_values", "min": 8, "max": 512, "q": 1},
            optuna.distributions.IntDistribution(8, 512, log=True),
        ),
        ({"values": [2, "x", True]}, optuna.distributions.CategoricalDistribution((2, "x", True))),
        ({"values": [[64], [64, 32]]}, optuna.distributions.CategoricalDistribution(("[64]", "[64, 32]"))),
    ],
    ids=str,
)
def test_optuna_draws_from_what_the_file_says(
    tmp_path: Path, given: dict[str, Any], expected: optuna.distributions.BaseDistribution
) -> None:
    assert violations(content(a=given)) == []
    space = read_search_space(write(tmp_path, content(a=given)))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        assert suggest(trial, space) == trial.params
        (distribution,) = trial.distributions.values()
        assert distribution == expected


def test_a_single_value_is_given_to_every_trial_and_not_searched(tmp_path: Path) -> None:
    space = read_search_space(write(tmp_path, content(a={"value": "null"}, b={"values": [3]})))
    trial = optuna.create_study().ask()
    assert suggest(trial, space) == {"a": "null", "b": 3}
    assert trial.params == {}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "search space: expected a mapping with method, metric and parameters, got []"),
        ({"method": "bayes"}, "search space: 'metric' is a required property"),
        (
            content() | {"parameter": {}},
            "search space: additional properties are not allowed ('parameter' was unexpected)",
        ),
        (content() | {"method": "grid"}, "method: expected bayes or random, got 'grid'"),
        (
            content() | {"metric": {"name": "x", "goal": "more"}},
            "metric.goal: expected maximize or minimize",
        ),
        (
            content() | {"parameters": {}},
            "parameters: expected a mapping of one or more settings to distributions, got {}",
        ),
        (
            content() | {"command": ["lightning", "fit"]},
            "command: expected a list that ends with ${args}, got ['lightning', 'fit']",
        ),
        (content() | {"early_terminate": {"type": "hyperband"}}, "early_terminate: 'min_iter' is a required property"),
        (content(a=3), "parameters.a: expected a mapping with a distribution, value or values, got 3"),
        (content(a={"distribution": "normal"}), "parameters.a.distribution: expected one of constant, categorical,"),
        (content(a={"distribution": "log_uniform", "min": -2, "max": 1}), "parameters.a.distribution: expected one of"),
        (content(a={"distribution": "uniform", "min": 1}), "parameters.a: 'max' is a required property"),
        (
            content(a={"min": 0.1, "max": 1.0, "step": 2}),
            "parameters.a: additional properties are not allowed ('step' was unexpected)",
        ),
        (
            content(a={"min": 0.1, "max": "1e-4"}),
            "parameters.a.max: expected a number (YAML reads 1e-4 as text; write 0.0001 or 1.0e-4), got '1e-4'",
        ),
        (content(a={"min": 3, "max": 3}), "parameters.a: expected finite numbers, min below max, got 3 and 3"),
        (
            content(a={"distribution": "int_uniform", "min": 0.5, "max": 3}),
            "parameters.a.min: expected an integer, got 0.5",
        ),
        (
            content(a={"distribution": "log_uniform_values", "min": 0, "max": 3}),
            "parameters.a.min: expected a number above 0",
        ),
        (
            content(a={"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.2}),
            "parameters.a.q: expected a number of which min and max are multiples, got 0.2 for 0.1 and 0.5",
        ),
        (
            content(a={"distribution": "q_log_uniform_values", "min": 2, "max": 8, "q": 2}),
            "parameters.a.q: expected 1, since Optuna samples it over integers only, got 2",
        ),
        (
            content() | {"command": ["lightning", "${args}"]},
            "command: expected a list such as [${env}, lightning, fit,",
        ),
        (content() | {"command": []}, "command: expected a list such as [${env}, lightning, fit, ${args}], got []"),
        (content(a={"min": 0.0, "max": float("inf")}), "parameters.a: expected finite numbers, min below max, got 0.0"),
        (content(a={"min": float("nan"), "max": 1.0}), "parameters.a: expected finite numbers, min below max, got nan"),
        (
            content(a={"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": float("inf")}),
            "parameters.a.q: expected",
        ),
        (content(a={"min": True, "max": 2.5}), "parameters.a.min: expected a number"),
        (content(a={"values": []}), "parameters.a.values: expected a list of one value or more, got []"),
        (
            content(a={"values": [None, 1]}),
            "parameters.a.values.0: expected a value (W&B passes null on as None; write 'null' in quotes), got None",
        ),
        (
            content(a={"parameters": {"b": {"value": 1}}}),
            "parameters.a: additional properties are not allowed ('parameters' was unexpected)",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, given: Any, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        read_search_space(write(tmp_path, given))
    assert str(error.value).startswith(f"{tmp_path / 'space.yaml'}: ")
    assert sentence in str(error.value)


def test_the_schema_follows_its_draft_and_describes_what_it_expects() -> None:
    schema = json.loads(search_space._SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for part in subschemas(schema):
        if {"type", "const", "enum", "not"} & part.keys():
            assert part.get("description"), part


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas in a schema, itself included."""
    yield schema
    for keyword in ("properties", "$defs"):
        for part in schema.get(keyword, {}).values():
            if isinstance(part, dict):
                yield from subschemas(part)


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"config: .*space.yaml cannot be read as YAML"):
        read_search_space(tmp_path / "space.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_shipped_files_follow_the_schema_of_wandb(path: Path) -> None:
    given = yaml.safe_load(path.read_text())
    assert violations(given) == []
    assert read_search_space(path).name == path.stem
    first = next(iter(given["parameters"]))
    broken = given | {"parameters": {first: {"distribution": "log_uniform_values", "min": 0.1}}, "methods": "bayes"}
    assert f"invalid hyperparameter configuration: {first}" in violations(broken)
    assert any("'methods' was unexpected" in violation for violation in violations(broken))


def test_files_that_are_searched_over_go_before_the_options_of_the_user(tmp_path: Path) -> None:
    given = content(**{"model.lr": {"value": 0.1}, "config": {"values": ["a.yaml", "b.yaml"]}})
    given["command"] = ["${env}", "lightning", "fit", "--config=c.yaml", "${args}"]
    space = read_search_space(write(tmp_path, given))
    assert space.examples() == [{"model.lr": 0.1, "config": "a.yaml"}, {"model.lr": 0.1, "config": "b.yaml"}]
    assert fit_arguments(space, space.examples()[1], ["--x=1"]) == [
        "--config=c.yaml",
        "--config=b.yaml",
        "--x=1",
        "--model.lr=0.1",
    ]


def test_best_settings_name_no_folder() -> None:
    settings = {
        "seed_everything": 0,
        "trainer": {"default_root_dir": "x", "enable_progress_bar": False, "max_epochs": 3},
        "run": {"root": "sweeps"},
        "tracking": {"wandb": "disabled", "project": "p", "group": "sweep"},
    }
    assert rerun_settings(settings) == {
        "seed_everything": 0,
        "trainer": {"max_epochs": 3},
        "tracking": {"project": "p"},
    }
    settings["tracking"] = {"wandb": "offline"}
    assert rerun_settings(settings)["tracking"] == {"wandb": "offline"}


def test_short_names_tell_names_apart() -> None:
    names = ["model.contrastive.temperature", "model.warmup.temperature", "lr", "model.lr", "a.b"]
    assert list(short_names(names).values()) == ["contrastive.temperature", "warmup.temperature", "lr", "model.lr", "b"]
