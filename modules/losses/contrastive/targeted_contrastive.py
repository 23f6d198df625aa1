"""Targeted contrastive loss: classes are drawn to points that lie evenly on the sphere."""

import torch
from torch import Tensor

from modules.losses.classification.classification_loss import check_range
from modules.losses.contrastive.contrastive_terms import contrastive_term, same_sample
from modules.losses.contrastive.k_positive_contrastive import KPositiveContrastiveLoss
from modules.unit_embeddings import group_means, unit_embeddings

UNIFORMITY_STEPS = 500
MOMENTUM = 0.9
CALLS_BETWEEN_ASSIGNMENTS = 50


class TargetedContrastiveLoss(KPositiveContrastiveLoss):
    """K-positive contrast with a target for each class (TSC; Li et al., 2022, arXiv 2111.13998).

    The targets are as far from each other as they can be, so that rare classes get as much room as frequent ones. Each
    class is given one of them, those that are nearest in sum to the running class means. The term of k-positive
    contrast and, times `target_weight`, that of the anchor's target have all other anchors and all targets in the
    denominator.
    """

    seen: Tensor
    targets: Tensor
    target_of: Tensor
    centers: Tensor
    calls: Tensor

    def __init__(
        self,
        positives: int = 6,
        target_weight: float = 1.0,
        temperature: float = 0.1,
        base_temperature: float = 0.07,
    ) -> None:
        """Store the settings.

        Args:
            positives: Anchors of the class that are drawn, from torch's random state, at least 0.
            target_weight: Factor of the target's term, at least 0.
            temperature: Divides every similarity; positive.
            base_temperature: The scale of the loss is temperature / base_temperature; positive.

        Raises:
            ValueError: Where a setting is out of range.
        """
        super().__init__(positives, temperature, base_temperature)
        check_range("target_weight", target_weight, 0)
        self.target_weight = target_weight

    def build(self, class_counts: Tensor, width: int) -> None:
        """Make room for the targets of the classes with training samples."""
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)
        # Placed at the first step: a model that only predicts does not need them.
        self.register_buffer("targets", torch.zeros(len(self.seen), width))
        self.register_buffer("target_of", torch.zeros_like(class_counts))
        self.register_buffer("centers", torch.zeros(len(class_counts), width))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def term(self, views: Tensor, labels: Tensor) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        if not bool(self.targets.any()):
            self.targets.copy_(uniform_targets(*self.targets.shape))
        anchors = unit_embeddings(views).flatten(0, 1)
        anchor_labels = labels.repeat_interleave(views.shape[1])
        self._follow(anchors.detach(), anchor_labels)
        own = same_sample(len(labels), views.shape[1], labels.device)
        similarity = anchors @ torch.cat([anchors, self.targets.float()]).T
        number = len(anchors)
        others = torch.ones_like(similarity, dtype=torch.bool)
        others.fill_diagonal_(False)
        to_anchors = torch.zeros_like(others)
        to_anchors[:, :number] = self.draw_positives(anchor_labels, own)
        to_target = torch.zeros_like(others)
        to_target[torch.arange(number, device=labels.device), number + self.target_of[anchor_labels]] = True
        contrast = contrastive_term(similarity, to_anchors, others, self.temperature)
        return contrast + self.target_weight * contrastive_term(similarity, to_target, others, self.temperature)

    @torch.no_grad()
    def _follow(self, anchors: Tensor, anchor_labels: Tensor) -> None:
        """Keep running class means, and now and then choose each class's target by them."""
        means, counts = group_means(anchors, anchor_labels, len(self.centers))
        here, known = counts > 0, self.centers.abs().sum(dim=1) > 0
        mixed = torch.where(known.unsqueeze(1), MOMENTUM * self.centers + (1 - MOMENTUM) * means, means)
        self.centers.copy_(torch.where(here.unsqueeze(1), mixed, self.centers))
        if int(self.calls) % CALLS_BETWEEN_ASSIGNMENTS == 0:
            self.target_of[self.seen] = assign_targets(self.centers[self.seen], self.targets)
        self.calls += 1


def uniform_targets(number: int, width: int) -> Tensor:
    """Place points on the unit sphere far from each other.

    Gradient descent on ``mean_i log sum_{j != i} exp(u_i . u_j / 0.1)``, the same points for the same arguments.

    Args:
        number: Of points.
        width: Of each.

    Returns:
        fp32 (number, width), unit length, on the CPU.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    points = torch.randn(number, width, generator=generator, device="cpu", dtype=torch.float32).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.05)
    itself = torch.eye(number, dtype=torch.bool, device="cpu")
    with torch.enable_grad():
        for _ in range(UNIFORMITY_STEPS if number > 1 else 0):
            unit = unit_embeddings(points)
            optimizer.zero_grad()
            spread = (unit @ unit.T / 0.1).masked_fill(itself, -torch.inf).logsumexp(dim=1).mean()
            spread.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return unit_embeddings(points.detach())


@torch.no_grad()
def assign_targets(centers: Tensor, targets: Tensor) -> Tensor:
    """Give each class a target of its own so that the sum of the cosines of means and targets is largest.

    Args:
        centers: fp32 (T, d), class means; 0 for one that is not known yet.
        targets: fp32 (T, d), unit length.

    Returns:
        int64 (T,), the target of each class.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = unit_embeddings(centers) @ targets.float().T
    return torch.from_numpy(linear_sum_assignment(cosines.cpu().numpy(), maximize=True)[1]).to(centers.device)
