"""Arguments of the learning-rate schedule that are shares of `trainer.max_epochs`, in settings and checkpoints."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from base.errors import InputError

_TOTAL = r"\$\{trainer\.max_epochs\}"
_SHARE = re.compile(rf"{_TOTAL}|\$\{{share:\s*{_TOTAL}\s*,\s*(?P<share>[0-9.]+)\s*\}}")


def epoch_shares(settings: Mapping[str, Any]) -> dict[str, float]:
    """Find the arguments of the schedule that are shares of the epochs.

    Args:
        settings: Merged layers of settings, in which references such as `${trainer.max_epochs}` are not replaced.

    Returns:
        The shares by the name of the argument.
    """
    found = {name: _SHARE.fullmatch(value) for name, value in _arguments(settings).items() if isinstance(value, str)}
    return {name: float(match["share"] or 1) for name, match in found.items() if match is not None}


def check_epoch_shares(settings: Mapping[str, Any], epochs: int | None) -> None:
    """Refuse a schedule whose length is a share of no number of epochs.

    Args:
        settings: Merged layers of settings, see `epoch_shares`.
        epochs: `trainer.max_epochs`.

    Raises:
        InputError: If there is such an argument.
    """
    shares = epoch_shares(settings)
    if shares and (epochs is None or epochs < 1):
        got = "null" if epochs is None else epochs
        raise InputError(
            f"trainer.max_epochs: expected 1 or more with model.lr_scheduler.init_args.{next(iter(shares))}, which is "
            f"a share of it, got {got}; give that as a number of epochs, or --model.lr_scheduler null."
        )


def with_epoch_shares(settings: Mapping[str, Any], shares: Mapping[str, float]) -> dict[str, Any]:
    """Make arguments of the schedule follow `trainer.max_epochs` again.

    Args:
        settings: Settings of a checkpoint, in which references are replaced by their values.
        shares: The shares by the name of the argument; those that the schedule does not have are ignored.

    Returns:
        A copy of the settings.
    """
    linked = copy.deepcopy(dict(settings))
    arguments = _arguments(linked)
    for name in arguments.keys() & shares.keys():
        arguments[name] = f"${{share:${{trainer.max_epochs}},{shares[name]:f}}}"
    return linked


def _arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    schedule = (settings.get("model") or {}).get("lr_scheduler")
    arguments = schedule.get("init_args") if isinstance(schedule, dict) else None
    return arguments if isinstance(arguments, dict) else {}
