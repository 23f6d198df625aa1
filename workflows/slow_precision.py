"""A warning where bfloat16 slows training down instead of speeding it up."""

import logging

import torch
from lightning.pytorch import Trainer

_log = logging.getLogger("tailmol")

_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def warn_of_slow_bfloat16(trainer: Trainer) -> None:
    """Warn, on the first process, if a trainer computes in bfloat16 on an x86 processor without instructions for it.

    Without them PyTorch converts each number before it computes: a training step of GIN took 18 times as long as in
    float32 (docs/performance.md).

    Args:
        trainer: The trainer.
    """
    on_cpu = trainer.strategy.root_device.type == "cpu"
    if not (on_cpu and str(trainer.precision).startswith("bf16") and trainer.is_global_zero):
        return
    # Older versions of torch cannot tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("architecture") == "x86_64" and not any(map(capabilities.get, _INSTRUCTIONS)):
        _log.warning(
            f"trainer.precision: {trainer.precision} is many times slower than 32-true on this processor, which has no "
            "instructions for bfloat16."
        )
