"""An ensemble: networks of the same settings, trained on different folds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from base.ranges import check_whole
from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.encoders import Encoder
from modules.evaluation.split_scores import SplitScores
from modules.heads.head import HeadSettings
from modules.network import Network

NEVER_SEEN = -1e4
"""Logit of a class that no member was trained on."""


class Ensemble(Network):
    """Several networks whose mean logits are those of the ensemble; embeddings are those of the first one.

    The mean of logits is, after the softmax, the normalized geometric mean of the members' probabilities. For each
    class it is taken over the members that were trained on samples of the class. The logits of a member are defined up
    to a constant, so those of a class that other members do not know are compared with the logsumexp of the classes
    that all members know. Where a sample may have several labels, each logit stands for itself.

    Attributes:
        others: The members other than the first one, which is this network itself.
        seen: Whether a member was trained on samples of a class, bool (K, C).
        logit_scale: Scale of each member's logits, fp32 (K, C), as its decision corrects them.
        logit_offset: Offset of each member's logits, fp32 (K, C).
    """

    seen: Tensor
    logit_scale: Tensor
    logit_offset: Tensor

    def __init__(
        self, encoder: Encoder, head: HeadSettings, projection_dims: list[int] | None = None, members: int = 2
    ) -> None:
        """Create the networks; `build` creates their layers.

        Args:
            encoder: Computes embeddings; each member has a copy.
            head: Settings of the classification heads.
            projection_dims: Layer sizes of the projections; None for no projection.
            members: Number of members K.

        Raises:
            ValueError: If there are fewer than two members.
        """
        super().__init__(encoder, head, projection_dims)
        check_whole("members", members, 2)
        self.members = members
        self.others = nn.ModuleList(Network(copy.deepcopy(encoder), head, projection_dims) for _ in range(members - 1))

    def build(self, task: DrugTask) -> None:
        """See `Network.build`."""
        super().build(task)
        for member in range(1, self.members):
            self._other(member).build(task)
        size = self.members, task.num_classes
        self.excludes = not task.is_multilabel
        self.register_buffer("seen", torch.ones(size, dtype=torch.bool))
        self.register_buffer("logit_scale", torch.ones(size))
        self.register_buffer("logit_offset", torch.zeros(size))

    def layers_to_compile(self) -> list[nn.Module]:
        """See `Network.layers_to_compile`."""
        others = (self._other(member).layers_to_compile() for member in range(1, self.members))
        return [*super().layers_to_compile(), *(layers for own in others for layers in own)]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the embeddings of the first member, (B, d), and the mean logits, (B, C), of a batch."""
        embeddings, first = super().forward(batch)
        others = (self._other(number)(batch)[1] for number in range(1, self.members))
        logits = torch.stack([self.corrected(number, own) for number, own in enumerate([first, *others])])
        levels = torch.zeros_like(logits[..., :1])
        if self.excludes:
            shared = self.seen.all(dim=0)
            compared = torch.where(shared.any(), shared, self.seen).unsqueeze(1)
            levels = logits.masked_fill(~compared, -torch.inf).logsumexp(dim=-1, keepdim=True)
        known = self.seen.sum(dim=0)
        total = (logits - levels).masked_fill(~self.seen.unsqueeze(1), 0.0).sum(dim=0)
        mean = levels.mean(dim=0) + total / known.clamp(min=1)
        return embeddings, torch.where(known > 0, mean, NEVER_SEEN)

    def corrected(self, member: int, logits: Tensor) -> Tensor:
        """Logits of a member after its own correction, fp32 (B, C).

        Args:
            member: Number of the member.
            logits: Logits of its head, (B, C).
        """
        return self.logit_scale[member] * logits.float() + self.logit_offset[member]

    def tested_by(self, member: int, scores: SplitScores) -> SplitScores:
        """The scores of a member for samples that it was not trained on, as far as they say how good it is.

        No member could predict a class that only samples of its own fold have. Such samples are left out; where a
        sample may have several labels, the member never predicts such a label.

        Args:
            member: Number of the member.
            scores: Scores with the logits of its head.
        """
        seen = self.seen[member]
        # The logit of a class that a member never saw would rank its fold above or below the others.
        logits = self.corrected(member, scores.logits).masked_fill(~seen, NEVER_SEEN)
        found = replace(scores, logits=logits)
        return found.part(seen[scores.labels]) if self.excludes else found

    @torch.no_grad()
    def load_member(self, member: int, state: Mapping[str, Tensor], class_counts: Tensor) -> None:
        """Take the weights and the correction of a trained model as those of a member.

        Args:
            member: Number of the member.
            state: `state_dict` of a `DrugClassifier` with a single network.
            class_counts: Training samples of each class that it was trained on, int64 (C,).

        Raises:
            RuntimeError: If the weights do not fit.
        """
        own = {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
        if member == 0:
            kept = {name: value for name, value in self.state_dict().items() if name not in own}
            self.load_state_dict({**kept, **own})
        else:
            self._other(member).load_state_dict(own)
        self.seen[member] = class_counts > 0
        self.logit_scale[member] = state["decision.logit_scale"]
        self.logit_offset[member] = state["decision.logit_offset"]

    def _other(self, member: int) -> Network:
        return cast(Network, self.others[member - 1])
