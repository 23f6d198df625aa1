"""One text for each molecule, computed by RDKit and cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy

from datamodules.feature_cache import FEATURE_VERSION, Arrays, Setting, cache_key, cached_arrays
from datamodules.part_files import write_parts

MakeTexts = Callable[[Sequence[str]], list[str]]
"""From M SMILES to M texts; it is sent to worker processes."""


def cached_texts(
    smiles: Sequence[str], make: MakeTexts, settings: Mapping[str, Setting], cache_folder: Path, description: str
) -> list[str]:
    """The texts of molecules from the cache, computed first if they are not there.

    Args:
        smiles: M SMILES.
        make: Computes the texts.
        settings: What they are computed from, by name, beside the SMILES and the versions of RDKit and of features.
        cache_folder: The cache.
        description: Shown beside the progress bar.

    Returns:
        M texts.
    """
    import rdkit

    if not smiles:
        return []
    key = cache_key(smiles, {**settings, "version": FEATURE_VERSION, "rdkit": rdkit.__version__})
    compute = partial(_text_arrays, make=make)
    arrays = cached_arrays(cache_folder, key, lambda folder: write_parts(smiles, compute, folder, description))
    text, ends = arrays["text"].tobytes(), numpy.cumsum(arrays["letters"])
    spans = zip((ends - arrays["letters"]).tolist(), ends.tolist(), strict=True)
    return [text[start:end].decode() for start, end in spans]


def _text_arrays(smiles: Sequence[str], make: MakeTexts) -> Arrays:
    """`text` (T,) uint8, the texts end to end, and `letters` (M,) int64, the length of each."""
    texts = [text.encode() for text in make(smiles)]
    return {
        "text": numpy.frombuffer(b"".join(texts), dtype=numpy.uint8),
        "letters": numpy.array([len(text) for text in texts], dtype=numpy.int64),
    }
