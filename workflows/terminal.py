"""Options of the command that determine what is printed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# Warnings of Lightning 2.6 that do not apply here: it uses a torch function that torch 2.13 deprecates; our loaders can
# resume within an epoch; a resumed run continues in its own folder; loading batches needs no worker processes; test
# samples are not repeated on several devices; values logged without sync_dist are already reduced over all processes;
# and testing needs no training callbacks.
_INAPPLICABLE_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",
    r".*your dataloader is not resumable",
    r"Checkpoint directory .* exists and is not empty",
    r".*does not have many workers",
    r"Using `DistributedSampler` with the dataloaders",
    r"It is recommended to use `self.log\(.*sync_dist=True\)`",
    r"torch.distributed.nn.functional.all_gather is deprecated",
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint",
)

_PROCESS_NUMBERS = ("RANK", "LOCAL_RANK")
"""Environment variables in which torchrun and Lightning pass the rank of a process.

SLURM_PROCID is not among them: it also numbers the workers of a benchmark, and every one must report its own errors.
"""


@dataclass(frozen=True)
class Terminal:
    """The name of the command and its output options.

    Attributes:
        command: Name by which the command was called.
        quiet: Whether to print only warnings and errors.
        json: Whether to print the result as one line of JSON; implies quiet.
        debug: Whether to print the traceback of errors.
    """

    command: str = "lightning"
    quiet: bool = False
    json: bool = False
    debug: bool = False


def process_number() -> int:
    """Rank of this process, as torchrun and Lightning pass it to the processes that they start; 0 without them."""
    return next((int(os.environ[name]) for name in _PROCESS_NUMBERS if name in os.environ), 0)


def take_terminal_options(arguments: Sequence[str], command: str = "lightning") -> tuple[Terminal, list[str]]:
    """Read the output options, which every subcommand has.

    Args:
        arguments: The command line.
        command: Name by which the command was called.

    Returns:
        The options, and the command line without them.
    """
    given = {name: f"--{name}" in arguments for name in ("quiet", "json", "debug")}
    given["quiet"] |= given["json"]
    return Terminal(command, **given), [
        argument for argument in arguments if argument not in ("--quiet", "--json", "--debug")
    ]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Show only the applicable warnings and the errors of Lightning while a block or a decorated function runs.

    What `leave_messages_to_first_process` does ends with the block, too. Lightning must be imported before, since it
    sets its log levels at import.
    """
    own = logging.getLogger("tailmol")
    loggers = [logging.getLogger(f"lightning.{package}") for package in ("pytorch", "fabric")]
    levels = [logger.level for logger in (*loggers, own)]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _INAPPLICABLE_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip((*loggers, own), levels, strict=True):
            logger.setLevel(level)


def leave_messages_to_first_process(is_first: bool) -> None:
    """Print errors only, unless this is the first process, which prints the same messages.

    Args:
        is_first: Whether the trainer says so. Without it, the command cannot tell the tasks of a cluster apart.
    """
    if not is_first:
        logging.getLogger("tailmol").setLevel(logging.ERROR)
