"""A trainer whose processes share the folder of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.strategies import DDPStrategy

from base.atomic_file import write_file
from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from modules.drug_classifier import DrugClassifier
from workflows.checkpoint_io import AtomicCheckpointIO
from workflows.run_folder import RunFolder
from workflows.tracking import TrackingSettings, make_loggers

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

    def start_tracking(self, settings: TrackingSettings) -> None:
        """Create the loggers; if that fails, an empty folder of the run is removed.

        Args:
            settings: What is tracked where.
        """
        try:
            self.loggers = make_loggers(settings, self.run_folder, self.is_global_zero)
        except BaseException:
            self.claimed.remove_if_empty()
            raise

    def finish_tracking(self, exit_code: int = 0) -> None:
        """End the run in W&B, if there is one, so that nothing more is written there.

        Args:
            exit_code: 0 if the run succeeded.
        """
        if any(isinstance(logger, WandbLogger) for logger in self.loggers):
            import wandb

            wandb.finish(exit_code=exit_code)


class SaveSettings(Callback):
    """Sends the folder of the run to all processes, and saves the settings there and in W&B."""

    def __init__(self) -> None:
        self._saved = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Share the folder, and save the settings from the first process, once."""
        folder = Path(trainer.strategy.broadcast(str(cast(RunTrainer, trainer).run_folder)))
        cast(RunTrainer, trainer).run_folder = folder
        if self._saved or not trainer.is_global_zero:
            return
        self._saved = True
        config = cast(DrugClassifier, pl_module).run_config
        assert config is not None
        text = yaml.safe_dump(config, sort_keys=False)
        write_file(folder / "config.yaml", lambda temporary: temporary.write_text(text))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                task = cast(DrugDataModule, trainer.datamodule).task  # type: ignore[attr-defined]
                counts = dict(zip(task.classes, task.class_counts, strict=True))
                logger.experiment.config.update({**config, "class_counts": counts}, allow_val_change=True)


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
        chosen = ("accelerator", "devices", "num_nodes", "strategy", "plugins")
        trainer = Trainer(
            **{name: settings[name] for name in chosen},
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        if not isinstance(trainer.strategy, DDPStrategy):
            return strategy
        strategy = "ddp"
    return f"{strategy}_find_unused_parameters_true"


def usable_accelerator(asked: str | Any) -> str | Any:
    """The accelerator to train on.

    Args:
        asked: The setting.
    """
    # Apple GPUs do not support float64, which the class distances need.
    return "cpu" if asked == "auto" and torch.backends.mps.is_available() else asked
