"""Losses: contrastive losses on projections and classification losses on logits, one per module."""

from modules.losses.classification.classification_loss import ClassificationLoss
from modules.losses.classification.cross_entropy import CrossEntropyLoss
from modules.losses.contrastive.contrastive_loss import ContrastiveLoss
from modules.losses.contrastive.subcluster_contrastive import SubclusterContrastiveLoss
from modules.losses.contrastive.supervised_contrastive import SupervisedContrastiveLoss

__all__ = [
    "ClassificationLoss",
    "ContrastiveLoss",
    "CrossEntropyLoss",
    "SubclusterContrastiveLoss",
    "SupervisedContrastiveLoss",
]
