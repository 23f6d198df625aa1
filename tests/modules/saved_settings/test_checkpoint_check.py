"""Settings of a checkpoint are compared with the types of the arguments that they are for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import yaml
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.heads.head import HeadSettings
from modules.saved_settings.checkpoint_check import CheckpointCheck
from modules.training.stages import Stage

if TYPE_CHECKING:
    from torch import Tensor

ROOT = Path(__file__).parents[3]
MLP = {"class_path": "modules.encoders.FingerprintMLP", "init_args": {"hidden_dims": [8]}}


class Base:
    def __init__(self, number: int = 0, name: str | None = None) -> None: ...


class Example(Base):
    """Arguments of every kind."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        kind: Literal["a", 1] = "a",
        file: Path | None = None,
        names: list[str] | None = None,
        columns: list[str] | str | None = None,
        pair: tuple[int, str] = (0, ""),
        table: dict[str, float] | None = None,
        texts: dict[str, str] | None = None,
        head: HeadSettings | None = None,
        encoders: list[FingerprintMLP] | None = None,
        function: Callable[[int], float] | None = None,
        either: str | FingerprintMLP | None = None,
        optimizer: OptimizerCallable | None = None,
        schedule: LRSchedulerCallable | None = None,
        cls: type[Base] = Base,
        untyped=None,  # noqa: ANN001
        **more: Any,
    ) -> None:
        super().__init__(**more)


class Hidden:
    def __init__(self, tensor: Tensor | str | None = None) -> None: ...


def check(value: Any, cls: type = Example, trust: tuple[str, ...] = ()) -> dict[str, Any]:
    return CheckpointCheck(Path("a.ckpt"), trust=trust).section({"section": value}, "section", cls)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "a", "file": "a/b.yaml", "names": ["os.system"], "pair": [1, "x"], "untyped": "os.system"},
        {"table": {"a": 1.5}, "texts": {"a": "os.system"}, "number": 3, "name": "os.system"},
        {"head": {"hidden_dims": [3], "dropout": 0.1}, "encoders": [MLP, MLP]},
        {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1, "betas": [0.9, 0.99]}}},
        {"schedule": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 3}}},
        {"schedule": {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau", "init_args": {"mode": "max"}}},
        {"function": None, "encoders": None, "head": None, "cls": None},
        {"columns": "os.system"},
        {"columns": ["a", "os.system"]},
    ],
    ids=range(9),
)
def test_what_fits_its_argument_passes(arguments: dict[str, Any]) -> None:
    assert check(arguments) == arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": {"class_path": "modules.encoders.GIN"}},
        {"names": "file.txt"},
        {"names": ["a", MLP]},
        {"columns": ["a", MLP]},
        {"number": "file.yaml"},
        {"table": {"a": "os.getcwd"}},
        {"table": {"a": MLP}},
        {"head": "head.yaml"},
        {"head": {"dropout": "head.yaml"}},
        {"head": {"nothing": "x"}},
        {"encoders": "encoders.yaml"},
        {"encoders": ["FingerprintMLP"]},
        {"encoders": [{**MLP, "dict_kwargs": {"a": 1}}]},
        {"encoders": [{"class_path": ["modules.encoders.GIN"]}]},
        {"encoders": [{"class_path": "modules.encoders.GIN"}]},
        {"encoders": [{"class_path": "modules.encoders.FingerprintMLP", "init_args": "x.yaml"}]},
        {"encoders": [{"class_path": "modules.encoders.FingerprintMLP", "init_args": {"nothing": "x.yaml"}}]},
        {"encoders": [{"init_args": {"hidden_dims": "x"}}]},
        {"function": "os.getcwd"},
        {"function": "getcwd"},
        {"function": {"class_path": "modules.encoders.GIN"}},
        {"either": "os.getcwd"},
        {"optimizer": "torch.optim.Adam"},
        {"optimizer": {"class_path": "torch.optim.lr_scheduler.StepLR"}},
        {"schedule": {"class_path": "torch.optim.Adam"}},
        {"schedule": {"class_path": "modules.encoders.GIN"}},
        {"schedule": {"class_path": "torch.optim.lr_scheduler.LambdaLR", "init_args": {"lr_lambda": "os.getcwd"}}},
        {"schedule": {"class_path": "torch.optim.lr_scheduler.LambdaLR", "init_args": {"lr_lambda": ["os.getcwd"]}}},
        {"cls": "os.system"},
        {"untyped": MLP},
        {"nothing": "x"},
        {"nothing": {"a": 1}},
        {"names": {"a": "b"}},
        "section.yaml",
        None,
        [],
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_the_parser_could_take_for_more_is_refused(arguments: Any) -> None:
    with pytest.raises(InputError, match=r"^ckpt_path: expected .* for section.* in a\.ckpt, got [^\n]*\.$"):
        check(arguments)


