"""The `lightning` command, which imports a subcommand only when it runs, so that `--help` is fast."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from base.printable import printable
from workflows.terminal import Terminal, process_number, take_terminal_options

SUBCOMMANDS = {
    "fit": ("lightning_app.fit", "main"),
    "validate": ("lightning_app.evaluate", "run_validate"),
    "test": ("lightning_app.evaluate", "run_test"),
    "predict": ("lightning_app.predict", "main"),
    "decide": ("lightning_app.decide", "main"),
    "embed": ("lightning_app.embed", "main"),
    "export": ("lightning_app.export", "main"),
    "submit": ("lightning_app.submit", "main"),
    "prepare": ("lightning_app.prepare", "main"),
    "sweep": ("lightning_app.sweep", "main"),
    "benchmark": ("lightning_app.benchmark", "main"),
    "datasets": ("lightning_app.datasets", "main"),
    "report": ("lightning_app.report", "main"),
    "compare": ("lightning_app.compare", "main"),
    "completion": ("lightning_app.completion", "main"),
}

_EXTRAS = {
    **dict.fromkeys(
        ("optuna", "optuna_integration", "jsonschema", "scikit_posthocs", "statsmodels", "matplotlib"),
        "experiments",
    ),
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), "export"),
    "umap": "umap",
    "dgl": "dgl",
}

_SYSTEM_REASON = re.compile(r"\(os error \d+\)")
"""Part of messages of polars about files that cannot be read or written."""

_BROKEN_PIPE = 141
"""128 and the number of SIGPIPE."""

HELP = """\
usage: {command} <subcommand> [options]

Classify drugs into long-tailed classes, from ten thousand samples down to five.

subcommands:
  fit         train a model, test its best checkpoint and write a report
              (by default on the shipped inn_stems data)
  validate    compute the metrics of a checkpoint on the validation split
  test        compute the metrics of a checkpoint on the test split
  predict     predict labels and probabilities for a table or for one SMILES
  decide      choose anew what predictions are best at, without training
  embed       write the embeddings of a table of SMILES
  export      write a trained model as a folder that predicts without torch
  submit      write predictions of test rows as TDC or Polaris evaluates them
  prepare     download, check and featurize a table ahead of training
  sweep       search for the settings with the best validation metric
  benchmark   compare data sets, methods and seeds, and write tables
  datasets    list the data sets known by name
  report      write the report of a run again
  compare     write a page that compares several runs
  completion  print a script for tab completion in bash, zsh and other shells

common options ({command} <subcommand> --help lists more):
  --data.source FILE    CSV, TSV or Parquet table, .npz file of arrays, or name
                        of a known data set
  --config FILE         YAML file of settings, your own or a shipped one such as
                        method/paper.yaml or debug.yaml; options on the command
                        line take precedence
  --ckpt_path FILE      checkpoint to resume, validate, test or predict with
  --quiet               print only warnings and errors
  --json                as --quiet, and print the result as one line of JSON
  --debug               print the traceback of errors
  --version             print the version, without a subcommand

examples:
  {command} fit --data.source my_drugs.csv
  {command} fit --data.source hiv --config method/paper.yaml
  {command} predict --ckpt_path runs/my_drugs/version_0/checkpoints/best.ckpt \\
    --data.source new.csv --output out.csv
"""


def main() -> None:
    """Run the command line.

    The exit status is 2 for invalid input, 1 for a full disk and for other errors, and 141 if the reader of the output
    has gone.
    """
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
    except SystemExit as stop:
        # rich leaves with 1 when it cannot print.
        if isinstance(stop.__context__, BrokenPipeError):
            _leave_pipe()
        raise


def _run() -> None:
    # Threads of torch wait in a loop, by default for milliseconds, in which they hold up those that work on a busy
    # machine. GNU's OpenMP reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    terminal, arguments = take_terminal_options(sys.argv[1:], _command())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP.replace("{command}", terminal.command), end="")
        return
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"tailmol {version('tailmol')}")
        return
    if arguments[0] not in SUBCOMMANDS:
        known = ", ".join(SUBCOMMANDS)
        sys.exit(_print_error(f"subcommand: expected one of {known}, got {arguments[0]!r}.", terminal))
    module, function = SUBCOMMANDS[arguments[0]]
    process = process_number()
    try:
        with _messages(terminal, process == 0):
            getattr(importlib.import_module(module), function)(arguments[1:], terminal)
    except BrokenPipeError:
        raise
    except Exception as error:
        if terminal.debug:
            raise
        sys.exit(_explain(error, arguments[0], process, terminal))


def _leave_pipe() -> NoReturn:
    """Exit without a message, as programs do that write to a pipe that nobody reads."""
    # The interpreter flushes the output at its end, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(_BROKEN_PIPE)


def _command() -> str:
    """The name by which the command was called; `lightning` for `python -m lightning_app.cli`."""
    name = Path(sys.argv[0]).stem
    return name if name in ("lightning", "tailmol") else "lightning"


def _explain(error: Exception, subcommand: str, process: int, terminal: Terminal) -> int:
    """Print an error in one sentence and return the exit status."""
    from base.errors import DiskFullError, InputError, is_disk_full

    if is_disk_full(error):
        _print_error(str(error) if isinstance(error, DiskFullError) else f"The disk is full ({error}).", terminal)
        return 1
    if isinstance(error, InputError):
        # All processes read the same input and raise the same error; the first one prints it.
        return 2 if process else _print_error(str(error), terminal)
    package = str(error.name).split(".")[0] if isinstance(error, ImportError) else ""
    if package in _EXTRAS:
        install = f"pip install 'tailmol[{_EXTRAS[package]}]'"
        return _print_error(f"{subcommand} needs the package {package}; install it with: {install}", terminal)
    if type(error).__name__ == "MisconfigurationException":
        return _print_error(f"trainer: {str(error).rstrip('.!')}.", terminal)
    where = f"process {process}: " if process else ""
    reason = _system_reason(error)
    if reason is not None:
        _print_error(f"{where}{reason}", terminal)
        return 1
    what = f"{where}{type(error).__name__}: {str(error).rstrip('.')}"
    advice = "This is a bug in tailmol, or a setting that it does not check; --debug prints the traceback."
    _print_error(f"{what}. {advice}", terminal)
    return 1


def _system_reason(error: Exception) -> str | None:
    """One sentence about a file that the system refuses; None for other errors."""
    if isinstance(error, OSError) and error.errno is not None:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"files: expected a path that can be used, got {where}{error.strerror}."
    # polars gives the system's reason as text only.
    text = " ".join(str(error).split()).rstrip(".")
    return f"files: expected a path that can be used, got: {text}." if _SYSTEM_REASON.search(text) else None


class _StandardError(logging.Handler):
    """Writes to the current standard error, so that messages appear above a progress line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print(printable(self.format(record)), file=sys.stderr)


@contextmanager
def _messages(terminal: Terminal, first: bool) -> Iterator[None]:
    """Print the log messages of tailmol while the block runs."""
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


def _print_error(sentence: str, terminal: Terminal) -> int:
    print(printable(f"{terminal.command}: error: {sentence}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
