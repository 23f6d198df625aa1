"""Compilation of layers for a device, in place."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_log = logging.getLogger("tailmol")


def compile_layers(layers: Iterable[nn.Module], device: torch.device) -> bool:
    """Compile modules in place for changing sizes of batches, or warn if that is not possible.

    Names of parameters and checkpoints do not change, and a copy of a module is not compiled. The first batches take
    longer, one in training and one in evaluation.

    Args:
        layers: Modules that are called with tensors, or with objects of tensors.
        device: Device of the modules.

    Returns:
        Whether there were modules and they are compiled now.
    """
    modules = list(layers)
    if not modules:
        return False
    # Compiling needs a C compiler and, on a GPU, Triton; what is missing shows only when something is compiled.
    try:
        numbers = torch.ones(4, device=device, requires_grad=True)
        torch.compile(_probe)(numbers).backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        _log.warning(f"model.compile: the layers run without compilation, since it fails on {device}: {reason}")
        return False
    for module in modules:
        module.compile(dynamic=True)
    return True


def _probe(numbers: Tensor) -> Tensor:
    return (numbers.relu() * 2).sum()
