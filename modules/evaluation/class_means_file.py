"""Class means at each recluster, stored without pickle as `class_means/epoch_<n>.npz` in the folder of a run."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from base.atomic_file import write_binary
from base.errors import InputError
from modules.subclusters import Subclusters

CLASS_MEANS = "class_means"


@dataclass(frozen=True)
class ClassMeans:
    """Class means in the embedding space.

    Attributes:
        epoch: Epoch before which the recluster took place; None for the means of a checkpoint.
        means: Means of the unit embeddings of each class, float32 (C, d).
        samples: Number of samples that each mean is computed from, int64 (C,).
    """

    epoch: int | None
    means: NDArray[Any]
    samples: NDArray[Any]


def write_class_means(found: ClassMeans, folder: Path) -> None:
    """Write the class means of a recluster, as float16.

    Args:
        found: Class means; a file of the same epoch is replaced, as in a resumed run.
        folder: Folder of the run.
    """
    means, path = found.means.astype(numpy.float16), folder / CLASS_MEANS / f"epoch_{found.epoch:04}.npz"
    write_binary(path, lambda file: numpy.savez(file, means=means, samples=found.samples))


def read_class_means(folder: Path, num_classes: int) -> tuple[ClassMeans, ...]:
    """Read the class means of all reclusters of a run.

    Args:
        folder: Folder of the run.
        num_classes: Number of classes C.

    Returns:
        Class means ordered by epoch; empty if there are none.

    Raises:
        InputError: If a file is damaged or has another number of classes.
    """
    found = []
    for path in (folder / CLASS_MEANS).glob("epoch_*.npz"):
        try:
            # Opened here, since numpy leaves a file open that it cannot read.
            with path.open("rb") as opened, numpy.load(opened, allow_pickle=False) as file:
                means, samples = file["means"].astype(numpy.float32), file["samples"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"RUN: {path} is not a valid file of class means ({error}); delete it.") from error
        if means.ndim != 2 or len(means) != num_classes or samples.shape != (num_classes,):
            raise InputError(f"RUN: expected means of {num_classes} classes in {path}, got shape {means.shape}.")
        found.append(ClassMeans(int(re.sub(r"\D", "", path.stem)), means, samples))
    return tuple(sorted(found, key=lambda one: -1 if one.epoch is None else one.epoch))


def class_means(subclusters: Subclusters, num_classes: int, epoch: int) -> ClassMeans:
    """Compute the class means of the clustered samples from the centroids and sizes of their sub-clusters.

    Args:
        subclusters: Sub-clusters of a recluster.
        num_classes: Number of classes C.
        epoch: Epoch before which the recluster took place.

    Returns:
        Class means; 0 for a class without samples.
    """
    class_of, centroids = subclusters.class_of.cpu(), subclusters.centroids.float().cpu()
    sizes = torch.bincount(subclusters.ids, minlength=len(class_of)).cpu()
    samples = torch.zeros(num_classes, dtype=torch.int64).index_add_(0, class_of, sizes)
    sums = torch.zeros(num_classes, centroids.shape[1]).index_add_(0, class_of, centroids * sizes.unsqueeze(1))
    return ClassMeans(epoch, (sums / samples.clamp(min=1).unsqueeze(1)).numpy(), samples.numpy())
