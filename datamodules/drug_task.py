"""The task: what a model must know of its data, saved in its checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from base.errors import InputError
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.tables.columns import InputKind


@dataclass(frozen=True)
class DrugTask:
    """Classes and feature settings of one classification task.

    Attributes:
        input: What one sample is.
        classes: C labels, in the order of the class codes.
        class_counts: C counts of different training samples, or of rows, before any resampling.
        features: Settings of the features of molecules, or the shape of an array.
        training_digest: A hash of the molecules, or arrays, and labels of the training samples, in order.
        ordered_pairs: Whether the order of the drugs of a pair means something.
        known_counts: Where a sample may have several labels, C counts of the training samples of which it is known
            whether they have each of them; empty where a sample has a single label.
    """

    input: InputKind
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    features: FeatureSettings
    training_digest: str = ""
    ordered_pairs: bool = False
    known_counts: tuple[int, ...] = ()

    @property
    def is_multilabel(self) -> bool:
        """Whether a sample may have several labels."""
        return bool(self.known_counts)

    @property
    def symmetric(self) -> bool:
        """Whether a sample is a pair of drugs in any order."""
        return self.input == "pair" and not self.ordered_pairs

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def num_training_samples(self) -> int:
        """N, the number of training samples; of several labels, the largest number with a known value of one."""
        return max(self.known_counts) if self.is_multilabel else sum(self.class_counts)

    def check_same(self, saved: DrugTask) -> None:
        """Check that a checkpoint is one of this task.

        Args:
            saved: Task of the checkpoint.

        Raises:
            InputError: If classes, class counts or features differ.
        """
        if saved != self:
            raise InputError(
                "ckpt_path: expected a checkpoint with the classes, class counts and features of the data "
                f"({self.num_training_samples} samples of {self.num_classes} classes), got one with others "
                f"({saved.num_training_samples} samples of {saved.num_classes} classes)."
            )

    def to_dict(self) -> dict[str, Any]:
        """The task in plain types, so that a checkpoint loads without pickle."""
        features = asdict(self.features)
        features["fingerprint_kinds"] = list(self.features.fingerprint_kinds)
        features["array_shape"] = list(self.features.array_shape)
        counts = {"class_counts": list(self.class_counts), "known_counts": list(self.known_counts)}
        values = {"classes": list(self.classes), **counts, "features": features}
        return {**asdict(self), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DrugTask:
        """The inverse of `to_dict`."""
        features = dict(values["features"])
        for name in ("fingerprint_kinds", "array_shape"):
            features[name] = tuple(features[name])
        return cls(
            input=values["input"],
            classes=tuple(values["classes"]),
            class_counts=tuple(values["class_counts"]),
            features=FeatureSettings(**features),
            training_digest=values["training_digest"],
            ordered_pairs=values["ordered_pairs"],
            known_counts=tuple(values["known_counts"]),
        )
