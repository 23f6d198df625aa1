"""Targeted supervised contrast: each class is attracted to one of a set of points spread evenly on the sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from base.ranges import check_range
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_terms import Share, contrastive_term, owners_of_keys, unit_keys
from modules.losses.contrastive.k_positive_contrastive import KPositiveContrastiveLoss
from modules.unit_embeddings import group_means, unit_embeddings

UNIFORMITY_STEPS = 500
MOMENTUM = 0.9
CALLS_BETWEEN_ASSIGNMENTS = 50


class TargetedContrastiveLoss(KPositiveContrastiveLoss):
    """K-positive contrast with a target for each class (TSC; Li et al., 2022, arXiv 2111.13998).

    Targets are maximally separated points of the unit sphere, so that rare classes get as much space as frequent ones.
    They are assigned to classes such that the sum of the cosine similarities with the running class means is largest.
    To the k-positive contrastive term, the loss adds `target_weight` times a term whose only positive is the target of
    the anchor's class. The denominators of both terms contain all other anchors and all targets.

    Attributes:
        seen: Labels of the T classes with training samples, int64 (T,).
        targets: Targets, fp32 (T, d), unit length.
        target_of: Index of each class's target, int64 (C,).
        centers: Running class means, fp32 (C, d).
        calls: Number of calls, int64 scalar.
    """

    seen: Tensor
    targets: Tensor
    target_of: Tensor
    centers: Tensor
    calls: Tensor
    _known_calls: int | None = None

    def __init__(
        self,
        positives: int = 6,
        target_weight: float = 1.0,
        temperature: float = 0.1,
        base_temperature: float = 0.07,
    ) -> None:
        """Create the loss.

        Args:
            positives: Number of anchors drawn from other samples of the class, at least 0. Draws use torch's global
                random state.
            target_weight: Factor of the target term, at least 0.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(positives, temperature, base_temperature)
        check_range("target_weight", target_weight, 0)
        self.target_weight = target_weight

    def build(self, class_counts: Tensor, width: int) -> None:
        """Allocate the targets and running means of the classes with training samples."""
        self.register_buffer("seen", (class_counts > 0).nonzero().squeeze(1), persistent=False)
        # Computed in the first step, since a model that only predicts does not need them.
        self.register_buffer("targets", torch.zeros(len(self.seen), width))
        self.register_buffer("target_of", torch.zeros_like(class_counts))
        self.register_buffer("centers", torch.zeros(len(class_counts), width))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(_forget_calls)  # type: ignore[no-untyped-call]

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        if self._known_calls is None:
            # Reading buffers at every step would wait for a GPU.
            self._known_calls = int(self.calls)
            if not bool(self.targets.any()):
                self.targets.copy_(uniform_targets(*self.targets.shape))
        number, rows = views.shape[1], share.rows(views)
        keys, key_labels = unit_keys(views), labels.repeat_interleave(number)
        self._update_centers(keys.detach(), key_labels, assign=self._known_calls % CALLS_BETWEEN_ASSIGNMENTS == 0)
        self._known_calls += 1
        drawn, targets = self.draw(labels, number), self.targets.float()
        # Targets are of no sample.
        owners = torch.cat([owners_of_keys(views), torch.full_like(self.seen, -1)])
        target = len(keys) + self.target_of[key_labels]
        with_keys = share.total(self.have_positives(drawn, number)[rows].sum())
        with_target = share.total(torch.ones_like(key_labels[rows]).sum())

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            to_keys = self.positives_of(drawn, owners, block)
            to_target = torch.zeros_like(to_keys).scatter_(1, target[block].unsqueeze(1), True)
            contrast = contrastive_term(similarity, to_keys, block, self.temperature, with_keys)
            return contrast + self.target_weight * contrastive_term(
                similarity, to_target, block, self.temperature, with_target
            )

        return sum_over_blocks(torch.cat([keys, targets]), rows, of_block)

    @torch.no_grad()
    def _update_centers(self, keys: Tensor, key_labels: Tensor, assign: bool) -> None:
        """Update the running class means and, if asked to, the assignment of targets."""
        means, counts = group_means(keys, key_labels, len(self.centers))
        here, known = counts > 0, self.centers.abs().sum(dim=1) > 0
        mixed = torch.where(known.unsqueeze(1), MOMENTUM * self.centers + (1 - MOMENTUM) * means, means)
        self.centers.copy_(torch.where(here.unsqueeze(1), mixed, self.centers))
        if assign:
            self.target_of[self.seen] = assign_targets(self.centers[self.seen], self.targets)
        self.calls += 1


def _forget_calls(loss: TargetedContrastiveLoss, keys: object) -> None:
    """Let the loss read again how often it was called, after a checkpoint was loaded."""
    loss._known_calls = None


def uniform_targets(number: int, width: int) -> Tensor:
    """Compute points that are spread evenly on the unit sphere.

    Minimizes ``mean_i log sum_{j != i} exp(u_i . u_j / 0.1)`` by gradient descent; deterministic.

    Args:
        number: Number of points.
        width: Dimension of the points.

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
    """Assign a different target to each class such that the sum of cosine similarities is largest.

    Args:
        centers: Class means, fp32 (T, d); 0 for classes that have not occurred yet.
        targets: Targets, fp32 (T, d), unit length.

    Returns:
        Index of each class's target, int64 (T,).
    """
    from scipy.optimize import linear_sum_assignment

    cosines = unit_embeddings(centers) @ targets.float().T
    return torch.from_numpy(linear_sum_assignment(cosines.cpu().numpy(), maximize=True)[1]).to(centers.device)
