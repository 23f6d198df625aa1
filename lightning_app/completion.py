"""`lightning completion`: a script with which a shell completes `lightning` on TAB, without starting Python."""

from __future__ import annotations

import functools
import importlib
import re
from argparse import Action, ArgumentParser
from typing import Any

from lightning_app.cli import SUBCOMMANDS, subcommand_lines
from workflows.option_values import import_classes, listed_values, named_classes
from workflows.setting_layers import shipped_names

_FILES = ("ckpt_path", "output", "distill.teacher", "run", "runs")
_FOLDERS = ("folder", "run.root", "data.cache_folder", "trainer.default_root_dir")

# Three things that the generated function does not know: bash takes --option=value for three words; what follows the
# -- of a sweep is for fit; and options of an option's class would bury the others, so they wait for the second dot.
_BASH = """

_lightning_on_tab() {
  local typed word given=() kept=()
  for word in "${COMP_WORDS[@]:0:COMP_CWORD}"; do
    if [[ $word == -- && ${given[1]} == sweep ]]; then given=(lightning fit)
    elif [[ $word != = ]]; then given+=("$word"); fi
  done
  typed=${COMP_WORDS[COMP_CWORD]#=}
  local COMP_WORDS=("${given[@]}" "$typed") COMP_CWORD=${#given[@]}
  _shtab_lightning
  for word in "${COMPREPLY[@]}"; do
    [[ $word == --*.*.* && $typed != *.*.* ]] || kept+=("$word")
  done
  COMPREPLY=("${kept[@]}")
  [[ ${#kept[@]} -eq 1 && $kept == */ ]] && compopt -o nospace 2>/dev/null
}
complete -o bashdefault -F _lightning_on_tab lightning"""

_ZSH_VALUE = re.compile(r'^  (\{[\w,-]+\}"|"--[\w.-]+)(\[(?:[^\]\\]|\\.)*\]:)', re.MULTILINE)


def main(arguments: list[str]) -> None:
    """Run the subcommand.

    Args:
        arguments: The command line after `completion`.
    """
    print(completion_script(make_parser().parse_args(arguments).shell))


def make_parser() -> ArgumentParser:
    """What the subcommand takes."""
    parser = ArgumentParser(
        prog="lightning completion",
        description="Print a script that completes subcommands, options, files and names on TAB. "
        "In this terminal: source <(lightning completion bash)",
    )
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell that you type commands into")
    return parser


def completion_script(shell: str) -> str:
    """The script.

    Args:
        shell: `bash` or `zsh`.
    """
    import shtab

    import_classes()
    lines = subcommand_lines()
    parser = ArgumentParser(prog="lightning")
    subparsers = parser.add_subparsers()
    for subcommand in SUBCOMMANDS:
        subparser = subparsers.add_parser(subcommand, help=lines[subcommand], add_help=False)
        for mode in ("--quiet", "--json", "--debug"):
            subparser.add_argument(mode, action="store_true")
        for action in _actions(subcommand):
            complete = _files_and_names(action, subcommand)
            if complete:
                action.complete = complete  # type: ignore[attr-defined]
            subparser._add_action(action)
    script = str(shtab.complete(parser, shell))
    return script + _BASH if shell == "bash" else _ZSH_VALUE.sub(_with_equals_sign, script)


def _with_equals_sign(option: re.Match[str]) -> str:
    """A zsh specification that takes --option=value too, and one with a short form as often as it is given."""
    names, description = option[1], option[2]
    if names.startswith("{"):
        return f'  "*"{names.replace("--config", "--config=")}{description}'
    return f"  {names}={description}"


def _actions(subcommand: str) -> list[Action]:
    """Plain copies of what a subcommand's parser takes, and of what the classes take that its options name."""
    from jsonargparse import capture_parser

    name, function = SUBCOMMANDS[subcommand]
    module = importlib.import_module(name)
    if subcommand == "datasets":  # takes nothing
        parser = ArgumentParser()
    elif hasattr(module, "make_parser"):
        parser = module.make_parser()
    else:
        parser = capture_parser(getattr(module, function), ["--help"])
    inner = [
        inner
        for action in parser._actions
        if re.fullmatch(r"(model|data)\.\w+", action.dest)
        for cls in named_classes(getattr(action, "_typehint", None))
        for inner in _init_args(action.dest, cls)
    ]
    # --option+ appends to a list, a spelling that zsh takes for something else.
    return [
        Action(
            [option for option in action.option_strings if not option.endswith("+")],
            action.dest,
            nargs=action.nargs,
            choices=action.choices or listed_values(getattr(action, "_typehint", None)) or None,
            help=action.help or "",
            metavar=action.metavar,
        )
        for action in [*parser._actions, *{action.dest: action for action in inner}.values()]
    ]


@functools.cache
def _init_args(setting: str, cls: type) -> list[Action]:
    from jsonargparse import ArgumentParser as ClassParser

    parser = ClassParser()
    # What optimisers and schedules are made of is not a setting.
    parser.add_class_arguments(cls, f"{setting}.init_args", skip={"params", "optimizer"})
    return [action for action in parser._actions if re.search(r"\.init_args\.\w+$", action.dest)]


def _files_and_names(action: Action, subcommand: str) -> dict[str, Any] | None:
    """How shtab completes an option that takes a file, a folder, or a file and known names."""
    import shtab

    from datamodules.datasets.dataset_catalog import CATALOGUE

    if action.dest == "data.source":
        return _files_or("data_sets", list(CATALOGUE))
    if action.dest == "config":
        own = subcommand if subcommand in ("sweep", "benchmark") else "fit"
        names = shipped_names("")
        special = {"sweep": r"sweep/", "benchmark": r"benchmark/", "fit": r"(?!sweep/|benchmark/)"}[own]
        return _files_or(f"configs_{own}", [name for name in names if re.match(special, name)])
    if action.dest in _FOLDERS:
        return shtab.DIRECTORY
    return shtab.FILE if action.dest in _FILES or action.metavar == "CONFIG" else None


def _files_or(kind: str, names: list[str]) -> dict[str, Any]:
    function, words = f"_lightning_files_or_{kind}", " ".join(names)
    # One folder at a time, as files are.
    first = " ".join(sorted({re.sub("/.*", "/", name) for name in names}))
    bash = f'''{function}() {{
  if [[ $1 == */* ]]; then compgen -W "{words}" -- "$1"; else compgen -W "{first}" -- "$1"; fi
  compgen -f -- "$1"
}}'''
    zsh = f"{function}() {{ compadd -- {words}; _files }}"
    return {"bash": function, "zsh": function, "preamble": {"bash": bash, "zsh": zsh}}
