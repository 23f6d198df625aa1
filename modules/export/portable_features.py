"""The inputs of an exported model, from molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from datamodules.chemistry.count_fingerprints import FingerprintBuilder
from datamodules.chemistry.molecule_graphs import GraphBuilder, SmilesReader, size_refusal, why_refused
from modules.export.portable_samples import read_smiles


class MoleculeInputs:
    """Reads the molecules of samples and turns them into the arrays that the ONNX graph reads."""

    def __init__(self, settings: Mapping[str, Any], graphs: bool) -> None:
        """Prepare for the molecules of one batch.

        Args:
            settings: Settings of the features: `fingerprint_kinds`, `fingerprint_radius` and `fingerprint_size`.
            graphs: Whether the model reads graphs, whose computation takes time.
        """
        kinds, radius, size = (settings[f"fingerprint_{name}"] for name in ("kinds", "radius", "size"))
        self._read, self._graphs = SmilesReader(), GraphBuilder() if graphs else None
        self._fingerprints = FingerprintBuilder(kinds, radius, size)

    def add(self, parts: Sequence[str], names: Sequence[str]) -> str | None:
        """Add a sample if it can be used.

        Args:
            parts: Its SMILES.
            names: What each of them is called in messages.

        Returns:
            Why it cannot be used; None if it was added.
        """
        added = []
        for part, name in zip(parts, names, strict=True):
            smiles, reason = read_smiles(part)
            molecule = None if reason else self._read(smiles)
            if molecule is None or size_refusal(molecule) is not None:
                where = f" in {name}" if len(names) > 1 else ""
                return (reason or why_refused(smiles)).rstrip(",") + where
            added.append((smiles, molecule))
        for smiles, molecule in added:
            self._fingerprints.add(molecule)
            if self._graphs is not None:
                self._graphs.add(smiles, molecule)
        return None

    def finish(self) -> dict[str, NDArray[Any]]:
        """The arrays of the samples that were added, by the name of the input."""
        bins = self._fingerprints.finish()
        inputs = {
            "entry_counts": bins.entry_counts,
            "bins": bins.bins.astype(numpy.int64),
            "counts": bins.counts.astype(numpy.float32),
        }
        if self._graphs is not None:
            found = self._graphs.finish()
            shift = numpy.repeat(numpy.cumsum(found.atom_counts) - found.atom_counts, found.bond_counts)
            inputs |= {
                "atom_counts": found.atom_counts,
                "atom_codes": found.atom_codes,
                "source": found.source + shift,
                "target": found.target + shift,
                "bond_codes": found.bond_codes,
            }
        return inputs


def sample_counts(inputs: Mapping[str, NDArray[Any]], kind: str, symmetric: bool, width: int) -> NDArray[Any]:
    """The counts of the bins of samples that second opinions are based on, fp32 (B, W).

    See `modules.sample_fingerprints`.

    Args:
        inputs: The arrays of B samples.
        kind: molecule, pair or reaction.
        symmetric: Whether the order of a pair means nothing.
        width: Number of bins of a molecule.
    """
    owner = numpy.repeat(numpy.arange(len(inputs["entry_counts"])), inputs["entry_counts"])
    counts = numpy.zeros((len(inputs["entry_counts"]), width), dtype=numpy.float32)
    counts[owner, inputs["bins"]] = inputs["counts"]
    if kind == "molecule":
        return counts
    one, other = counts[0::2], counts[1::2]
    if kind == "reaction":
        return numpy.concatenate([numpy.maximum(other - one, 0), numpy.maximum(one - other, 0)], axis=1)
    both = (one + other, numpy.minimum(one, other)) if symmetric else (one, other)
    return numpy.concatenate(both, axis=1)
