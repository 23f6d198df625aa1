"""Every number that settings can give is refused if it is NaN or absurd, in a sentence that begins with its name."""

from __future__ import annotations

import functools
import inspect
import math
from collections import abc
from collections.abc import Callable, Iterator
from types import SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from base.errors import InputError
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.recluster import Recluster
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from experiments.benchmark_plan import read_plan
from lightning_app.predict import PredictCLI
from lightning_app.sweep import SweepSettings
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.evaluation.prediction_columns import PredictionColumns
from modules.losses import CrossEntropyLoss
from modules.reclustering import ReclusterSettings
from modules.training.stages import Stage
from reports.report_file import write_report
from workflows.search_trial import SettingsCheck
from workflows.settings.lightning_numbers import check_early_stopping_numbers, check_trainer_numbers
from workflows.settings.option_values import import_classes, named_classes

ABSURD = -(10**9)
OURS = ("modules.", "datamodules.", "callbacks.")
REQUIRED = {"epochs": 3, "samplings": [(0, None)], "max_strength": 1.0}
"""Arguments without a default that are not classes."""

NOT_REFUSED = {
    ("DrugDataModule", "test_folds"): "names of folds, which are text for the table and may be negative",
    ("DrugDataModule", "validation_folds"): "names of folds, which are text for the table and may be negative",
    ("DrugDataModule", "label_thresholds"): "measured values may be negative",
    ("SamplingSchedule", "samplings"): "made by training stages, which check their own first epochs",
    ("Trainer", "detect_anomaly"): "true or false",
}
"""Arguments whose absurd value means something; NaN is refused in those of numbers."""


def parts(hint: object) -> Iterator[object]:
    """A type and all that it is made of."""
    yield hint
    for part in () if get_origin(hint) is abc.Callable else get_args(hint):
        yield from parts(part)


@functools.cache
def settings_classes() -> tuple[type, ...]:
    """All classes of this project whose arguments are settings."""
    import_classes()
    found: list[type] = []
    left: list[type] = [DrugClassifier, DrugDataModule, Recluster, ReclusterSettings, Stage]
    while left:
        cls = left.pop()
        if cls in found or not cls.__module__.startswith(OURS):
            continue
        found.append(cls)
        for parameter in inspect.signature(cls, eval_str=True).parameters.values():
            left += [one for part in parts(parameter.annotation) for one in named_classes(part)]
    return tuple(sorted(found, key=lambda cls: cls.__qualname__))


def numbers(cls: Callable[..., Any]) -> Iterator[tuple[str, object]]:
    """Names and types of the arguments that are made of numbers."""
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        if {int, float} & set(parts(parameter.annotation)):
            yield name, parameter.annotation


