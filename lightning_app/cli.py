"""The `lightning` command: answers `--help` at once and loads a subcommand only when it runs."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflows.terminal import Terminal, take_terminal_options

SUBCOMMANDS = {
    "fit": ("lightning_app.fit", "main"),
    "validate": ("lightning_app.evaluate", "validate"),
    "test": ("lightning_app.evaluate", "test"),
    "predict": ("lightning_app.predict", "main"),
    "prepare": ("lightning_app.prepare", "main"),
    "sweep": ("lightning_app.sweep", "main"),
    "benchmark": ("lightning_app.benchmark", "main"),
    "datasets": ("lightning_app.datasets", "main"),
    "report": ("lightning_app.report", "main"),
    "compare": ("lightning_app.compare", "main"),
    "completion": ("lightning_app.completion", "main"),
}

_PROCESS_NUMBERS = ("RANK", "LOCAL_RANK")
"""Environment variables that torchrun and Lightning number the processes of a run with.

SLURM's is none of them: it also numbers the workers of a benchmark, whose runs inherit it and must say what is wrong.
"""

_EXTRAS = {
    **dict.fromkeys(
        ("optuna", "optuna_integration", "jsonschema", "sklearn", "scikit_posthocs", "statsmodels", "matplotlib"),
        "experiments",
    ),
    "umap": "umap",
}

HELP = """\
usage: {command} <subcommand> [options]

Classify drugs when some classes have ten thousand examples and some have five.

subcommands:
  fit         train, test the best checkpoint and report; with no option, on the embedded inn_stems drugs
  validate    metrics of a checkpoint on the validation split
  test        metrics of a checkpoint on the test split
  predict     labels, probabilities and evidence for a table of SMILES, or for one SMILES
  prepare     download, check and featurize a table ahead of time
  sweep       search for the settings that validate best
  benchmark   a grid of data sets, methods and seeds, and tables that compare them
  datasets    list the data sets that are known by name
  report      a page of what a run found, as every fit writes it
  compare     several runs on one page
  completion  a script with which bash, zsh or tcsh completes these commands on TAB

common options ({command} <subcommand> --help shows more):
  --data.source FILE    a CSV, TSV or Parquet table, an .npz of arrays, or a known data set
  --config FILE         settings in YAML, options win. Shipped: data/*.yaml, method/*.yaml, debug.yaml
  --ckpt_path FILE      a checkpoint to resume, test or predict with
  --quiet, --json       warnings alone; and the result as one line of JSON
  --debug               errors with their traceback

examples:
  {command} fit --data.source my_drugs.csv
  {command} fit --data.source hiv --config method/paper.yaml
  {command} predict --ckpt_path runs/my_drugs/version_0/checkpoints/best.ckpt --data.source new.csv --output out.csv
"""


def main() -> None:
    """Run the command line; the exit status is 2 where the user's input is at fault."""
    terminal, arguments = take_terminal_options(sys.argv[1:], _command())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP.replace("{command}", terminal.command), end="")
        return
    if arguments[0] not in SUBCOMMANDS:
        known = ", ".join(SUBCOMMANDS)
        sys.exit(_complain(f"there is no subcommand {arguments[0]!r}; expected one of {known}.", terminal))
    module, function = SUBCOMMANDS[arguments[0]]
    process = next((int(os.environ[name]) for name in _PROCESS_NUMBERS if name in os.environ), 0)
    try:
        with _messages(terminal, process == 0):
            getattr(importlib.import_module(module), function)(arguments[1:], terminal)
    except Exception as error:
        if terminal.debug:
            raise
        sys.exit(_explain(error, arguments[0], process, terminal))


def _command() -> str:
    """The name that the command was called by; `python -m lightning_app.cli` is `lightning`."""
    name = Path(sys.argv[0]).stem
    return name if name in ("lightning", "tailmol") else "lightning"


def _explain(error: Exception, subcommand: str, process: int, terminal: Terminal) -> int:
    """Say what is wrong in one sentence; the exit status is 2 where the user's input is at fault, else 1."""
    from base.errors import InputError

    if isinstance(error, InputError):
        # Every process finds the same mistake in the same input; the first one says so.
        return 2 if process else _complain(str(error), terminal)
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] in _EXTRAS:
        extra = _EXTRAS[str(error.name).split(".")[0]]
        sentence = f"{subcommand} needs the package {error.name}; pip install 'tailmol[{extra}]' brings it."
        return _complain(sentence, terminal)
    if type(error).__name__ == "MisconfigurationException":
        return _complain(f"trainer: {str(error).rstrip('.!')}.", terminal)
    where = f"process {process}: " if process else ""
    what = f"{where}{type(error).__name__}: {str(error).rstrip('.')}"
    advice = "This is a bug in tailmol, or a setting that is not checked; --debug shows where."
    _complain(f"{what}. {advice}", terminal)
    return 1


class _StandardError(logging.Handler):
    """Writes to what standard error is at the moment, so that messages stand above a line of progress."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        print(self.format(record), file=sys.stderr)


@contextmanager
def _messages(terminal: Terminal, first: bool) -> Iterator[None]:
    """Show messages of this project while the block runs."""
    log, handler = logging.getLogger("tailmol"), _StandardError()
    shown = logging.DEBUG if terminal.debug else logging.WARNING if terminal.quiet else logging.INFO
    before = log.level
    log.addHandler(handler)
    log.setLevel(shown if first else logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _complain(sentence: str, terminal: Terminal) -> int:
    print(f"{terminal.command}: error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
