"""The base of the subcommands: a LightningCLI with layers of settings and a run folder."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentError
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from base.errors import InputError
from base.ranges import check_seed
from base.user_path import path_of
from callbacks.matmul_precision import MatmulPrecision
from datamodules.drug_datamodule import DrugDataModule
from datamodules.drug_task import DrugTask
from modules.checkpoint_file import Checkpoint, read_checkpoint
from modules.drug_classifier import DrugClassifier
from modules.saved_settings.checkpoint_check import CheckpointCheck
from modules.saved_settings.known_classes import trusted_modules
from workflows.run_folder import RunFolder, RunSettings, claim_run_folder
from workflows.run_trainer import RunTrainer, SaveSettings, strategy_for_unused_parameters, usable_accelerator
from workflows.settings.command_help import COMMON, TRUST, Option, add_config, add_options, common_help, option_type
from workflows.settings.command_line import split_command_line, take_option
from workflows.settings.errors import reword, reword_range
from workflows.settings.guessed_columns import name_guessed_columns
from workflows.settings.layers import CommandSettings, read_command
from workflows.settings.lightning_numbers import check_trainer_numbers
from workflows.settings.listing import list_settings
from workflows.settings.merge import Layer
from workflows.settings.option_values import import_classes
from workflows.settings.saved import checked_settings
from workflows.tracking import TrackingSettings


class DrugCLI(LightningCLI):
    """Reads the settings of a subcommand and creates its trainer, model and data module.

    Attributes:
        trained_task: Classes and features of the checkpoint's model; None without a checkpoint.
        saved: The checkpoint, whose settings are not checked; None without one.
        trust: Modules with classes of the user that a checkpoint may name.
        settings: The layers of settings.
        options: Options that are not arguments of a class, by name.
        sections: Classes whose arguments are options, by the name before the dot.
    """

    subcommand_name: str
    description: str
    common_settings: Mapping[str, Mapping[str, str]]
    """What `--help` says of the settings that it shows, by their name and the title of their group."""
    kept_settings: tuple[str, ...] | None = ("seed_everything", "model", "data")
    """Sections of a checkpoint's settings that are used; None uses all."""
    unused_settings: Mapping[str, tuple[str, ...]] = {"model": ("optimizer", "lr_scheduler"), "data": ("sampling",)}
    """Arguments of a checkpoint's settings that are not used, by section."""
    fixed_settings: tuple[str, ...] = ()
    """Names of settings that always keep the value of the checkpoint."""
    uses_run_folder = True
    needs_checkpoint = True

    model: DrugClassifier
    datamodule: DrugDataModule
    trainer: Trainer

    def __init__(self, arguments: list[str], command: str = "lightning", show_progress: bool = True) -> None:
        """Parse the settings and create trainer, model and data module.

        Args:
            arguments: The command line after the subcommand.
            command: Name of the command, for messages.
            show_progress: Whether to show progress on the terminal.

        Raises:
            InputError: If a checkpoint or a settings file does not exist, or a setting is unknown or invalid.
        """
        self.trained_task: DrugTask | None = None
        self.saved: Checkpoint | None = None
        self.trust: tuple[str, ...] = ()
        self.options = {**COMMON, **self.own_options()}
        self.sections: dict[str, type] = {"trainer": Trainer, "model": DrugClassifier, "data": DrugDataModule}
        self.command, self.show_progress = command, show_progress
        super().__init__(
            DrugClassifier,
            DrugDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "parser_mode": "omegaconf+",
                "prog": f"{command} {self.subcommand_name}",
                "usage": f"{command} {self.subcommand_name} [options]",
                "description": self.description,
                "allow_abbrev": False,
                "exit_on_error": False,
            },
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Create a parser with the option `--config`."""
        parser = LightningArgumentParser(**kwargs)
        add_config(parser)
        return parser

    def own_options(self) -> dict[str, Option]:
        """Further options of the subcommand that are not arguments of a class, by name."""
        return {}

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that are not arguments of a class."""
        add_options(parser, self.options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the settings other than those of trainer, model and data."""
        if self.uses_run_folder:
            self.add_section(parser, RunSettings, "run")
            self.add_section(parser, TrackingSettings, "tracking")

    def add_section(self, parser: LightningArgumentParser, cls: type, name: str) -> None:
        """Add options for the arguments of a class.

        Args:
            parser: Parser of the subcommand.
            cls: The class.
            name: The name before the dot.
        """
        parser.add_class_arguments(cls, name)
        self.sections[name] = cls

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Merge the layers of settings and parse them, followed by the options on the command line."""
        from omegaconf import OmegaConf

        # For schedules: ${share:${trainer.max_epochs},0.5} is half of the epochs, but at least one.
        OmegaConf.register_resolver("share", lambda total, fraction: max(1, round(total * fraction)), replace=True)
        trust, arguments = take_option(cast("list[str]", args), "trust")
        self.trust = trusted_modules(trust)
        if {"-h", "--help"} & set(arguments):
            self._print_help(parser, everything="all" in arguments)
            raise SystemExit(0)
        self.settings = self.read_settings([word for word in arguments if word != "--print_config"])
        with tempfile.TemporaryDirectory() as folder:
            under_options = Path(folder) / "settings.yaml"
            under_options.write_text(yaml.safe_dump(self.settings.under_options, sort_keys=False))
            try:
                self.config = parser.parse_args(["--config", str(under_options), *self.settings.words])
            except ArgumentError as error:
                names, listing = parser.get_defaults().keys(), f"{parser.prog} --help all"
                raise InputError(
                    reword(str(error), listing, names, split_command_line(arguments), self.type_of)
                ) from error
        if "--print_config" in arguments:
            print(list_settings(self.plain_settings(), self.settings.composition))
            raise SystemExit(0)
        # From here on, the table is found from any working directory, and by libraries that do not know ~.
        source = path_of(self.config.data.source)
        if source.is_file():
            self.config.data.source = str(source.resolve())
        self.check_numbers()

    def _print_help(self, parser: LightningArgumentParser, everything: bool) -> None:
        if everything:
            import_classes()
            add_options(parser, TRUST)
            parser.parse_args(["--help"])
        saved = self.kept_settings or () if self.needs_checkpoint else ()
        # A known data set, such as the default, would bring the names of its columns.
        settings = {} if self.needs_checkpoint else read_command(["--data.source=new.csv"]).under_options
        print(common_help(parser, self.common_settings, settings, saved), end="")

    def check_numbers(self) -> None:
        """Raise InputError if a number that no class of ours takes is out of range."""
        check_seed("seed_everything", int(self.config.seed_everything))
        check_trainer_numbers(self.config.trainer)

    def read_settings(self, arguments: list[str]) -> CommandSettings:
        """Merge the layers of settings.

        Args:
            arguments: The command line after the subcommand.

        Raises:
            InputError: If a settings file is invalid, a required checkpoint is missing, or one is not to be trusted.
        """
        checkpoint = split_command_line(arguments).value("ckpt_path")
        if checkpoint is None and self.needs_checkpoint:
            raise InputError(f"ckpt_path: expected a checkpoint written by {self.command} fit, got none.")
        if checkpoint is None:
            return read_command(arguments)
        self.saved = read_checkpoint(Path(checkpoint))
        self.trained_task = self.saved.task
        layer = Layer("checkpoint", self.adapt_settings(self._used_settings(self.saved)))
        return read_command(arguments, layer, self.fixed_settings)

    def _used_settings(self, saved: Checkpoint) -> dict[str, Any]:
        """The settings of a checkpoint that this subcommand uses, after their check."""
        known: dict[str, type | Option] = {**self.sections, **self.options}
        kept = self.kept_settings or [name for name in known if name not in ("ckpt_path", "run")]
        check = CheckpointCheck(saved.path, trust=self.trust)
        return checked_settings(check, saved.settings, {name: known[name] for name in kept}, self.unused_settings)

    def adapt_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Change the settings of a checkpoint for this subcommand, before the user's settings are applied."""
        return settings

    def type_of(self, name: str) -> object:
        """The type of an option, see `option_type`."""
        return option_type(name, self.sections, self.options)

    def plain_settings(self) -> dict[str, Any]:
        """The settings as plain types, without the paths of settings files and checkpoint."""
        # Reading and writing YAML takes much longer.
        text = self.parser.dump(self.config, skip_link_targets=False, skip_unset=False, format="json")
        return {name: value for name, value in json.loads(text).items() if name not in ("config", "ckpt_path")}

    def before_instantiate_classes(self) -> None:
        """Name the columns of the table."""
        self.name_columns()

    def name_columns(self, need_labels: bool = True) -> None:
        """Name the columns of the table in the settings, those of a checkpoint only if the table has them."""
        name_guessed_columns(self.config.data, self.settings.is_saved, self.trained_task, need_labels)

    def resumed_from(self) -> Path | None:
        """The checkpoint of the run to resume, if any."""
        return None

    def goes_on(self) -> bool:
        """Whether the run in its folder goes on, also in W&B."""
        return False

    def callbacks(self) -> list[Callback]:
        """The callbacks of the subcommand."""
        return []

    def instantiate_classes(self) -> None:
        """Create trainer, model and data module.

        Raises:
            InputError: If a setting is out of range or incompatible with another one.
        """
        try:
            self.config_init = self.parser.instantiate(self.config)
            self.model, self.datamodule = self.config_init.model, self.config_init.data
            self.trainer = self.instantiate_trainer()
        except InputError:
            raise
        except ValueError as error:
            raise InputError(reword_range(str(error))) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Create the trainer with the callbacks and loggers of the subcommand."""
        settings = self.config_init.trainer.as_dict()
        settings["accelerator"] = usable_accelerator(settings["accelerator"])
        if not self.show_progress:
            settings["enable_progress_bar"] = False
        if self.has_unused_parameters():
            settings["strategy"] = strategy_for_unused_parameters(settings)
        own: list[Callback] = [MatmulPrecision(self.config.float32_matmul_precision)]
        own += [SaveSettings()] if self.uses_run_folder else []
        settings["callbacks"] = [*own, *self.callbacks(), *(settings["callbacks"] or [])]
        changed = {"logger": False, "use_distributed_sampler": False}
        # Only fit writes checkpoints; Lightning's own callback would warn about its folder.
        changed |= {"enable_checkpointing": False} if self.needs_checkpoint else {}
        trainer = RunTrainer(self._claim_folder, **{**settings, **changed, **kwargs})
        if self.uses_run_folder:
            trainer.start_tracking(self.config_init.tracking, self.subcommand_name, self.goes_on(), settings["logger"])
        return trainer

    def has_unused_parameters(self) -> bool:
        """Whether a step of some epoch does not use all parameters of the model."""
        return cast(DrugClassifier, self.config_init.model).objective.has_unused_parameters

    def _claim_folder(self) -> RunFolder:
        if not self.uses_run_folder:
            return RunFolder(Path(tempfile.gettempdir()))
        run = RunSettings(**self.config.run.as_dict())
        return claim_run_folder(run, self.config.data.source, self.resumed_from(), exclusive=True)

    def after_instantiate_classes(self) -> None:
        """Pass the settings to the model, for its checkpoints, and the trained task to the data module."""
        self.model.run_config = self.plain_settings()
        self.datamodule.trained_task = self.trained_task

    @property
    def folder(self) -> Path:
        """Folder of the run; on processes other than the first one, known only after the trainer has started."""
        return cast(RunTrainer, self.trainer).run_folder

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint given on the command line, if any."""
        return cast("str | None", self.config.ckpt_path)
