"""Checkpoints from elsewhere that try to run, import or write something."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch

TRAP = '''
"""Notes in its own folder that it was imported, and that something in it was called."""
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from datamodules.sampling import PowerSampling
from modules.encoders import FingerprintMLP
from modules.losses import CrossEntropyLoss

FOLDER = Path(__file__).parent
(FOLDER / "imported").touch()


def called(*arguments, **options):
    (FOLDER / "called").touch()
    return 1.0


class Ran:
    def __init__(self, *arguments, **options):
        called()
        super().__init__()


class Encoder(Ran, FingerprintMLP): ...
class Loss(Ran, CrossEntropyLoss): ...
class Sampling(Ran, PowerSampling): ...
class Watcher(Ran, Callback): ...
class Profiler(Ran, SimpleProfiler): ...


class Optimizer(Adam):
    def __init__(self, params, lr: float = 0.1):
        called()
        super().__init__(params, lr)


class Schedule:
    """An object that becomes a schedule when it is called, as a setting of functions allows."""

    def __init__(self, code: str = "called()"):
        self.code = code

    def __call__(self, optimizer) -> StepLR:
        eval(self.code)
        return StepLR(optimizer, 1)
'''

DISTILLATION = "modules.training.distillation.Distillation"
HOSTILE_TEACHER = "teacher/checkpoints/best.ckpt"

Settings = dict[str, Any]


class Payload:
    """Touches a file when it is read by pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        """See `object.__reduce__`."""
        return _touch, (str(self.path),)


def _touch(path: str) -> None:
    Path(path).touch()


def spec(class_path: str, **arguments: Any) -> Settings:
    """The settings of a class."""
    return {"class_path": class_path, "init_args": arguments}


def nested(levels: int) -> list[Any]:
    """A list in a list and so on."""
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


def shared(levels: int) -> list[Any]:
    """A list of two references to the same list and so on, which is 2^levels values when it is written out."""
    inner: list[Any] = [0]
    for _ in range(levels):
        inner = [inner, inner]
    return inner


def put(place: str, value: Any) -> Callable[[Settings, Path], None]:
    """A change of settings: a value, in which SITE stands for the folder of the trap, at a dotted place."""

    def change(settings: Settings, site: Path) -> None:
        *outer, last = place.split("/")
        for name in outer:
            settings = settings[name]
        settings[last] = value.replace("SITE", str(site)) if isinstance(value, str) else copy.deepcopy(value)

    return change


# What is needed by everything that computes with the model.
MODEL = {
    "encoder": put("model/encoder", spec("trap.Encoder")),
    "loss": put("model/classification_loss", spec("trap.Loss")),
    "encoder within an encoder": put("model/encoder", spec("modules.encoders.Fusion", encoders=[spec("trap.Encoder")])),
    "loss within a loss": put(
        "model/classification_loss",
        spec("modules.losses.classification.reweighting.Reweighted", loss=spec("trap.Loss")),
    ),
    "import only": put("model/encoder", spec("trap.Nothing")),
    "class as text": put("model/encoder", "trap.Encoder"),
    "name without a module": put("model/encoder", spec("Encoder")),
    "module of a module": put("model/encoder", spec("modules.drug_classifier.torch.os.system", command="true")),
    "other class in a module": put("model/encoder", spec("modules.drug_classifier.Path")),
    "function of the project": put("model/encoder", spec("modules.heads.head.make_head")),
    "module of another library": put("model/encoder", spec("torch.nn.Sequential")),
    "end of the process": put("model/encoder", spec("os._exit", status=0)),
    "class for another setting": put("model/encoder", spec("datamodules.drug_datamodule.DrugDataModule")),
    "file for a class": put("model/encoder", "SITE/encoder.yaml"),
    "file for all of a section": put("model", "SITE/model.yaml"),
    "file for arguments": put("model/encoder/init_args", "SITE/arguments.yaml"),
    "file for a group of arguments": put("model/head", "SITE/head.yaml"),
    "further arguments": put(
        "model/encoder", {"class_path": "modules.encoders.GIN", "dict_kwargs": {"more": spec("trap.Encoder")}}
    ),
    "class for a number": put("model/groups/head_fraction", spec("trap.Encoder")),
}

