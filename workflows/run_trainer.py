"""A trainer whose processes share the folder of a run."""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy

from base.atomic_file import write_file
from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from workflows.checkpoint_io import AtomicCheckpointIO
from workflows.run_folder import RunFolder
from workflows.slow_precision import warn_of_slow_bfloat16
from workflows.tracking import ContinuedCSVLogger, TrackingSettings, further_loggers, make_loggers
from workflows.wandb_run import finish, save_id

_PLAIN_DDP = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")


class RunTrainer(Trainer):
    """A trainer that writes into the folder of a run.

    Attributes:
        run_folder: Folder of the run; on processes other than the first one, known only after `setup`.
        claimed: The folder as the first process claimed it.
    """

    def __init__(self, claim_folder: Callable[[], RunFolder], **settings: Any) -> None:
        """Create the trainer and, on the first process, the folder of the run.

        Args:
            claim_folder: Creates the folder.
            **settings: Arguments of Lightning's trainer.
        """
        plugins = settings.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, AtomicCheckpointIO()]
        super().__init__(**{**settings, "plugins": plugins})
        warn_of_slow_bfloat16(self)
        self.claimed = claim_folder() if self.is_global_zero else RunFolder(Path(tempfile.gettempdir()))
        self.run_folder = self.claimed.path

    @property
    def default_root_dir(self) -> str:
        """The folder of the run."""
        return str(self.run_folder)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Remove the folder of the run if the block leaves it empty or refuses the input before the first step.

        The folder stays if the message names a file in it.
        """
        try:
            yield
        except InputError as error:
            if self.global_step == 0 and str(self.run_folder) not in str(error):
                self.finish_tracking(exit_code=1)
                self.claimed.discard()
            raise
        finally:
            self.claimed.remove_if_empty()

    def start_tracking(self, settings: TrackingSettings, job_type: str, goes_on: bool, further: object) -> None:
        """Create the loggers; if that fails, an empty folder of the run is removed.

        Args:
            settings: What is tracked where.
            job_type: Kind of the run in W&B if the settings do not name one.
            goes_on: Whether the run in the folder goes on, also in W&B.
            further: Loggers beside those of every run, as the setting `trainer.logger` gives them.
        """
        try:
            self.loggers = [
                *make_loggers(settings, self.run_folder, self.is_global_zero, job_type, goes_on),
                *further_loggers(further),
            ]
        except BaseException:
            self.claimed.remove_if_empty()
            raise

    def finish_tracking(self, exit_code: int = 0) -> None:
        """End the run in W&B, if there is one, so that nothing more is written there.

        Args:
            exit_code: 0 if the run succeeded.
        """
        finish(self.loggers, exit_code)


class SaveSettings(Callback):
    """Sends the folder of the run to all processes, and saves the settings there and with the loggers."""

    def __init__(self) -> None:
        self._saved = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Share the folder, and save the settings from the first process, once.

        Raises:
            InputError: If MLflow would refuse the metrics of a class.
        """
        folder = Path(trainer.strategy.broadcast(str(cast(RunTrainer, trainer).run_folder)))
        cast(RunTrainer, trainer).run_folder = folder
        task = cast(DrugDataModule, trainer.datamodule).task  # type: ignore[attr-defined]
        if any(isinstance(logger, MLFlowLogger) for logger in trainer.loggers):
            check_names_for_mlflow(task.classes)
        if self._saved or not trainer.is_global_zero:
            return
        self._saved = True
        config = cast(DrugClassifier, pl_module).run_config
        assert config is not None
        text = yaml.safe_dump(config, sort_keys=False)
        write_file(folder / "config.yaml", lambda temporary: temporary.write_text(text))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                counts = dict(zip(task.classes, task.class_counts, strict=True))
                logger.experiment.config.update({**config, "class_counts": counts}, allow_val_change=True)
                save_id(folder, logger.experiment)
            elif not isinstance(logger, ContinuedCSVLogger):
                # MLflow allows no change of a parameter, so a resumed run could not name its own.
                own = {name: value for name, value in config["trainer"].items() if name != "logger"}
                logger.log_hyperparams({**config, "trainer": own})


def check_names_for_mlflow(classes: Sequence[str]) -> None:
    """Check that each class has metrics of its own in MLflow, which would otherwise stop the run at its end.

    Args:
        classes: Names of the classes.

    Raises:
        InputError: If one has none.
    """
    # Lightning leaves the other characters out, and MLflow takes only what is the shortest form of a path.
    names = [re.sub("[^a-zA-Z0-9_/. -]+", "", f"recall/{name}") for name in classes]
    for place, (name, kept) in enumerate(zip(classes, names, strict=True)):
        if posixpath.normpath(kept) != kept or kept in names[:place]:
            raise InputError(
                "trainer.logger: expected classes whose names differ in English letters, digits, spaces, _, -, . and "
                f"single slashes, which are all that MLflow takes, got {name!r}."
            )


def strategy_for_unused_parameters(settings: dict[str, Any]) -> Any:
    """The strategy for a model whose steps do not use all parameters.

    By default, DDP raises an error for parameters without a gradient.

    Args:
        settings: Arguments of Lightning's trainer.

    Returns:
        The given strategy, or the name of a DDP strategy that finds unused parameters.
    """
    strategy = settings["strategy"]
    if strategy not in _PLAIN_DDP:
        return strategy
    if strategy == "auto":
        if not isinstance(idle_trainer(settings).strategy, DDPStrategy):
            return strategy
        strategy = "ddp"
    return f"{strategy}_find_unused_parameters_true"


def idle_trainer(settings: dict[str, Any]) -> Trainer:
    """A trainer that is never run, but knows the strategy and which of the processes this one is.

    Args:
        settings: Arguments of Lightning's trainer.
    """
    chosen = ("accelerator", "devices", "num_nodes", "strategy", "plugins")
    return Trainer(
        **{name: settings[name] for name in chosen},
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def usable_accelerator(asked: str | Any) -> str | Any:
    """The accelerator to train on.

    Args:
        asked: The setting.
    """
    # Apple GPUs do not support float64, which the class distances need.
    return "cpu" if asked == "auto" and torch.backends.mps.is_available() else asked
