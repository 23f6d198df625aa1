"""Time of finding the parents of molecules, relative to RDKit's parse of their SMILES.

Once for each distinct molecule, `featurize` finds the parent by which drugs are compared, and its hash. Timed in turns
on one core, on the molecules of a table and on the same molecules as salts, each of which has a parent.

    python -m benchmarks.standardise [--table FILE --column X] [--molecules 10000] [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import statistics

import numpy

from benchmarks.measuring import (
    Times,
    describe_machine,
    measure_in_turns,
    parse_options,
    print_table,
    read_smiles,
    write_json,
)


def measure(smiles: list[str], repeats: int) -> Times:
    """Seconds of the parse and of the parents, in turns.

    Args:
        smiles: M SMILES that RDKit can read.
        repeats: Number of turns.
    """
    from rdkit import Chem

    from datamodules.chemistry.molecule_graphs import SmilesReader
    from datamodules.chemistry.skeleton_hashes import ParentGraphs

    read = SmilesReader()
    molecules = [read(text) for text in smiles]
    atom_counts = numpy.array([molecule.GetNumAtoms() for molecule in molecules])

    def find_parents(turn: int) -> None:
        parents = ParentGraphs(read)
        for text, molecule in zip(smiles, molecules, strict=True):
            parents.add(text, molecule)
        parents.hashes(numpy.zeros(atom_counts.sum(), dtype=numpy.uint64), atom_counts)

    def parse(turn: int) -> None:
        for text in smiles:
            Chem.MolFromSmiles(text)

    return measure_in_turns({"parse": parse, "parents": find_parents}, None, repeats)[0]


def main() -> None:
    """Measure and print the table."""
    options = parse_options(__doc__, molecules=10_000, repeats=5)
    given = read_smiles(options.table, options.column, options.molecules)
    figures: dict[str, float] = {}
    rows: list[list[str]] = []
    salts = {"as given": given, "all as salts": [f"{text}.Cl" for text in given]}
    for name, smiles in salts.items():
        times = measure(smiles, options.repeats)
        micros = {stage: 1e6 * statistics.median(values) / len(smiles) for stage, values in times.items()}
        ratio = statistics.median(ours / parse for ours, parse in zip(times["parents"], times["parse"], strict=True))
        key = name.replace(" ", "_")
        figures |= {f"standardise_{key}_{stage}_us": value for stage, value in micros.items()}
        figures[f"standardise_{key}_ratio"] = ratio
        rows.append([name, *(f"{value:.1f}" for value in micros.values()), f"{ratio:.2f}"])
    print_table(["molecules", "parse, us", "parent and its hash, us", "ratio"], rows)
    print(describe_machine(1))
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
