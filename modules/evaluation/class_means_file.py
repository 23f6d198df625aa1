"""Where the classes lay at each recluster, kept in a run's folder: `class_means/epoch_<n>.npz`, no pickle."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from base.atomic_file import write_file
from base.errors import InputError
from modules.subclusters import Subclusters

CLASS_MEANS = "class_means"


@dataclass(frozen=True)
class ClassMeans:
    """Where the classes lay at one recluster.

    Attributes:
        epoch: Before which it was; None for the checkpoint that is reported on.
        means: float32 (C, d), plain means of unit embeddings.
        samples: int64 (C,), what each is the mean of; 0 for a class without samples.
    """

    epoch: int | None
    means: NDArray[Any]
    samples: NDArray[Any]


def write_class_means(found: ClassMeans, folder: Path) -> None:
    """Write one recluster's, the means as float16.

    Args:
        found: Its epoch names the file, which a run that comes to the epoch again writes anew.
        folder: The run's.
    """

    def write(temporary: Path) -> None:
        # An open file, because numpy would add an ending to a path.
        with temporary.open("wb") as file:
            numpy.savez(file, means=found.means.astype(numpy.float16), samples=found.samples)

    write_file(folder / CLASS_MEANS / f"epoch_{found.epoch:04}.npz", write)


def read_class_means(folder: Path, num_classes: int) -> tuple[ClassMeans, ...]:
    """Read those of all reclusters, by epoch.

    Args:
        folder: A run's, which need not have any.
        num_classes: Number of classes C.

    Raises:
        InputError: If a file is damaged or of another number of classes.
    """
    found = []
    for path in (folder / CLASS_MEANS).glob("epoch_*.npz"):
        try:
            # Opened here, since numpy leaves a file open that it cannot read.
            with path.open("rb") as opened, numpy.load(opened, allow_pickle=False) as file:
                means, samples = file["means"].astype(numpy.float32), file["samples"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"RUN: {path} is not a whole file of class means ({error}); delete it.") from error
        if means.ndim != 2 or len(means) != num_classes or samples.shape != (num_classes,):
            raise InputError(f"RUN: {path} holds means of shape {means.shape}; expected {num_classes} classes.")
        found.append(ClassMeans(int(re.sub(r"\D", "", path.stem)), means, samples))
    return tuple(sorted(found, key=lambda one: -1 if one.epoch is None else one.epoch))


def class_means(subclusters: Subclusters, num_classes: int, epoch: int) -> ClassMeans:
    """Where the classes lie: of the samples that were clustered, the mean of a class's sub-clusters by their sizes.

    Args:
        subclusters: What was found.
        num_classes: Number of classes C; the mean of one without samples is 0.
        epoch: Before which the recluster was.
    """
    class_of, centroids = subclusters.class_of.cpu(), subclusters.centroids.float().cpu()
    sizes = torch.bincount(subclusters.ids, minlength=len(class_of)).cpu()
    samples = torch.zeros(num_classes, dtype=torch.int64).index_add_(0, class_of, sizes)
    sums = torch.zeros(num_classes, centroids.shape[1]).index_add_(0, class_of, centroids * sizes.unsqueeze(1))
    return ClassMeans(epoch, (sums / samples.clamp(min=1).unsqueeze(1)).numpy(), samples.numpy())
