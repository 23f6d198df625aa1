"""Prediction on damaged SMILES: nothing is lost, RDKit agrees on what is read, and no row takes long.

The SMILES of the bundled drugs are damaged at random: characters are inserted, left out, exchanged and doubled, parts
are joined, names and extensions are put behind them, some become very long. `lightning predict` runs on a table of
them. Its rows are compared with the table, its reasons with RDKit, and each SMILES is featurized alone for its time.

    python -m benchmarks.fuzzed_smiles [--rows 100000] [--ckpt_path FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import polars

from benchmarks.measuring import INN_TABLE, describe_machine, print_table, write_json
from benchmarks.memory import run
from benchmarks.predict import train

_LETTERS = "CNOSPFIclnos()[]=#@+-\\/.%0123456789HBr"
_BEHIND = [" name", "\tname", " |THB:0:1|", " |&1:0|", "\u00a0", "\u200b", " \u00e9", "\u201d", "  ", "_1"]


def damaged(drugs: list[str], draw: random.Random) -> str:
    """A SMILES with some damage, or none.

    Args:
        drugs: SMILES to begin with.
        draw: Random numbers.
    """
    text = draw.choice(drugs)
    for _ in range(draw.choice([0, 1, 1, 2, 3, 6])):
        place, kind = draw.randrange(len(text) + 1), draw.randrange(8)
        letter = draw.choice(_LETTERS)
        if kind == 0:
            text = text[:place] + letter + text[place:]
        elif kind == 1:
            text = text[:place] + text[place + 1 :]
        elif kind == 2:
            text = text[:place] + letter + text[place + 1 :]
        elif kind == 3:
            text = text[:place] + text[place // 2 :]
        elif kind == 4:
            text = text[:place] + draw.choice(drugs)[place // 2 :]
        elif kind == 5:
            text += draw.choice(_BEHIND)
        elif kind == 6:
            text = f"{text}.{draw.choice(drugs)}"
        else:
            text = text[:place]
    if draw.random() < 0.001:
        text = draw.choice(["C", "C1CC1", "c1ccccc1", "C(=O)N", "C1CCCCC1.", "[U]%11"]) * draw.choice([100, 500, 3_000])
    return text.replace('"', "").replace("\n", "")


def is_readable(cell: str) -> bool:
    """What the documentation promises of a cell, by RDKit alone.

    Args:
        cell: A cell of a table.
    """
    from rdkit import Chem

    text = cell.strip(" \t\r\n\f\v")
    smiles = text.replace("\t", " ").split(" ", 1)[0]
    if not smiles or not smiles.isascii() or len(smiles) > 4_000:
        return False
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return False
    atoms, bonds = molecule.GetNumAtoms(), molecule.GetNumBonds()
    return 0 < atoms <= 600 and bonds <= 2 * atoms + 20


def slowest(smiles: list[str]) -> tuple[float, float, str]:
    """Mean and largest processor seconds of a row, featurized alone with all fingerprints, and the slowest row."""
    from datamodules.chemistry.molecule_features import FeatureSettings, featurize
    from datamodules.tables.smiles_cells import read_smiles

    texts = read_smiles(polars.Series("smiles", smiles).str.strip_chars(" \t\r\n\f\v"), "smiles")[0].fill_null("")
    settings = FeatureSettings(2, 2048, ("morgan", "path", "atom_pair", "torsion"))
    seconds = []
    for text in texts:
        # Of the processor, since other programs would be counted otherwise.
        start = time.process_time()
        featurize([text], settings)
        seconds.append(time.process_time() - start)
    place = max(range(len(seconds)), key=seconds.__getitem__)
    return sum(seconds) / len(seconds), seconds[place], smiles[place]


def main() -> None:
    """Predict, compare, and print the table."""
    from rdkit import rdBase

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--ckpt_path", type=Path, help="a checkpoint of a model of single molecules")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    draw = random.Random(0)
    drugs = polars.read_csv(INN_TABLE)["smiles"].to_list()
    smiles = [damaged(drugs, draw) for _ in range(options.rows)]
    with tempfile.TemporaryDirectory() as name, rdBase.BlockLogs():
        folder = Path(name)
        checkpoint = options.ckpt_path.resolve() if options.ckpt_path else train(folder)
        given = polars.DataFrame({"row": range(options.rows), "smiles": smiles})
        given.write_parquet(folder / "fuzzed.parquet")
        table, output = str(folder / "fuzzed.parquet"), str(folder / "out.parquet")
        paths = ["--data.source", table, "--output", output, "--trainer.accelerator=cpu"]
        start = time.perf_counter()
        done = run(["lightning_app.cli", "predict", "--ckpt_path", str(checkpoint), *paths], folder)
        seconds = time.perf_counter() - start
        found = polars.read_parquet(folder / "out.parquet")
        in_order = found.select("row", "smiles").equals(given)
        expected = [is_readable(text) for text in smiles]
    agreed = sum(own == other for own, other in zip(expected, found["reason"].is_null(), strict=True))
    mean, largest, text = slowest(smiles)
    figures = {
        "fuzzed_rows": float(options.rows),
        "fuzzed_readable": float(sum(expected)),
        "fuzzed_agreement": agreed / options.rows,
        "fuzzed_rows_per_second": options.rows / seconds,
        "fuzzed_peak_mb": done.together_gb * 1000,
        "fuzzed_mean_ms": mean * 1e3,
        "fuzzed_slowest_ms": largest * 1e3,
    }
    header = ["rows", "readable", "agreement with RDKit", "rows/s", "peak, MB", "mean row, ms", "slowest row, ms"]
    print_table(header, [[f"{value:,.6g}" for value in figures.values()]])
    print(f"Count and order are {'kept' if in_order else 'NOT kept'}. The slowest row is {text[:60]!a}.")
    print(describe_machine(1))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
