"""What a command takes from the settings of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.saved_settings.checkpoint_check import CheckpointCheck
from workflows.settings.command_help import Option
from workflows.settings.command_line import split_command_line
from workflows.settings.saved import checked_settings, given_again, left_to_the_user, named_modules

TYPES: dict[str, type | Option] = {
    "trainer": Trainer,
    "data": DrugDataModule,
    "stages": Option(list[int], [], ""),
}
OBJECT = {"class_path": "elsewhere.Thing"}


def used(settings: dict[str, Any], **unused: tuple[str, ...]) -> dict[str, Any]:
    return checked_settings(CheckpointCheck(Path("a.ckpt")), settings, TYPES, unused)


def test_plain_values_are_taken_and_unknown_sections_are_not() -> None:
    trainer = {"max_epochs": 3, "precision": "16-mixed", "max_time": "00:01:00:00", "gradient_clip_val": 0.5}
    settings = {"trainer": trainer, "data": {"source": "a.csv", "batch_size": 3}, "stages": [1], "other": OBJECT}
    assert used(settings) == {name: settings[name] for name in TYPES}
    assert used(settings, data=("source",))["data"] == {"batch_size": 3}
    assert used({}) == {}


@pytest.mark.parametrize(
    ("name", "kept", "dropped"),
    [
        ("accelerator", ["cpu", "auto", "cuda"], ["a.yaml", "os.system", OBJECT, None]),
        (
            "strategy",
            ["auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"],
            ["deepspeed", "a.ddp", "ddp\n", OBJECT],
        ),
        ("devices", ["auto", 2, "-1", "0,1", [0, 1]], ["a.yaml", "1.5", ["a.yaml"], OBJECT]),
        ("callbacks", [], [[OBJECT], OBJECT]),
        ("profiler", [], ["simple", OBJECT]),
        ("logger", [], [False, True, OBJECT]),
        ("plugins", [], [OBJECT, [OBJECT]]),
        ("default_root_dir", [], ["elsewhere"]),
        ("model_registry", [], ["elsewhere"]),
    ],
)
def test_objects_and_folders_of_the_trainer_are_dropped(name: str, kept: list[Any], dropped: list[Any]) -> None:
    for value in kept:
        assert used({"trainer": {name: value}})["trainer"] == {name: value}
    for value in dropped:
        assert used({"trainer": {name: value}})["trainer"] == {}


def test_what_was_dropped_is_named_unless_it_is_given_again() -> None:
    trainer = {"profiler": "simple", "logger": None, "strategy": "ddp", "max_epochs": 3}
    settings = {"trainer": trainer, "data": {"cache_folder": "elsewhere"}}
    taken = used(settings)
    assert left_to_the_user(settings, taken) == ["trainer.profiler", "data.cache_folder"]
    taken["data"]["cache_folder"] = "mine"
    assert left_to_the_user(settings, taken) == ["trainer.profiler"]
    assert left_to_the_user({}, {}) == []


def test_what_a_checkpoint_never_gives_is_given_again_as_options() -> None:
    trainer = {"logger": OBJECT, "devices": [0, 1], "accelerator": "cpu", "max_epochs": 3, "profiler": None}
    words = given_again({"trainer": trainer, "data": {"source": "a.csv"}, "tracking": {"entity": "team"}})
    settings = split_command_line(words).layer().settings
    del trainer["max_epochs"], trainer["profiler"]
    assert settings == {"trainer": trainer, "tracking": {"entity": "team"}}


def test_a_section_of_another_form_is_refused() -> None:
    for settings in (
        {"trainer": "a.yaml"},
        {"data": ["a"]},
        {"stages": "a.yaml"},
        {"trainer": {"max_epochs": "a.yaml"}},
    ):
        with pytest.raises(InputError, match=r"ckpt_path: expected .* in a\.ckpt, got"):
            used(settings)


def test_the_modules_of_nested_classes_are_found() -> None:
    inner = {"class_path": "a.b.C", "init_args": {"d": [{"class_path": "e.F"}, 3]}}
    assert named_modules({"x": inner, "y": {"class_path": "a.b.G"}, "z": "h.I"}) == ("a.b", "e")