def bad_values(hint: object) -> list[Any]:
    """NaN and an absurd number in the form of a type."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kind = next(one for one in options if {int, float} & set(parts(one)))
    wrap: Callable[[float], Any] = lambda number: number  # noqa: E731
    if get_origin(kind) is list:
        wrap = lambda number: [number]  # noqa: E731
    elif get_origin(kind) is tuple:
        wrap = lambda number: (number,) + (0.1,) * (len(get_args(kind)) - 1)  # noqa: E731
    return [wrap(number) for number in (math.nan, ABSURD)]


def make(cls: type, **given: Any) -> Any:
    """An instance with as few arguments as possible, in addition to those given."""
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        if name not in given and parameter.default is inspect.Parameter.empty:
            given[name] = REQUIRED[name] if name in REQUIRED else make(simplest(named_classes(parameter.annotation)))
    return cls(**given)


def simplest(classes: list[type]) -> type:
    """The class with the fewest arguments that it requires."""
    return min(
        (cls for cls in classes if cls.__module__.startswith(OURS)),
        key=lambda cls: sum(one.default is one.empty for one in inspect.signature(cls).parameters.values()),
    )


def refused(action: Callable[[], object], name: str) -> str:
    """The sentence of an action that must fail, which begins with a name."""
    with pytest.raises((InputError, ValueError)) as caught:
        action()
    sentence = str(caught.value)
    assert sentence.split(":")[0].split(".")[-1] == name, sentence
    assert ": expected " in sentence
    assert ", got " in sentence
    return sentence


ARGUMENTS = [(cls, name, hint) for cls in settings_classes() for name, hint in numbers(cls)]


@pytest.mark.parametrize(
    ("cls", "name", "hint"), ARGUMENTS, ids=[f"{cls.__name__}-{name}" for cls, name, _ in ARGUMENTS]
)
def test_a_class_refuses_nan_and_absurd_numbers(cls: type, name: str, hint: object) -> None:
    if (cls.__name__, name) in NOT_REFUSED:
        return
    make(cls)
    for value in bad_values(hint):
        refused(lambda value=value: make(cls, **{name: value}), name)  # type: ignore[misc]


def test_the_walk_finds_the_classes() -> None:
    names = {f"{cls.__name__}.{name}" for cls, name, _ in ARGUMENTS}
    assert {"GIN.dropout", "Remix.tau", "Stage.start_epoch", "HeadSettings.experts", "TauNormalization.steps"} <= names
    assert len(names) > 80


def test_exceptions_name_arguments_that_exist() -> None:
    for cls_name, name in NOT_REFUSED:
        cls = next(cls for cls in (*settings_classes(), Trainer) if cls.__name__ == cls_name)
        assert name in inspect.signature(cls).parameters


def test_thresholds_of_labels_are_no_nan() -> None:
    refused(lambda: DrugDataModule(label_thresholds=[math.nan]), "label_thresholds")


@pytest.mark.parametrize(
    ("cls", "check"), [(Trainer, check_trainer_numbers), (EarlyStopping, check_early_stopping_numbers)]
)
def test_numbers_of_lightning(cls: type, check: Callable[[dict[str, Any]], None]) -> None:
    defaults = {name: one.default for name, one in inspect.signature(cls).parameters.items()}
    check(defaults)
    checked = 0
    for name, _ in numbers(cls):
        if (cls.__name__, name) in NOT_REFUSED:
            continue
        for value in (math.nan, ABSURD):
            # Thresholds of a metric may be any number.
            if name in ("stopping_threshold", "divergence_threshold") and value == ABSURD:
                continue
            if name == "devices" and value != ABSURD:
                continue
            given = {"hours": value} if name == "max_time" else value
            refused(lambda given=given: check({**defaults, name: given}), name)  # type: ignore[misc]  # noqa: B023
            checked += 1
    assert checked >= 5


def test_validation_may_be_due_after_some_time() -> None:
    defaults = {name: one.default for name, one in inspect.signature(Trainer).parameters.items()}
    for value in ("00:00:15:00", {"minutes": 15}, 0.5, 7, 2.0):
        check_trainer_numbers({**defaults, "val_check_interval": value})
    refused(lambda: check_trainer_numbers({**defaults, "val_check_interval": {"minutes": -1}}), "val_check_interval")


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--trainer.precision=bf16-true", "precision"),
        ("--seed_everything=-1000000000", "seed_everything"),
        ("--seed_everything=4294967296", "seed_everything"),
        ("--checkpoint_every_n_steps=0", "checkpoint_every_n_steps"),
        ("--trainer.max_epochs=0", "max_epochs"),
        ("--trainer.max_epochs=-1000000000", "max_epochs"),
        ("--early_stopping.patience=-1", "patience"),
        ("--early_stopping.min_delta=nan", "min_delta"),
    ],
)
def test_fit_refuses_options(option: str, name: str) -> None:
    refused(lambda: SettingsCheck([option]), name)


def test_the_default_options_of_fit_are_accepted() -> None:
    assert SettingsCheck([]).config.seed_everything == 0


@pytest.mark.parametrize("name", ["top", "chunk_rows"])
@pytest.mark.parametrize("value", [math.nan, ABSURD, 0])
def test_predict_refuses_options(name: str, value: float) -> None:
    cli = object.__new__(PredictCLI)
    defaults = {key: one.default for key, one in inspect.signature(Trainer).parameters.items()}
    given = {"seed_everything": 0, "trainer": defaults, "top": None, "chunk_rows": 5, "neighbors": 3, "coverage": None}
    cli.config = SimpleNamespace(**given)
    cli.check_numbers()
    cli.config = SimpleNamespace(**{**given, name: value})
    refused(cli.check_numbers, name)


@pytest.mark.parametrize("value", [math.nan, ABSURD])
def test_other_commands_refuse_numbers(value: Any, tmp_path: Any) -> None:
    refused(lambda: SweepSettings(trials=value), "trials")
    refused(lambda: SweepSettings(seed=value), "seed")
    refused(lambda: write_report(tmp_path, points=value), "points")
    refused(lambda: LastCheckpoint(value), "checkpoint_every_n_steps")
    refused(
        lambda: PredictionColumns(DrugTask("molecule", ("a", "b"), (1, 1), FeatureSettings()), False, None, value),
        "top",
    )


@pytest.mark.parametrize("line", ["seeds: {}", "split_seeds: {}", "seeds: [{}]", "split_seeds: [0, {}]"])
@pytest.mark.parametrize("value", [".nan", str(ABSURD), str(2**32), ".inf"])
def test_a_benchmark_refuses_seeds(line: str, value: str, tmp_path: Any) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(f"baseline: one\ndata: {{a: ''}}\nmethods: {{one: ''}}\n{line.format(value)}\n")
    with pytest.raises(InputError, match=f"config: {line.split(':')[0]}: expected "):
        read_plan(path, lambda words: [])


@pytest.mark.parametrize("value", [".nan", "-1"])
def test_a_benchmark_refuses_seconds(value: str, tmp_path: Any) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(f"baseline: one\ndata: {{a: {{seconds: {value}}}}}\nmethods: {{one: ''}}\n")
    with pytest.raises(InputError, match=r"config: data\.a\.seconds: expected "):
        read_plan(path, lambda words: [])


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"lr": one}, "lr") for one in (-1.0, math.nan, math.inf)]
    + [({"weight_decay": one}, "weight_decay") for one in (-1.0, math.nan, math.inf)]
    + [({"betas": (0.9, 2.0)}, "betas"), ({"eps": math.nan}, "eps"), ({"eps": math.inf}, "eps")],
)
@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.AdamW])
def test_a_model_refuses_numbers_of_its_optimizer(cls: Any, settings: dict[str, Any], name: str) -> None:
    optimizer = functools.partial(cls, **settings)
    refused(lambda: DrugClassifier(FingerprintMLP(), CrossEntropyLoss(), optimizer=optimizer), name)


@pytest.mark.parametrize(
    ("scheduler", "name"),
    [
        (functools.partial(torch.optim.lr_scheduler.StepLR, step_size=5, gamma=math.nan), "gamma"),
        (functools.partial(torch.optim.lr_scheduler.StepLR, step_size=0), "lr_scheduler"),
        (functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=-1e9), "lr_scheduler"),
        (functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=0), "lr_scheduler"),
        (functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=3, eta_min=math.inf), "eta_min"),
    ],
)
def test_a_model_refuses_numbers_of_its_schedule(scheduler: Any, name: str) -> None:
    refused(lambda: DrugClassifier(FingerprintMLP(), CrossEntropyLoss(), lr_scheduler=scheduler), name)


def test_a_model_accepts_a_usual_schedule() -> None:
    scheduler = functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=3)
    assert DrugClassifier(FingerprintMLP(), CrossEntropyLoss(), lr_scheduler=scheduler).make_lr_scheduler is scheduler


@pytest.mark.parametrize("value", [21, -1])
def test_the_radius_of_fingerprints_is_bounded(value: int) -> None:
    assert "from 0 to 20" in refused(lambda: DrugDataModule(fingerprint_radius=value), "fingerprint_radius")
    DrugDataModule(fingerprint_radius=20)


@pytest.mark.parametrize("value", [0, 2**20 + 1])
def test_the_size_of_fingerprints_is_bounded(value: int) -> None:
    refused(lambda: DrugDataModule(fingerprint_size=value), "fingerprint_size")


def test_infinite_numbers_are_refused() -> None:
    for fractions in ((math.inf, 0.1, 0.2), (0.7, math.nan, 0.2), (1.1, -0.2, 0.1)):
        refused(lambda fractions=fractions: DrugDataModule(split_fractions=fractions), "split_fractions")  # type: ignore[misc]
    refused(lambda: Recluster(strength=math.inf), "strength")
    refused(lambda: DrugDataModule(max_rejected=1.01), "max_rejected")
    refused(lambda: DrugDataModule(order_seed=2**32), "order_seed")