def test_a_type_for_type_checkers_only_takes_no_text() -> None:
    assert check({"tensor": 3}, Hidden) == {"tensor": 3}
    with pytest.raises(InputError, match=r"no such setting for section\.tensor"):
        check({"tensor": "x"}, Hidden)


def test_all_names_are_judged_before_any_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trusted_here.py").write_text(
        "from modules.encoders import FingerprintMLP\nclass Own(FingerprintMLP): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own, other = {"class_path": "trusted_here.Own"}, {"class_path": "elsewhere.Own"}
    with pytest.raises(InputError, match=r"got 'elsewhere\.Own'; if you trust this module, add --trust elsewhere \("):
        check({"encoders": [own, other]}, trust=("trusted_here",))
    assert "trusted_here" not in sys.modules
    assert check({"encoders": [own]}, trust=("trusted_here",)) == {"encoders": [own]}


def test_a_function_of_a_trusted_module_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_schedules.py").write_text("import os\ndef warmup(epoch): return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = "torch.optim.lr_scheduler.LambdaLR"
    schedule = {"schedule": {"class_path": path, "init_args": {"lr_lambda": "own_schedules.warmup"}}}
    with pytest.raises(InputError, match="add --trust own_schedules "):
        check(schedule)
    assert check(schedule, trust=("own_schedules",)) == schedule


def test_what_is_unused_is_neither_checked_nor_returned() -> None:
    settings = {"section": {"number": 1, "function": "os.getcwd"}}
    assert CheckpointCheck(Path("a.ckpt")).section(settings, "section", Example, ("function",)) == {"number": 1}


def test_make_reports_what_the_class_refuses() -> None:
    made = CheckpointCheck(Path("a.ckpt")).make({"data": {"batch_size": 7}}, "data", DrugDataModule)
    assert made.batch_size == 7
    for wrong in ({"batch_size": 0}, {"batch_size": 1.5}, {"split": 3}):
        with pytest.raises(InputError, match=r"^ckpt_path: a\.ckpt is not a valid tailmol checkpoint \(.+\)\.$"):
            CheckpointCheck(Path("a.ckpt")).make({"data": wrong}, "data", DrugDataModule)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/method").glob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_shipped_method_passes(path: Path) -> None:
    # A checkpoint has numbers in place of references.
    settings = yaml.safe_load(re.sub(r"\$\{.*\}", "1", path.read_text()))
    one = CheckpointCheck(path)
    for name, cls in (("model", DrugClassifier), ("data", DrugDataModule)):
        if name in settings:
            one.section(settings, name, cls)
    one.check_value(list[Stage], settings.get("stages", []), "stages")


def test_make_leaves_the_settings_as_they_are() -> None:
    fusion = {"class_path": "modules.encoders.Fusion", "init_args": {"encoders": [MLP, MLP]}}
    loss = {"class_path": "modules.losses.CrossEntropyLoss"}
    settings = {"model": {"encoder": fusion, "classification_loss": loss}}
    before = json.dumps(settings)
    CheckpointCheck(Path("a.ckpt")).make(settings, "model", DrugClassifier)
    assert json.dumps(settings) == before
