"""What the best decision is: objectives, each of which chooses a decision on samples."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from base.ranges import check_range
from modules.decisions.confusions import (
    EVIDENCE,
    Confusions,
    accuracy,
    balanced_accuracy,
    macro_f1,
    nearest_of_the_best,
    standard_errors,
)
from modules.decisions.group_offset import smallest_group_offset
from modules.decisions.label_thresholds import choose_thresholds, recall_threshold
from modules.decisions.label_utilities import ACCURACY, BALANCED_ACCURACY, MACRO_F1, LabelUtility
from modules.decisions.samples import Choice, DecisionSamples

_log = logging.getLogger("tailmol")


class DecisionObjective(ABC):
    """Base class of objectives."""

    @abstractmethod
    def choose(self, samples: DecisionSamples) -> Choice:
        """Choose the decision, deterministically.

        Args:
            samples: At least one sample.
        """


class LabelObjective(DecisionObjective):
    """Base class of objectives that choose for samples with several labels too."""

    @abstractmethod
    def thresholds(self, scores: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
        """Choose from which score on each of several labels is predicted, deterministically.

        Args:
            scores: Log odds of N samples that the model was not trained on, fp32 (N, L).
            labels: Labels, see `label_scores`, integers (N, L).
            prior: Log odds of each label in training, fp32 (L,).

        Returns:
            fp32 (L,); a label is predicted where its score is above.
        """


class AsTrained(LabelObjective):
    """Leaves the scores as training and its stages made them."""

    def choose(self, samples: DecisionSamples) -> Choice:
        """See `DecisionObjective.choose`."""
        return Choice(torch.zeros_like(samples.scores[0]))

    def thresholds(self, scores: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
        """See `LabelObjective.thresholds`; a label is predicted where its probability is above one half."""
        return torch.zeros_like(prior)


class Utility(LabelObjective):
    """Base class of objectives that are a number to maximize.

    The strength of the prior moves from where the utility would be highest with true probabilities as little as the
    samples require, and classes get offsets if cross-fitting shows that these help. Several labels get thresholds, see
    `choose_thresholds`.

    Attributes:
        start: Strength of the prior without samples.
        of_labels: The number to maximize where a sample may have several labels.
    """

    start: float
    of_labels: LabelUtility

    @abstractmethod
    def utility(self, counts: Confusions) -> Tensor:
        """What candidates are worth, float64 (..., P); see `confusions.Utility`."""

    def choose(self, samples: DecisionSamples) -> Choice:
        """See `DecisionObjective.choose`."""
        distances = (torch.tensor(samples.strengths) - self.start).abs()
        strength = samples.strengths[nearest_of_the_best(self.utility, samples.by_strength, distances)]
        offset, own = samples.offset(strength), samples.class_offsets
        counts = samples.confusions((samples.predicted(offset), samples.predicted(offset + own.crossed)))
        without, crossed = self.utility(counts.total()).tolist()
        helps = crossed - without > EVIDENCE * float(standard_errors(self.utility, counts, 0)[1])
        return Choice(offset + own.offsets if helps else offset)

    def thresholds(self, scores: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
        """See `LabelObjective.thresholds`."""
        return choose_thresholds(scores, labels, prior, self.of_labels)


class BalancedAccuracy(Utility):
    """Mean recall of the classes, for which the prior is left out (Menon et al., 2021, arXiv 2007.07314).

    With several labels it is the mean of recall and specificity of each label.
    """

    start, of_labels = 0.0, BALANCED_ACCURACY

    def utility(self, counts: Confusions) -> Tensor:
        """See `Utility.utility`."""
        return balanced_accuracy(counts)


class Accuracy(Utility):
    """Share of correct predictions, for which the prior is that of the training samples.

    With several labels it is the share of the known entries that are right.
    """

    start, of_labels = 1.0, ACCURACY

    def utility(self, counts: Confusions) -> Tensor:
        """See `Utility.utility`."""
        return accuracy(counts)


class MacroF1(Utility):
    """Mean F1 of the classes, whose strength of the prior lies between those of recall and of accuracy."""

    start, of_labels = 0.5, MACRO_F1

    def utility(self, counts: Confusions) -> Tensor:
        """See `Utility.utility`."""
        return macro_f1(counts)


class HeadKept(DecisionObjective):
    """Balanced accuracy, with a head accuracy of at most some points below that at the training prior.

    From the decision for balanced accuracy on, all head classes are raised together, by as little as is enough. This is
    the best exchange of one for the other: recall of the head can only rise with it, and that of the other classes only
    fall, and among the head classes nothing changes.
    """

    def __init__(self, points: float = 1.0) -> None:
        """Create the objective.

        Args:
            points: Percentage points of head accuracy that may be lost, 0 to 100.

        Raises:
            ValueError: If a setting is out of range.
        """
        check_range("points", points, 0, highest=100)
        self.points = points

    def choose(self, samples: DecisionSamples) -> Choice:
        """See `DecisionObjective.choose`."""
        base, right = BalancedAccuracy().choose(samples).offset, samples.at_prior == samples.labels
        raised, is_enough = smallest_group_offset(samples, base, samples.head, -self.points / 100, right)
        at_prior = samples.offset(1.0)
        if not is_enough:
            return Choice(at_prior)
        counts = samples.confusions((samples.predicted(raised), samples.predicted(at_prior))).total()
        kept, reference = balanced_accuracy(counts).tolist()
        return Choice(raised if kept >= reference else at_prior)


class NamedRecall(LabelObjective):
    """Balanced accuracy, with a mean recall of named classes of at least some share.

    The named classes are raised together, by as little as is enough, as the head classes are in `HeadKept`. Of several
    labels, each named one gets the highest threshold with such a recall, and the others those of macro F1.
    """

    def __init__(self, classes: tuple[int, ...], least: float = 0.9) -> None:
        """Create the objective.

        Args:
            classes: Codes of the named classes, at least one.
            least: Smallest mean recall of the named classes, 0 to 1.

        Raises:
            ValueError: If a setting is out of range.
        """
        check_range("least", least, 0, highest=1)
        self.classes, self.least = classes, least

    def choose(self, samples: DecisionSamples) -> Choice:
        """See `DecisionObjective.choose`; a warning says if the recall cannot be reached, or not be shown."""
        base = BalancedAccuracy().choose(samples).offset
        raised, is_enough = smallest_group_offset(samples, base, self.classes, self.least)
        if not is_enough:
            self._warn(samples, raised)
        return Choice(raised)

    def _warn(self, samples: DecisionSamples, offset: Tensor) -> None:
        """Say why the offset with the highest recall is not enough."""
        hits = samples.predicted(offset) == samples.labels
        of_class = [hits[samples.labels == code].double() for code in self.classes]
        # Of the classes with samples, NaN if there are none.
        recall = float(torch.stack([own.mean() for own in of_class]).nanmean())
        if recall < self.least:
            _log.warning(f"least: no decision has a recall of {self.least:g} on the scores; the nearest one is taken.")
        else:
            _log.warning(
                f"least: the scores have too few samples of the named classes ({sum(map(len, of_class))}) to show a "
                f"recall of {self.least:g} by one standard error; the decision with the highest recall is taken."
            )

    def thresholds(self, scores: Tensor, labels: Tensor, prior: Tensor) -> Tensor:
        """See `LabelObjective.thresholds`; a named label that no sample has gets the threshold for macro F1."""
        found = choose_thresholds(scores, labels, prior, MACRO_F1)
        for place in self.classes:
            known, positive = labels[:, place] >= 0, labels[:, place] == 1
            if bool(positive.any()):
                found[place] = recall_threshold(scores[known, place], positive[known], self.least)
        return found

    def warn_of_missing(self, labels: Tensor) -> None:
        """Warn if no sample has one of several named labels.

        Args:
            labels: Labels that thresholds were chosen on, integers (N, L).
        """
        missing = sum(not bool((labels[:, place] == 1).any()) for place in self.classes)
        if missing:
            _log.warning(
                f"classes: {missing} of the labels have no sample among the scores; they get the threshold for macro "
                "F1."
            )


class CostMatrix(DecisionObjective):
    """The smallest expected cost, by calibrated probabilities (Elkan, 2001)."""

    def __init__(self, costs: Tensor) -> None:
        """Create the objective.

        Args:
            costs: Cost of each true class (row) predicted as each class (column), (C, C).
        """
        self.costs = costs.float()

    def choose(self, samples: DecisionSamples) -> Choice:
        """See `DecisionObjective.choose`."""
        return Choice(samples.offset(1.0), self.costs)
