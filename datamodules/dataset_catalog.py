"""Data sets that are known by name."""

from __future__ import annotations

from pathlib import Path

from datamodules.drug_table import InputError

_EMBEDDED = {"inn_stems": Path(__file__).parent / "inn_stems" / "inn_stems.csv"}


def find_source(source: str) -> Path:
    """The file of a catalogue entry, or the file itself.

    Args:
        source: A name of the catalogue, or a path.

    Raises:
        InputError: If it is neither.
    """
    if source in _EMBEDDED:
        return _EMBEDDED[source]
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"data.source: {source!r} is neither a file nor a known data set ({', '.join(_EMBEDDED)}).")
    return path
