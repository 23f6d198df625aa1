"""A table of three classes."""

from __future__ import annotations

from pathlib import Path


def uneven_table(folder: Path) -> Path:
    """Ethers and amines of many lengths, and one drug that is the only one of its class."""
    lines = [f"{'C' * size}OC,ether" for size in range(1, 25)] + [f"{'C' * size}N,amine" for size in range(1, 13)]
    path = folder / "drugs.csv"
    path.write_text("\n".join(["smiles,label", *lines, "c1ccccc1,ring"]) + "\n")
    return path
