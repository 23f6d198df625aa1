"""How a command was called, and how much it says on the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# Warnings of Lightning 2.6 that are not so here: it asks torch in a way that torch 2.13 calls old; our loaders do
# resume within an epoch, from the trainer's progress; a resumed run goes on in its own folder; batches are sliced
# without worker processes; test samples are not repeated on several devices; and what is logged without sync_dist was
# computed over all processes. Testing needs no training callbacks.
_UNTRUE_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",
    r".*your dataloader is not resumable",
    r"Checkpoint directory .* exists and is not empty",
    r".*does not have many workers",
    r"Using `DistributedSampler` with the dataloaders",
    r"It is recommended to use `self.log\(.*sync_dist=True\)`",
    r"torch.distributed.nn.functional.all_gather is deprecated",
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint",
)


@dataclass(frozen=True)
class Terminal:
    """How a command was called, and how much it says.

    Attributes:
        command: The name that it was called by.
        quiet: Warnings and errors alone.
        json: Quiet, and the result as one line of JSON on standard output.
        debug: Errors with their traceback.
    """

    command: str = "lightning"
    quiet: bool = False
    json: bool = False
    debug: bool = False


def take_terminal_options(arguments: Sequence[str], command: str = "lightning") -> tuple[Terminal, list[str]]:
    """Read the options that every subcommand has, and return the command line without them.

    Args:
        arguments: The command line.
        command: The name that the command was called by.
    """
    given = {name: f"--{name}" in arguments for name in ("quiet", "json", "debug")}
    given["quiet"] |= given["json"]
    return Terminal(command, **given), [
        argument for argument in arguments if argument not in ("--quiet", "--json", "--debug")
    ]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Show only those warnings of Lightning that are true here, while a block or a decorated function runs.

    Lightning sets the levels of its loggers when it is imported, which must have happened.
    """
    loggers = [logging.getLogger(f"lightning.{package}") for package in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _UNTRUE_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
