"""Training samples that are shown beside a prediction: which of them are nearest, by fingerprint or embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray
from torch import Tensor

from base.errors import InputError
from datamodules.drug_task import DrugTask
from modules.neighbors.tanimoto_search import TanimotoSearch
from modules.sample_fingerprints import bits_width
from modules.unit_embeddings import unit_embeddings

if TYPE_CHECKING:
    import faiss
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Neighbors:
    """The k nearest training samples of B samples, from the nearest on.

    Attributes:
        codes: Class codes, int64 (B, k); where a sample may have several labels, int8 (B, k, L), see `TrainingSamples`.
        tanimoto: Tanimoto similarities of the fingerprints, fp32 (B, k); NaN for samples without molecules.
        cosine: Cosine similarities of the embeddings, fp32 (B, k).
    """

    codes: NDArray[Any]
    tanimoto: NDArray[Any]
    cosine: NDArray[Any]


@dataclass(frozen=True)
class TrainingSamples:
    """S different training samples.

    Attributes:
        names: What each sample is called: its id if the table has one, else its text.
        texts: What can be drawn of each sample: SMILES joined by >>, or nothing.
        codes: Class codes, int64 (S,). Where a sample may have several labels, int8 (S, L): 1 the sample has the label,
            0 it does not, -1 not known.
        embeddings: Unit embeddings, fp16 (S, d).
        bits: Bins of the fingerprints, fp32 (S, W), of zeros and ones; None for samples without molecules.
        by_tanimoto: Whether the nearest samples are those of the highest Tanimoto similarity, else of the highest
            cosine similarity.
    """

    names: list[str]
    texts: list[str]
    codes: NDArray[Any]
    embeddings: NDArray[Any]
    bits: csr_array | None
    by_tanimoto: bool

    def nearest(self, embeddings: Tensor, bits: csr_array | None, number: int) -> tuple[NDArray[Any], Neighbors]:
        """Find the nearest training samples of each sample.

        Args:
            embeddings: Embeddings, floating point (B, d), of any norm.
            bits: Bins of the fingerprints, fp32 (B, W); None for samples without molecules.
            number: Number of training samples to find.

        Returns:
            Their places among the S samples, int64 (B, k), with k at most S; and what is known of them.
        """
        unit = unit_embeddings(embeddings).cpu().numpy()
        number = min(number, len(self.codes))
        if self.by_tanimoto:
            assert bits is not None
            places, tanimoto = self._by_bits.nearest(bits, number)
            cosine = numpy.einsum("bd,bkd->bk", unit, self.embeddings[places].astype(numpy.float32))
        else:
            cosine, places = self._by_cosine.search(unit, number)
            tanimoto = self._tanimoto(bits, places)
        # Half precision leaves a cosine a little above 1.
        return places, Neighbors(self.codes[places], tanimoto, cosine.clip(-1, 1))

    def check(self, task: DrugTask) -> None:
        """Check that the samples have the classes and the fingerprints of a task.

        Args:
            task: Description of the data.

        Raises:
            InputError: If they have others.
        """
        width = 0 if self.bits is None else self.bits.shape[1]
        if self.codes.ndim == 2:
            labels = self.codes.shape[1]
            fits, found = task.is_multilabel and labels == task.num_classes, f"{labels} labels"
        else:
            largest = int(self.codes.max())
            fits, found = not task.is_multilabel and largest < task.num_classes, f"class {largest}"
        if not fits or width != bits_width(task):
            kind = "labels" if task.is_multilabel else "classes"
            raise InputError(
                f"evidence: expected samples of {task.num_classes} {kind} with {bits_width(task)} bins, got {found} "
                f"and {width} bins."
            )

    @cached_property
    def _by_bits(self) -> TanimotoSearch:
        assert self.bits is not None
        return TanimotoSearch(self.bits)

    @cached_property
    def _by_cosine(self) -> faiss.IndexFlatIP:
        import faiss

        index = faiss.IndexFlatIP(self.embeddings.shape[1])
        index.add(self.embeddings.astype(numpy.float32))
        return index

    def _tanimoto(self, bits: csr_array | None, places: NDArray[Any]) -> NDArray[Any]:
        if bits is None or self.bits is None:
            return numpy.full(places.shape, numpy.nan, dtype=numpy.float32)
        own, found = bits[numpy.arange(len(places)).repeat(places.shape[1])], self.bits[places.reshape(-1)]
        shared = numpy.asarray(own.multiply(found).sum(axis=1)).reshape(-1)
        either = numpy.diff(own.indptr) + numpy.diff(found.indptr) - shared
        similarity: NDArray[Any] = (shared / numpy.maximum(either, 1)).astype(numpy.float32)
        return similarity.reshape(places.shape)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The samples as plain arrays, without pickled objects."""
        codes = self.codes if self.codes.ndim == 2 else self.codes.astype(numpy.int32)
        arrays = {"codes": codes, "embeddings": self.embeddings}
        for name in ("names", "texts"):
            encoded = [text.encode() for text in getattr(self, name)]
            arrays[name] = numpy.frombuffer(b"".join(encoded), dtype=numpy.uint8)
            arrays[f"{name}_ends"] = numpy.cumsum([len(text) for text in encoded], dtype=numpy.int64)
        arrays["by_tanimoto"] = numpy.array(self.by_tanimoto)
        if self.bits is not None:
            arrays["width"] = numpy.array(self.bits.shape[1])
            arrays["starts"] = self.bits.indptr.astype(numpy.int64)
            arrays["bins"] = self.bits.indices.astype(numpy.int32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TrainingSamples:
        """Restore the samples from `to_arrays`.

        Args:
            arrays: The arrays by name.

        Raises:
            KeyError: If one is missing.
            ValueError: If one is not valid.
        """
        from scipy.sparse import csr_array

        codes, embeddings = arrays["codes"], arrays["embeddings"]
        texts = {name: _texts(arrays[name], arrays[f"{name}_ends"]) for name in ("names", "texts")}
        bits = None
        if "width" in arrays:
            starts, bins = arrays["starts"], arrays["bins"]
            ones = numpy.ones(len(bins), dtype=numpy.float32)
            bits = csr_array((ones, bins, starts), shape=(len(starts) - 1, int(arrays["width"])))
            bits.check_format(full_check=True)
        sizes = {len(codes), len(embeddings), *map(len, texts.values()), *([] if bits is None else [bits.shape[0]])}
        by_tanimoto = bool(arrays["by_tanimoto"])
        several = codes.ndim == 2
        lowest, highest = (-1, 1) if several else (0, numpy.inf)
        valid = codes.dtype == (numpy.int8 if several else numpy.int32) and codes.ndim in (1, 2) and codes.size > 0
        valid = valid and codes.min() >= lowest and codes.max() <= highest
        if not valid or embeddings.dtype != numpy.float16 or embeddings.ndim != 2 or (by_tanimoto and bits is None):
            raise ValueError("expected codes, embeddings and bins of the types that fit writes, got others")
        if len(sizes) > 1:
            raise ValueError(f"expected codes, embeddings, texts and bins of as many samples, got {sorted(sizes)}")
        codes = codes if several else codes.astype(numpy.int64)
        return cls(texts["names"], texts["texts"], codes, embeddings, bits, by_tanimoto)


def _texts(characters: NDArray[Any], ends: NDArray[Any]) -> list[str]:
    """Texts from their UTF-8 bytes end to end, and where each ends."""
    whole = characters.tobytes()
    starts = [0, *ends.tolist()]
    return [whole[start:end].decode() for start, end in pairwise(starts)]
