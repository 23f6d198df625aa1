"""The second opinions of a model, one after the other."""

from __future__ import annotations

from torch import Tensor, nn

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from modules.forest.forest import Forest
from modules.neighbors.nearest_samples import NearestSamples
from modules.second_opinion import SecondOpinion


class SecondOpinions(nn.Module):
    """What a model asks beside its network.

    Attributes:
        neighbors: The nearest training samples.
        forest: The random forest, whose opinion is added after theirs.
    """

    def __init__(self, num_classes: int) -> None:
        """Have no opinions.

        Args:
            num_classes: Number of classes.
        """
        super().__init__()
        self.neighbors, self.forest = NearestSamples(num_classes), Forest(num_classes)

    def by_name(self) -> dict[str, SecondOpinion]:
        """All opinions, in the order in which they are added."""
        return {"neighbors": self.neighbors, "forest": self.forest}

    def weighted(self) -> list[SecondOpinion]:
        """The opinions that have a weight, in the same order."""
        return [opinion for opinion in self.by_name().values() if opinion.weight != 0]

    def forget(self) -> None:
        """Have no opinions."""
        for opinion in self.by_name().values():
            opinion.forget()

    def add_to(self, logits: Tensor, batch: Batch, task: DrugTask) -> Tensor:
        """Add the opinions to the logits of the head, (B, C); without weights they stay as they are.

        Args:
            logits: Logits of the head alone, (B, C).
            batch: The batch of B samples.
            task: Description of the data.

        Raises:
            ValueError: If what was learned has other features, as a damaged checkpoint says.
        """
        weighted = self.weighted()
        if weighted:
            self.check_width(task)
        for opinion in weighted:
            logits = opinion.add_to(logits, batch, task)
        return logits

    def check_width(self, task: DrugTask) -> None:
        """Check that what was learned has the features of a task.

        Args:
            task: Description of the data.

        Raises:
            ValueError: If it has others.
        """
        for name, opinion in self.by_name().items():
            expected = opinion.width_of(task)
            if opinion.width not in (None, expected):
                raise ValueError(f"{name}: expected {expected} features, got {opinion.width}.")
