"""Data sets that are known by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from base.errors import InputError
from base.process_lock import exclusive_lock
from base.user_path import path_of
from datamodules.datasets.package_datasets import (
    DIGITS_PACKAGES,
    DOCSTRINGS_PACKAGES,
    check_installed,
    make_digits,
    make_docstrings,
    packages_digest,
)
from datamodules.datasets.table_download import fetch_table, stored_table
from datamodules.tables.columns import InputKind

_log = logging.getLogger("tailmol")

_EMBEDDED = Path(__file__).parent / "inn_stems"
_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/{}"
_IMDRUG = "file of ImDrug: Li et al. 2022, arXiv:2209.07921"
_MOLECULENET = "Wu et al. 2018, MoleculeNet, Chem. Sci. 9, 513"
_PATENTS = "Lowe 2012, Extraction of chemical structures and reactions from the literature, PhD thesis, Cambridge"


@dataclass(frozen=True)
class Dataset:
    """A table that `data.source` knows by name.

    Attributes:
        name: What `data.source` calls it.
        address: Where it is downloaded from, or `pypi` if it is made from installed packages; None if it is shipped
            with the project.
        file_name: In the cache or, if it is shipped, in its folder.
        input: What one sample is.
        smiles_columns: One for molecules and drugs with proteins, else two; None where they are to be guessed, because
            copies of the file differ, and for arrays.
        sequence_column: The amino acids of a protein, for drugs with proteins.
        label_column: Several for several labels a row; None where the user must choose one, and for arrays.
        id_column: None where the table may have none.
        rows: Without the header.
        classes: None where it is not known before the table is read.
        imbalance_ratio: Size of the largest class over that of the smallest, as published; None where it is not.
        license: Of the file.
        citation: Where the data are from, in one line.
        make: Writes the file, where it is made from installed packages.
        packages: Their names on PyPI.
    """

    name: str
    address: str | None
    file_name: str
    input: InputKind
    smiles_columns: tuple[str, ...] | None
    sequence_column: str | None
    label_column: str | tuple[str, ...] | None
    id_column: str | None
    rows: int
    classes: int | None
    imbalance_ratio: float | None
    license: str
    citation: str
    make: Callable[[Path], None] | None = None
    packages: tuple[str, ...] = ()


def _dataverse(
    number: int,
    name: str,
    input: InputKind,
    rows: int,
    classes: int | None = None,
    imbalance_ratio: float | None = None,
    smiles_columns: tuple[str, ...] | None = ("X1", "X2"),
    sequence_column: str | None = None,
    label_column: str | tuple[str, ...] | None = "Y",
    id_column: str | None = "ID1",
    citation: str | None = None,
) -> Dataset:
    """A file of the ImDrug benchmark, doi 10.7910/DVN/TEXUKR; the ratios are those in its code."""
    return Dataset(
        name=name,
        address=_DATAVERSE.format(number),
        file_name=f"{name}.tab",
        input=input,
        smiles_columns=smiles_columns,
        sequence_column=sequence_column,
        label_column=label_column,
        id_column=id_column,
        rows=rows,
        classes=classes,
        imbalance_ratio=imbalance_ratio,
        license="CC0 1.0",
        citation=f"{citation}; {_IMDRUG}" if citation else _IMDRUG,
    )


_DATASETS = (
    Dataset(
        name="inn_stems",
        address=None,
        file_name="inn_stems.csv",
        input="molecule",
        smiles_columns=("smiles",),
        sequence_column=None,
        label_column="label",
        id_column="id",
        rows=654,
        classes=73,
        imbalance_ratio=10.6,
        license="CC BY-SA 3.0",
        citation="Zdrazil et al. 2024, ChEMBL, Nucleic Acids Res. 52, D1180",
    ),
    _dataverse(
        6573960,
        "bbb_martins",
        "molecule",
        rows=1_975,
        classes=2,
        imbalance_ratio=3.24,
        smiles_columns=None,
        id_column=None,
        citation="Martins et al. 2012, J. Chem. Inf. Model. 52, 1686",
    ),
    _dataverse(
        6573958,
        "tox21",
        "molecule",
        rows=7_831,
        smiles_columns=("X",),
        label_column=(
            *("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"),
            *("SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"),
        ),
        id_column="ID",
        citation=_MOLECULENET,
    ),
    _dataverse(
        6573954,
        "hiv",
        "molecule",
        rows=41_127,
        classes=2,
        imbalance_ratio=27.5,
        smiles_columns=("X",),
        id_column="ID",
        citation=_MOLECULENET,
    ),
    _dataverse(
        6573959,
        "sbap",
        "drug_protein",
        rows=32_140,
        classes=2,
        imbalance_ratio=36.77,
        smiles_columns=("X1",),
        sequence_column="X2",
    ),
    _dataverse(
        6573957,
        "drugbank",
        "pair",
        rows=191_808,
        classes=86,
        imbalance_ratio=10_124.67,
        citation="Ryu et al. 2018, DeepDDI, PNAS 115, E4304",
    ),
    _dataverse(6573953, "uspto_50k", "reaction", rows=50_016, classes=10, imbalance_ratio=65.78, citation=_PATENTS),
    _dataverse(
        6573955,
        "uspto_500_MT",
        "reaction",
        rows=143_535,
        imbalance_ratio=285.06,
        label_column="labels",
        id_column=None,
        citation="Lu and Zhang 2022, T5Chem, J. Chem. Inf. Model. 62, 1376",
    ),
    _dataverse(
        6573963,
        "uspto_1k_TPL",
        "reaction",
        rows=445_115,
        classes=1_000,
        imbalance_ratio=110.86,
        id_column=None,
        citation="Schwaller et al. 2021, Nat. Mach. Intell. 3, 144",
    ),
    _dataverse(
        6573962, "uspto_catalyst", "reaction", rows=721_799, classes=888, imbalance_ratio=3_975.86, citation=_PATENTS
    ),
    Dataset(
        name="digits",
        address="pypi",
        file_name="digits.npz",
        input="array",
        smiles_columns=None,
        sequence_column=None,
        label_column=None,
        id_column=None,
        rows=1_797,
        classes=10,
        imbalance_ratio=1.05,
        license="CC BY 4.0",
        citation="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI, doi 10.24432/C50P49",
        make=make_digits,
        packages=DIGITS_PACKAGES,
    ),
    Dataset(
        name="docstrings",
        address="pypi",
        file_name="docstrings.npz",
        input="array",
        smiles_columns=None,
        sequence_column=None,
        label_column=None,
        id_column=None,
        rows=4_800,
        classes=12,
        imbalance_ratio=1.0,
        license="various",
        citation="functions and classes of the Python packages that constraints.txt pins",
        make=make_docstrings,
        packages=DOCSTRINGS_PACKAGES,
    ),
)

CATALOG: dict[str, Dataset] = {dataset.name: dataset for dataset in _DATASETS}


def find_dataset(source: str) -> Dataset | None:
    """The catalog entry that a source names, or None where it is a file or unknown.

    Args:
        source: A name of the catalog, or a path; a file of that path goes before the name.
    """
    return None if path_of(source).is_file() else CATALOG.get(source)


def find_source(source: str, cache_folder: Path) -> Path:
    """The file of a catalog entry, downloaded or made at its first use, or the file itself.

    Args:
        source: A name of the catalog, or a path; a file of that path goes before the name.
        cache_folder: What is downloaded or made is kept in its folder `datasets`.

    Raises:
        InputError: If it is neither, the download fails, the downloaded file has changed since, or a package that the
            file is made from is not installed.
    """
    if (dataset := find_dataset(source)) is not None:
        if dataset.address is None:
            return _EMBEDDED / dataset.file_name
        if dataset.make is not None:
            return _made_file(dataset, dataset.make, cache_folder)
        return fetch_table(dataset.address, _cache_path(dataset, cache_folder), dataset.rows)
    if not (path := path_of(source)).is_file():
        known = ", ".join(CATALOG)
        raise InputError(f"data.source: expected a file or a known data set ({known}), got {source!r}; no such file.")
    return path


def local_file(dataset: Dataset, cache_folder: Path) -> Path | None:
    """The file of a catalog entry where it is on this machine already, else None.

    Args:
        dataset: The entry.
        cache_folder: As of `find_source`.
    """
    return (
        _EMBEDDED / dataset.file_name if dataset.address is None else stored_table(_cache_path(dataset, cache_folder))
    )


def _made_file(dataset: Dataset, make: Callable[[Path], None], cache_folder: Path) -> Path:
    check_installed(dataset.packages, dataset.name)
    path = _cache_path(dataset, cache_folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path.with_name(f"{path.name}.lock"), f"makes {path.name}"):
            if not path.is_file():
                _log.info(f"Making {path} from installed packages.")
                make(path)
    except OSError as error:
        raise InputError(f"data.cache_folder: {path.parent} cannot be used ({error}).") from error
    return path


def _cache_path(dataset: Dataset, cache_folder: Path) -> Path:
    name = Path(dataset.file_name)
    # Other versions of the packages make another file.
    digest = f"_{packages_digest(dataset.packages)}" if dataset.packages else ""
    return cache_folder / "datasets" / f"{name.stem}{digest}{name.suffix}"
