"""Which classes a checkpoint may name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from base.errors import InputError
from modules.encoders import GIN
from modules.saved_settings.known_classes import (
    import_class,
    is_known,
    is_trusted_function,
    may_be_trusted,
    trusted_modules,
)

OWN = """
import os
from pathlib import Path
from torch.nn import Linear

class Loss: ...
def warmup(epoch): return 1.0
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user, which is not imported yet."""
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_losses", raising=False)
    return "own_losses"


@pytest.mark.parametrize("path", ["modules.encoders.GIN", "modules.encoders.gin.GIN"])
def test_a_class_of_the_project_is_found_by_each_of_its_paths(path: str) -> None:
    assert is_known(path)
    assert import_class(path) is GIN


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("torch.optim.AdamW", torch.optim.AdamW),
        ("torch.optim.lr_scheduler.CosineAnnealingLR", torch.optim.lr_scheduler.CosineAnnealingLR),
        ("torch.optim.lr_scheduler.ReduceLROnPlateau", torch.optim.lr_scheduler.ReduceLROnPlateau),
    ],
)
def test_optimizers_and_schedules_are_known(path: str, expected: type) -> None:
    assert is_known(path)
    assert import_class(path) is expected


@pytest.mark.parametrize(
    "path",
    [
        *("GIN", "", ".", "os._exit", "os.path.join", "builtins.eval", "own_losses.Loss", "torch.nn.Linear"),
        *("modules.encoders.GIN.__init__", "modules.drug_classifier.torch.os.system", "modules.nowhere.X"),
        *("modules.encoders.a b", "torch.optim.swa_utils.AveragedModel", "callbacks.recluster.Recluster"),
        *("lightning.pytorch.callbacks.LambdaCallback", "torch.optim.adam.torch.os.system"),
    ],
)
def test_other_names_are_not_known(path: str) -> None:
    assert not is_known(path)


@pytest.mark.parametrize(
    "path",
    [
        "modules.drug_classifier.Path",
        "modules.drug_classifier.torch",
        "modules.drug_classifier.Any",
        "modules.heads.head.make_head",
        "modules.encoders.Nothing",
        "modules.encoders.nn",
        "torch.optim.lr_scheduler.Counter",
        "torch.optim.lr_scheduler.partial",
        "lightning.pytorch.cli.LightningCLI",
    ],
)
def test_a_known_module_gives_only_its_own_classes(path: str) -> None:
    assert is_known(path)
    assert import_class(path) is None


def test_a_module_is_not_imported_to_judge_a_name(own_module: str) -> None:
    assert not is_known(f"{own_module}.Loss")
    assert not is_trusted_function(f"{own_module}.warmup", ())
    assert own_module not in sys.modules


def test_a_trusted_module_gives_its_own_classes_and_functions(own_module: str) -> None:
    trust = trusted_modules(own_module)
    assert trust == (own_module,)
    assert is_known("own_losses.Loss", trust)
    found = import_class("own_losses.Loss", trust)
    assert found is sys.modules[own_module].Loss
    assert is_trusted_function("own_losses.warmup", trust)
    for other in ("Linear", "Path", "os", "warmup", "nothing"):
        assert import_class(f"own_losses.{other}", trust) is None
    assert not is_trusted_function("own_losses.nothing", trust)
    with pytest.raises(InputError, match=r"trust: expected a module that Python finds, got 'own_losses\.os'"):
        is_trusted_function("own_losses.os.system", trust)


def test_trust_covers_what_is_inside_a_module_and_not_what_begins_like_it() -> None:
    assert is_known("own.losses.Loss", ("own",))
    assert not is_known("own_losses.Loss", ("own",))
    assert not is_known("own.Loss", ("own.losses",))


@pytest.mark.parametrize("name", ["", "a b", "a..b", "a/b.py", "a.py/"])
def test_only_names_of_modules_can_be_trusted(name: str) -> None:
    with pytest.raises(InputError, match="trust: expected the dotted name of a module"):
        trusted_modules([name])


def test_no_message_suggests_to_trust_python_itself() -> None:
    assert may_be_trusted("my_encoders.Encoder")
    for path in ("os.system", "subprocess.Popen", "builtins.eval", "modules.x.os.system", "Encoder", "a/b.c"):
        assert not may_be_trusted(path)
