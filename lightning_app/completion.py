"""`lightning completion`: print a script for tab completion, which does not start Python."""

from __future__ import annotations

import importlib
from argparse import Action, ArgumentParser

from lightning_app.cli import SUBCOMMANDS
from workflows.settings.config_files import FOLDERS, shipped_names
from workflows.terminal import Terminal

_FILES = ("ckpt_path", "costs", "output", "run", "runs", "test")
_FOLDERS = ("folder", "run.root", "data.cache_folder")


def main(arguments: list[str], terminal: Terminal) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `completion`.
        terminal: Name and output options of the command.
    """
    shell = make_parser(terminal.command).parse_args(arguments).shell
    print(completion_script(shell, terminal.command))


def make_parser(command: str = "lightning") -> ArgumentParser:
    """The parser of the subcommand.

    Args:
        command: Name of the command, for messages.
    """
    import shtab

    parser = ArgumentParser(
        prog=f"{command} completion",
        description="Print a script for tab completion of subcommands, options and files. To use it in this bash "
        f"session: source <({command} completion bash)",
    )
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="name of your shell")
    return parser


def completion_script(shell: str, command: str = "lightning") -> str:
    """The completion script, made from the parsers of all subcommands.

    Args:
        shell: Name of a shell that shtab supports.
        command: Name of the command to complete.
    """
    import shtab

    parser = ArgumentParser(prog=command)
    subparsers = parser.add_subparsers()
    for subcommand in SUBCOMMANDS:
        options = _parser_of(subcommand)
        for action in options._actions:
            _complete_values(action, subcommand)
        subparser = subparsers.add_parser(subcommand, help=subcommand, parents=[options], add_help=False)
        for mode in ("--quiet", "--json", "--debug"):
            subparser.add_argument(mode, action="store_true")
    return str(shtab.complete(parser, shell))


def _parser_of(subcommand: str) -> ArgumentParser:
    from jsonargparse import capture_parser

    name, function = SUBCOMMANDS[subcommand]
    module = importlib.import_module(name)
    if subcommand == "datasets":  # It has no options.
        return ArgumentParser()
    if hasattr(module, "make_parser"):
        parser: ArgumentParser = module.make_parser()
        return parser
    return capture_parser(getattr(module, function), ["--help", "all"], Terminal())


def _complete_values(action: Action, subcommand: str) -> None:
    """Set what an option is completed with: files, folders, or a list of words."""
    import shtab

    from datamodules.datasets.dataset_catalog import CATALOG

    words = action.metavar[1:-1].split(",") if isinstance(action.metavar, str) and action.metavar[:1] == "{" else []
    if action.dest == "config":
        folders = (subcommand,) if subcommand in ("sweep", "benchmark") else (*FOLDERS, "debug.yaml")
        words = [name for folder in folders for name in shipped_names(folder)]
    if action.dest == "data.source":
        words = list(CATALOG)
    if action.dest in _FOLDERS:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.dest in ("config", "data.source"):
        action.complete = _files_or(f"{subcommand}_{action.dest.replace('.', '_')}", words)  # type: ignore[attr-defined]
    elif action.dest in _FILES:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif words:
        action.choices = words


def _files_or(kind: str, names: list[str]) -> dict[str, object]:
    function, words = f"_tailmol_files_or_{kind}", " ".join(names)
    bash = f'{function}() {{ compgen -W "{words}" -- "$1"; compgen -f -- "$1"; }}'
    zsh = f"{function}() {{ compadd -- {words}; _files }}"
    return {"bash": function, "zsh": function, "tcsh": "f", "preamble": {"bash": bash, "zsh": zsh}}
