"""Losses of the framework, one in each file: contrastive ones for projections and classification losses for logits."""

from modules.losses.classification import ClassificationLoss
from modules.losses.contrastive import ContrastiveLoss
from modules.losses.cross_entropy import CrossEntropyLoss
from modules.losses.subcluster_contrastive import SubclusterContrastiveLoss
from modules.losses.supervised_contrastive import SupervisedContrastiveLoss

__all__ = [
    "ClassificationLoss",
    "ContrastiveLoss",
    "CrossEntropyLoss",
    "SubclusterContrastiveLoss",
    "SupervisedContrastiveLoss",
]
