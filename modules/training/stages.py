"""Training stages: changes of the training procedure at given epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from base.ranges import check_whole
from datamodules.sampling import Sampling
from modules.evaluation.logit_correction import LogitCorrection
from modules.losses.classification.class_weighting import ClassWeighting
from modules.network import Part
from modules.training.distillation import Distillation


@dataclass(frozen=True)
class Stage:
    """Changes of the training procedure from an epoch on, until the next stage begins.

    Published two-stage methods are lists of stages: deferred re-weighting (DRW) sets `weighting` and deferred
    re-sampling (DRS) `sampling` (Cao et al., 2019, arXiv 1906.07413); classifier re-training (cRT) freezes the encoder,
    resets the classifier and samples classes equally, and learnable weight scaling (LWS) freezes the classifier as well
    (Kang et al., 2020, arXiv 1910.09217); DiVE resets all parts and learns from the previous model (He et al., 2021,
    arXiv 2103.15042); tau-normalization and post-hoc logit adjustment set `correction` from epoch 0 on.

    A stage that freezes or resets a part restarts the learning rate and the patience of early stopping. A frozen part
    is in evaluation mode, without dropout and with fixed statistics, and the parts before it get their gradients
    through it. While the encoder is frozen there is no contrastive loss. A reset of the encoder forgets sub-clusters,
    class temperatures and class weights until the next recluster, which embeds with the new encoder.

    Args:
        start_epoch: First epoch of the stage.
        frozen: Parts that do not train: encoder, projection, classifier. In a frozen classifier the class factors of
            `model.head.class_scales` still train.
        reset: Parts whose weights are reinitialized when the stage begins.
        sampling: Sampling of classes; `data.sampling` if null.
        weighting: Class weights from class counts, which multiply the weights of reclustering; none if null.
        distillation: Distillation from a teacher; none if null.
        correction: Correction of the logits in evaluation, whose strength is chosen on the validation split; none if
            null.

    Raises:
        ValueError: If a setting is out of range or settings contradict each other.
    """

    start_epoch: int = 0
    frozen: list[Part] = field(default_factory=list)
    reset: list[Part] = field(default_factory=list)
    sampling: Sampling | None = None
    weighting: ClassWeighting | None = None
    distillation: Distillation | None = None
    correction: LogitCorrection | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        check_whole("stages.start_epoch", self.start_epoch, 0)
        both = sorted(set(self.frozen) & set(self.reset))
        if both:
            raise ValueError(f"stages.frozen, stages.reset: expected different parts, got {both[0]} in both.")
        if self.distillation is not None and self.distillation.teacher is None and self.start_epoch == 0:
            raise ValueError(
                "stages.start_epoch: expected 1 or more for distillation from the model before the stage, got 0; "
                "set stages.distillation.teacher to distill from a checkpoint."
            )

    @property
    def restarts(self) -> bool:
        """Whether the stage restarts the learning rate and the patience of early stopping."""
        return bool(self.frozen or self.reset)

    @property
    def description(self) -> str:
        """Changes made by the stage, for the log."""
        parts = [f"{part} frozen" for part in self.frozen] + [f"{part} reset" for part in self.reset]
        for name in [setting.name for setting in fields(self) if setting.default is None]:
            value = getattr(self, name)
            parts += [] if value is None else [f"{name} {type(value).__name__}"]
        return ", ".join(parts) or "nothing changes"


def check_order(stages: Sequence[Stage]) -> None:
    """Check that start epochs increase.

    Args:
        stages: Stages in the order of the settings.

    Raises:
        ValueError: If a stage does not begin after the previous one.
    """
    epochs = [stage.start_epoch for stage in stages]
    if epochs != sorted(set(epochs)):
        raise ValueError(f"stages.start_epoch: expected increasing epochs, got {epochs}.")


def stage_at(stages: Sequence[Stage], epoch: int) -> int | None:
    """Find the stage of an epoch.

    Args:
        stages: Stages with increasing start epochs.
        epoch: Epoch, counted from 0.

    Returns:
        Index of the stage; None before the first stage.
    """
    begun = [place for place, stage in enumerate(stages) if stage.start_epoch <= epoch]
    return begun[-1] if begun else None
