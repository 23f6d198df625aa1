"""K-positive contrastive loss: the same number of positives for every class."""

import torch
from torch import Tensor

from base.ranges import check_whole
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    contrastive_term,
    group_members,
    other_keys,
    pairwise_similarity,
    same_sample,
)


class KPositiveContrastiveLoss(ClassContrastiveLoss):
    """Supervised contrast with the same number of positives for every class (KCL; Kang et al., ICLR 2021).

    Positives of an anchor are the other views of its sample and `positives` random anchors of other samples of its
    class, or all of these if there are fewer. The denominator contains all other anchors.
    """

    def __init__(self, positives: int = 6, temperature: float = 0.1, base_temperature: float = 0.07) -> None:
        """Create the loss.

        Args:
            positives: Number of anchors drawn from other samples of the class, at least 0; with 0 only views of the
                same sample are positives. Draws use torch's global random state.
            temperature: Positive divisor of the cosine similarities.
            base_temperature: Positive; the loss is scaled by temperature / base_temperature.

        Raises:
            ValueError: If a setting is out of range.
        """
        super().__init__(temperature, base_temperature)
        check_whole("positives", positives, 0)
        self.positives = positives

    def term(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """See `ClassContrastiveLoss.term`."""
        rows = share.rows(views.shape[1])
        others = other_keys(views.shape[0] * views.shape[1], rows, labels.device)
        positives = self.draw_positives(views, labels, share) & others
        similarity = pairwise_similarity(views, share)
        return contrastive_term(similarity, positives, rows, self.temperature, total=share.total)

    def draw_positives(self, views: Tensor, labels: Tensor, share: Share) -> Tensor:
        """Draw the positives of each anchor, by Floyd's algorithm for samples without replacement.

        See Bentley and Floyd, Communications of the ACM 30 (9), 1987. Random numbers are drawn for all keys, so that
        the draws of an anchor do not depend on the share.

        Args:
            views: Projections, (B, V, d).
            labels: Labels, int64 (B,).
            share: The anchors.

        Returns:
            Mask of the drawn keys and of the views of the anchor's sample, itself among them, bool (anchors, B*V).
        """
        number, rows = views.shape[1], share.rows(views.shape[1])
        keys = len(labels) * number
        lots = torch.rand(keys, min(self.positives, keys), device=labels.device)[rows]
        # Keys by class; the views of a sample stay adjacent.
        order = labels.argsort(stable=True).repeat_interleave(number) * number
        order = order + torch.arange(number, device=labels.device).repeat(len(labels))
        place = torch.empty_like(order)
        place[order] = torch.arange(keys, device=labels.device)
        key_labels = labels.repeat_interleave(number)
        class_start = torch.searchsorted(key_labels[order], key_labels[rows])
        own_start = place.view(-1, number)[:, 0].repeat_interleave(number)[rows] - class_start
        candidates = group_members(key_labels)[rows] - number
        # Places of the drawn keys among the candidates; -1 where there are fewer candidates than draws.
        drawn = torch.full_like(lots, -1, dtype=torch.int64)
        for column in range(lots.shape[1]):
            last = candidates - lots.shape[1] + column
            place_drawn = torch.minimum((lots[:, column] * (last + 1)).long(), last)
            taken = (drawn[:, :column] == place_drawn.unsqueeze(1)).any(dim=1)
            drawn[:, column] = torch.where(last < 0, -1, torch.where(taken, last, place_drawn))
        in_class = drawn + number * (drawn >= own_start.unsqueeze(1))
        itself = torch.arange(keys, device=labels.device)[rows].unsqueeze(1)
        found = order[(class_start.unsqueeze(1) + in_class).clamp(min=0)]
        return same_sample(views, share).scatter_(1, torch.where(drawn < 0, itself, found), True)
