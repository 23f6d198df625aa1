"""Losses: contrastive losses on projections, and classification losses of one or several labels on logits."""

from modules.losses.classification.classification_loss import ClassificationLoss
from modules.losses.classification.cross_entropy import CrossEntropyLoss
from modules.losses.contrastive.contrastive_loss import ContrastiveLoss
from modules.losses.contrastive.subcluster_contrastive import SubclusterContrastiveLoss
from modules.losses.contrastive.supervised_contrastive import SupervisedContrastiveLoss
from modules.losses.multilabel.asymmetric import AsymmetricLoss
from modules.losses.multilabel.binary_cross_entropy import BinaryCrossEntropyLoss
from modules.losses.multilabel.distribution_balanced import DistributionBalancedLoss
from modules.losses.multilabel.label_contrastive import LabelContrastiveLoss
from modules.losses.multilabel.multilabel_loss import MultilabelLoss

__all__ = [
    "AsymmetricLoss",
    "BinaryCrossEntropyLoss",
    "ClassificationLoss",
    "ContrastiveLoss",
    "CrossEntropyLoss",
    "DistributionBalancedLoss",
    "LabelContrastiveLoss",
    "MultilabelLoss",
    "SubclusterContrastiveLoss",
    "SupervisedContrastiveLoss",
]
