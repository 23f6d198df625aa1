"""K-positive contrastive loss: the same number of positives for every class."""

import torch
from torch import Tensor

from base.ranges import check_whole
from modules.losses.contrastive.anchor_blocks import sum_over_blocks
from modules.losses.contrastive.contrastive_loss import ClassContrastiveLoss
from modules.losses.contrastive.contrastive_terms import (
    Share,
    contrastive_term,
    group_members,
    owners_of_keys,
    same_group,
    unit_keys,
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
        drawn, owners = self.draw(labels, views.shape[1]), owners_of_keys(views)
        number = share.total(self.have_positives(drawn, views.shape[1])[share.rows(views)].sum())

        def of_block(similarity: Tensor, block: slice) -> Tensor:
            positives = self.positives_of(drawn, owners, block)
            return contrastive_term(similarity, positives, block, self.temperature, number)

        return sum_over_blocks(unit_keys(views), share.rows(views), of_block)

    def draw(self, labels: Tensor, number: int) -> Tensor:
        """Draw keys of other samples of the class of each key, by Floyd's algorithm for samples without replacement.

        See Bentley and Floyd, Communications of the ACM 30 (9), 1987.

        Args:
            labels: Labels, int64 (B,).
            number: Number of views V, which are adjacent.

        Returns:
            Rows of the drawn keys, int64 (B*V, positives); that of the key itself where there are no more.
        """
        keys = len(labels) * number
        lots = torch.rand(keys, min(self.positives, keys), device=labels.device)
        # Keys by class; the views of a sample stay adjacent.
        order = labels.argsort(stable=True).repeat_interleave(number) * number
        order = order + torch.arange(number, device=labels.device).repeat(len(labels))
        place = torch.empty_like(order)
        place[order] = torch.arange(keys, device=labels.device)
        key_labels = labels.repeat_interleave(number)
        class_start = torch.searchsorted(key_labels[order], key_labels)
        own_start = place.view(-1, number)[:, 0].repeat_interleave(number) - class_start
        candidates = group_members(key_labels) - number
        # Places of the drawn keys among the candidates; -1 where there are fewer candidates than draws.
        drawn = torch.full_like(lots, -1, dtype=torch.int64)
        for column in range(lots.shape[1]):
            last = candidates - lots.shape[1] + column
            place_drawn = torch.minimum((lots[:, column] * (last + 1)).long(), last)
            taken = (drawn[:, :column] == place_drawn.unsqueeze(1)).any(dim=1)
            drawn[:, column] = torch.where(last < 0, -1, torch.where(taken, last, place_drawn))
        in_class = drawn + number * (drawn >= own_start.unsqueeze(1))
        found = order[(class_start.unsqueeze(1) + in_class).clamp(min=0)]
        return torch.where(drawn < 0, torch.arange(keys, device=labels.device).unsqueeze(1), found)

    @staticmethod
    def have_positives(drawn: Tensor, number: int) -> Tensor:
        """Which keys have a positive, bool (B*V,).

        Args:
            drawn: Rows of the keys drawn for each key, (B*V, positives).
            number: Number of views V.
        """
        itself = torch.arange(len(drawn), device=drawn.device).unsqueeze(1)
        return (drawn != itself).any(dim=1) | (number > 1)

    @staticmethod
    def positives_of(drawn: Tensor, owners: Tensor, block: slice) -> Tensor:
        """Mask of the drawn keys and of the other views of the sample of each anchor.

        Args:
            drawn: Rows of the keys drawn for each key, (B*V, positives).
            owners: Sample of each key; columns behind them belong to no sample of the batch, (columns,).
            block: Rows of the anchors.

        Returns:
            bool (anchors, columns).
        """
        found = same_group(owners, block).scatter_(1, drawn[block], True)
        found[:, block].fill_diagonal_(False)
        return found
