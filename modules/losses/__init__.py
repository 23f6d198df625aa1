"""Losses of the framework: two contrastive ones for projections and one cross-entropy for logits."""

from modules.losses.cross_entropy import CrossEntropyLoss
from modules.losses.subcluster_contrastive import SubclusterContrastiveLoss
from modules.losses.supervised_contrastive import SupervisedContrastiveLoss

__all__ = ["CrossEntropyLoss", "SubclusterContrastiveLoss", "SupervisedContrastiveLoss"]