# What only a resumed run needs.
TRAINING = {
    "schedule": put("model/lr_scheduler", spec("trap.Schedule", code="called()")),
    "optimizer": put("model/optimizer", spec("trap.Optimizer")),
    "function for a schedule": put("model/lr_scheduler", spec("trap.called")),
    "import path for a function": put(
        "model/lr_scheduler", spec("torch.optim.lr_scheduler.LambdaLR", lr_lambda="trap.called")
    ),
    "class for a function": put(
        "model/lr_scheduler", spec("torch.optim.lr_scheduler.LambdaLR", lr_lambda=spec("trap.Schedule"))
    ),
    "library class that is no schedule": put("model/lr_scheduler", spec("lightning.pytorch.cli.LightningCLI")),
    "sampling": put("data/sampling", spec("trap.Sampling")),
    "stage": put("stages", [{"start_epoch": 1, "sampling": spec("trap.Sampling")}]),
    "teacher": put("stages", [{"start_epoch": 0, "distillation": spec(DISTILLATION, teacher=HOSTILE_TEACHER)}]),
    "file for stages": put("stages", "SITE/stages.yaml"),
}

# What no command takes from a checkpoint.
OBJECTS = {
    "callbacks": put("trainer/callbacks", [spec("trap.Watcher")]),
    "profiler": put("trainer/profiler", spec("trap.Profiler")),
    "logger": put("trainer/logger", spec("lightning.pytorch.loggers.CSVLogger", save_dir="elsewhere")),
    "plugins": put("trainer/plugins", [spec("trap.Profiler")]),
    "strategy": put("trainer/strategy", spec("trap.Profiler")),
    "accelerator": put("trainer/accelerator", "SITE/encoder.yaml"),
    "folder of the trainer": put("trainer/default_root_dir", "elsewhere"),
    "folder of features": put("data/cache_folder", "elsewhere"),
    "owner of the project": put("tracking/entity", "somebody"),
    "folder of runs": put("run/root", "elsewhere"),
    "section of no command": put("elsewhere", spec("trap.Encoder")),
}

# What no settings are.
NO_SETTINGS = {
    "environment": put("data/label_column", "${oc.env:HOME}"),
    "resolver": put("trainer/max_epochs", "${share:4,0.5}"),
    "depth": put("deep", nested(200)),
    "size": put("large", shared(40)),
    "long text": put("text", "x" * 3_000_000),
    "dots in a name": put("model/encoder.class_path", "trap.Encoder"),
    "command in a name": put("model/__path__", "SITE/model.yaml"),
    "appending": put("trainer/callbacks+", spec("trap.Watcher")),
    "number as a name": put("data", {1: 2}),
    "other type": put("data/split_seed", torch.zeros(1)),
}

FILES = {
    "encoder.yaml": "class_path: trap.Encoder\n",
    "model.yaml": "encoder: {class_path: trap.Encoder}\nclassification_loss: {class_path: trap.Loss}\n",
    "arguments.yaml": "hidden_dims: [7]\n",
    "head.yaml": "dropout: 0.25\n",
    "stages.yaml": "- {start_epoch: 1, sampling: {class_path: trap.Sampling}}\n",
}


def write_trap(site: Path) -> None:
    """Write the trap and the files that settings name into a new folder."""
    site.mkdir()
    (site / "trap.py").write_text(TRAP)
    for name, text in FILES.items():
        (site / name).write_text(text)


def make_run(trained: Path, folder: Path, site: Path, *changes: Callable[[Settings, Path], None]) -> Path:
    """Copy a finished run, with changed settings in both of its checkpoints; returns the folder of the copy."""
    shutil.copytree(trained, folder)
    for path in folder.glob("checkpoints/*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        for change in changes:
            change(checkpoint["run_config"], site)
        torch.save(checkpoint, path)
    return folder


def write_hostile_evidence(run: Path, called: Path) -> None:
    """Replace the evidence by a file with a pickled object, which touches a file when it is read."""
    content = numpy.array([Payload(called)], dtype=object)
    numpy.savez(run / "checkpoints/best.evidence.npz", checkpoint=content, names=content)


def write_hostile_pickle(run: Path, called: Path) -> None:
    """Add a pickled object to both checkpoints, which touches a file when it is read."""
    for path in run.glob("checkpoints/*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        torch.save({**checkpoint, "hparams": Payload(called)}, path)
