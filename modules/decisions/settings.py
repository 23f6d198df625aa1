"""Settings of the objective that chooses the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from base.errors import InputError
from base.ranges import check_range
from datamodules.drug_task import DrugTask
from modules.decisions.cost_file import read_costs
from modules.decisions.objectives import (
    Accuracy,
    AsTrained,
    BalancedAccuracy,
    CostMatrix,
    DecisionObjective,
    HeadKept,
    LabelObjective,
    MacroF1,
    NamedRecall,
)

ObjectiveName = Literal["as_trained", "balanced_accuracy", "accuracy", "macro_f1", "head_kept", "recall", "cost_matrix"]

_PLAIN: dict[str, type[LabelObjective]] = {
    "as_trained": AsTrained,
    "balanced_accuracy": BalancedAccuracy,
    "accuracy": Accuracy,
    "macro_f1": MacroF1,
}
_OF_LABELS = (*_PLAIN, "recall")

_LISTED = 10
"""Number of classes that a message names."""


@dataclass(frozen=True)
class DecisionSettings:
    """What the best prediction is.

    Args:
        objective: What the decision is best at. as_trained leaves the scores as they are; head_kept is balanced
            accuracy with the head accuracy near that of plain cross-entropy; recall is balanced accuracy with a recall
            of some classes; cost_matrix is the smallest expected cost. Of several labels, recall is macro F1 with a
            recall of some labels, and head_kept and cost_matrix are refused.
        points: For head_kept, the percentage points of head accuracy that may be lost.
        classes: For recall, the labels of the classes.
        least: For recall, the smallest mean recall of the classes, 0 to 1; of several labels, that of each.
        costs: For cost_matrix, a CSV file with the cost of each true class (row) predicted as each class (column),
            with the labels in the first row and in the first column.

    Raises:
        InputError: If there is no such objective, the labels are no list, or a number is out of range.
    """

    objective: ObjectiveName = "as_trained"
    points: float = 1.0
    classes: list[str] = field(default_factory=list)
    least: float = 0.9
    costs: str | None = None

    def __post_init__(self) -> None:
        """Check the values, of which Python gives any."""
        if self.objective not in (names := get_args(ObjectiveName)):
            raise InputError(f"objective: expected {', '.join(names[:-1])} or {names[-1]}, got {self.objective!r}.")
        if not isinstance(self.classes, list | tuple):
            raise InputError(f"classes: expected a list of labels, got {self.classes!r}.")
        check_range("points", self.points, 0, highest=100)
        check_range("least", self.least, 0, highest=1)

    def make(self, task: DrugTask) -> DecisionObjective:
        """Create the objective.

        Args:
            task: Description of the data of the model.

        Returns:
            The objective, a `LabelObjective` where a sample may have several labels.

        Raises:
            InputError: If classes or a file of costs are missing or do not fit the classes of the model, or the
                objective is not one for several labels and a sample may have several.
        """
        if task.is_multilabel and self.objective not in _OF_LABELS:
            names = f"{', '.join(_OF_LABELS[:-1])} or {_OF_LABELS[-1]}"
            raise InputError(f"objective: expected {names} with several labels a sample, got {self.objective}.")
        if self.objective == "head_kept":
            return HeadKept(self.points)
        if self.objective == "recall":
            return NamedRecall(self._codes(task.classes), self.least)
        if self.objective == "cost_matrix":
            if self.costs is None:
                raise InputError("costs: expected a CSV file for the objective cost_matrix, got none.")
            return CostMatrix(read_costs(Path(self.costs), task.classes))
        return _PLAIN[self.objective]()

    def _codes(self, names: Sequence[str]) -> tuple[int, ...]:
        unknown = [name for name in self.classes if name not in names]
        if unknown or not self.classes:
            got = repr(unknown[0]) if unknown else "none"
            known = ", ".join(names if len(names) <= _LISTED else [*names[:_LISTED], "..."])
            raise InputError(
                f"classes: expected labels of the model's classes ({known}) for the objective recall, got {got}."
            )
        return tuple(sorted({list(names).index(name) for name in self.classes}))
