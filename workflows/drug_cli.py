"""What the subcommands share: a LightningCLI over layers of settings, and the run's folder."""

from __future__ import annotations

import tempfile
from argparse import ArgumentError
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.strategies import DDPStrategy

from base.atomic_file import write_file
from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from lightning_app.cli import subcommand_lines
from modules.checkpoint_file import read_checkpoint
from modules.drug_classifier import DrugClassifier
from workflows.run_folder import RunSettings, claim_run_folder
from workflows.setting_errors import reword
from workflows.setting_layers import CONFIGS, dataset_settings, find_configs, option_value
from workflows.terminal import terminal_mode
from workflows.tracking import TrackingSettings, make_loggers


def _place_in_help(group: Any) -> int:
    """What a user changes most comes first."""
    section = group._group_actions[0].dest if group._group_actions else ""
    return {"help": 0, "data": 1, "model": 2, "trainer": 4}.get(section, 3)


class SaveRunConfig(SaveConfigCallback):
    """Writes the resolved settings into the run's folder and sends them to W&B, once."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called on the first process only."""
        config = cast(DrugClassifier, pl_module).run_config
        assert config is not None
        path = Path(trainer.default_root_dir) / self.config_filename
        write_file(path, lambda temporary: temporary.write_text(yaml.safe_dump(config, sort_keys=False)))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                task = cast(DrugDataModule, trainer.datamodule).task  # type: ignore[attr-defined]
                counts = dict(zip(task.classes, task.class_counts, strict=True))
                logger.experiment.config.update({**config, "class_counts": counts}, allow_val_change=True)


class DrugCLI(LightningCLI):
    """Reads settings, makes the run's folder, and wires trainer, model and data.

    Attributes:
        folder: Where this run writes.
        trained_task: What the checkpoint's model knows of its data; None without a checkpoint.
    """

    subcommand_name: str
    kept_settings: tuple[str, ...] | None = ("seed_everything", "model", "data")
    """Parts of a checkpoint's settings that lie under the user's; None keeps all."""
    uses_run_folder = True
    needs_checkpoint = True

    model: DrugClassifier
    datamodule: DrugDataModule

    def __init__(self, arguments: list[str]) -> None:
        """Parse and instantiate.

        Args:
            arguments: The command line after the subcommand.

        Raises:
            InputError: If there is no checkpoint, or no configuration file, of the name given, or a setting is unknown
                or of a wrong type.
        """
        self.trained_task: DrugTask | None = None
        super().__init__(
            DrugClassifier,
            DrugDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "parser_mode": "omegaconf+",
                "prog": f"lightning {self.subcommand_name}",
                "usage": f"lightning {self.subcommand_name} [options]",
                "description": f"What it does: {subcommand_lines()[self.subcommand_name]}.",
                "allow_abbrev": False,
                "exit_on_error": False,
            },
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Settings beside those of trainer, model and data."""
        (config,) = (action for action in parser._actions if action.dest == "config")
        config.help = "Settings in YAML, of yours or shipped, such as method/paper.yaml; later files and options win."
        parser.add_argument("--ckpt_path", type=str, default=None, help="A checkpoint that lightning fit wrote.")
        if self.uses_run_folder:
            parser.add_class_arguments(RunSettings, "run")
            parser.add_class_arguments(TrackingSettings, "tracking")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line over the shipped settings, or over those of a checkpoint."""
        from omegaconf import OmegaConf

        # For schedules: ${share:${trainer.max_epochs},0.5} is half of the epochs, and at least one.
        OmegaConf.register_resolver("share", lambda whole, part: max(1, round(whole * part)), replace=True)
        arguments = list(cast("list[str]", args))
        if {"-h", "--help"} & set(arguments):
            parser._action_groups = sorted(parser._action_groups, key=_place_in_help)
            parser.parse_args(arguments)
        configs = find_configs(arguments)
        for path in map(Path, configs):
            if path.parent.parent == CONFIGS and path.parent.name in ("sweep", "benchmark"):
                raise InputError(
                    f"config: {path.name} in configs/{path.parent.name} is for lightning {path.parent.name}."
                )
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder) / "base.yaml"
            base.write_text(self._base_settings(arguments))
            # A checkpoint brings the settings of its data set.
            dataset = dataset_settings(arguments) if self.trained_task is None else None
            layers = ["--config", str(base), *(["--config", str(dataset)] if dataset else [])]
            try:
                self.config = parser.parse_args([*layers, *configs])
            except ArgumentError as error:
                raise InputError(reword(str(error), parser, arguments)) from error

    def _base_settings(self, arguments: list[str]) -> str:
        checkpoint = option_value(arguments, "--ckpt_path")
        if checkpoint is None and self.needs_checkpoint:
            raise InputError(
                f"ckpt_path: {self.subcommand_name} needs --ckpt_path, a checkpoint that lightning fit wrote."
            )
        if checkpoint is None:
            return (CONFIGS / "default.yaml").read_text()
        saved = read_checkpoint(Path(checkpoint))
        settings, self.trained_task = saved.settings, saved.task
        if self.kept_settings is not None:
            settings = {name: settings[name] for name in self.kept_settings}
        return yaml.safe_dump(self.adapt_settings(settings))

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Change a checkpoint's settings for this subcommand, before the user's are laid over them."""
        return settings

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder."""
        self.folder = Path(tempfile.gettempdir())
        if self.uses_run_folder:
            self.folder = claim_run_folder(
                RunSettings(**self.config.run.as_dict()), self.config.data.source, self.resumed_from()
            )
        self.config.trainer.default_root_dir = str(self.folder)
        source = Path(self.config.data.source)
        if source.is_file():
            # Whole, so that the checkpoint can be tested from another folder.
            self.config.data.source = str(source.resolve())

    def resumed_from(self) -> Path | None:
        """The checkpoint whose run goes on in its folder, if any."""
        return None

    def callbacks(self) -> list[Callback]:
        """The callbacks of this subcommand."""
        return []

    def instantiate_classes(self) -> None:
        """Make trainer, model and data module.

        Raises:
            InputError: If settings are out of range or do not go together.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise InputError(f"settings: {error}") from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with the callbacks and loggers of the subcommand."""
        settings = self.config_init.trainer.as_dict()
        if settings["accelerator"] == "auto" and torch.backends.mps.is_available():
            # Apple's GPUs have no float64, in which distances are computed.
            settings["accelerator"] = "cpu"
        if terminal_mode().quiet:
            settings["enable_progress_bar"] = False
        callbacks = self.callbacks() + (settings["callbacks"] or [])
        if self.uses_run_folder:
            callbacks.append(SaveRunConfig(self.parser, self.config, save_to_log_dir=False))
        logger = make_loggers(self.config_init.tracking, self.folder) if self.uses_run_folder else False
        changed = {"callbacks": callbacks, "logger": logger, "use_distributed_sampler": False}
        trainer = Trainer(**{**settings, **changed, **kwargs})
        frozen = any(stage.frozen for stage in self.config_init.get("stages", []))
        if isinstance(trainer.strategy, DDPStrategy) and (
            frozen or self.config_init.model.objective.leaves_parameters_out
        ):
            # Plain DDP takes a parameter without a gradient for a mistake.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        return trainer

    def after_instantiate_classes(self) -> None:
        """Hand the model its settings, for checkpoints, and the data module what a trained model knows."""
        self._dump_config()
        self.model.run_config = {
            name: value for name, value in self.config_dump.items() if name not in ("config", "ckpt_path")
        }
        self.datamodule.trained_task = self.trained_task

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that the user named."""
        return cast("str | None", self.config.ckpt_path)
