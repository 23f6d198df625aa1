"""Data sets that are made from installed Python packages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy

from base.atomic_file import write_binary
from base.errors import InputError
from datamodules.datasets.docstring_texts import PACKAGES, read_docstrings

DIGITS_PACKAGES = ("scikit-learn",)
DOCSTRINGS_PACKAGES = tuple(PACKAGES.values())

_RECIPE = 1
_TEXT_FEATURES = 4096


def packages_digest(distributions: Sequence[str]) -> str | None:
    """A hash of the installed versions, and of how data sets are made; None where a package is missing.

    Args:
        distributions: Names on PyPI.
    """
    try:
        versions = [(name, version(name)) for name in distributions]
    except PackageNotFoundError:
        return None
    return hashlib.sha256(repr((_RECIPE, versions)).encode()).hexdigest()[:12]


def check_installed(distributions: Sequence[str], dataset: str) -> None:
    """Stop where a package is missing.

    Args:
        distributions: Names on PyPI.
        dataset: Named in the message.

    Raises:
        InputError: If any is not installed.
    """
    missing = [name for name in distributions if packages_digest([name]) is None]
    if missing:
        raise InputError(
            f"data.source: {dataset} is made from the package {missing[0]}, which is not installed; install this "
            "project with its extra, pip install '.[experiments]'."
        )


def make_digits(path: Path) -> None:
    """Write scikit-learn's handwritten digits: 1,797 images of 8x8 pixels from 0 to 16.

    Args:
        path: The .npz file.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    _write_arrays(path, images=digits.images.astype(numpy.float32), labels=digits.target)


def make_docstrings(path: Path) -> None:
    """Write the docstrings of installed packages as hashed words and pairs of words, labeled by package.

    A feature is the logarithm of a count; each docstring's features have length 1. Nothing is learned from the texts,
    so that test samples do not influence the features of others.

    Args:
        path: The .npz file.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    texts = read_docstrings()
    words = HashingVectorizer(
        n_features=_TEXT_FEATURES,
        ngram_range=(1, 2),
        alternate_sign=False,
        norm=None,
        token_pattern=r"[a-z]{2,}",
        dtype=numpy.float32,
    )
    counts = words.transform([text for _, text in texts])
    counts.data = numpy.log1p(counts.data)
    features = normalize(counts)
    _write_arrays(
        path,
        data=features.data,
        indices=features.indices,
        indptr=features.indptr,
        shape=numpy.array(features.shape),
        format=numpy.array("csr"),
        labels=numpy.array([package for package, _ in texts]),
    )


def _write_arrays(path: Path, **arrays: Any) -> None:
    write_binary(path, lambda file: numpy.savez_compressed(file, **arrays))
