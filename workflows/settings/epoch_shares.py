"""Arguments of the learning-rate schedule that are shares of `trainer.max_epochs`, in settings and checkpoints."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

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
