"""The command of an exported model: a table of samples to a table of predictions."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modules.export.portable import Predictions, Predictor

_ROWS = 1_024
_SHOWN_LABELS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict a table, or one sample.

    Args:
        arguments: The command line after the name of the file; that of the process if None.
    """
    parser = argparse.ArgumentParser(description="Predict with an exported model.")
    parser.add_argument("table", nargs="?", type=Path, help="CSV or TSV table; .npz file for a model of arrays")
    parser.add_argument("output", nargs="?", type=Path, help="CSV or TSV file to write")
    parser.add_argument("--columns", nargs="+", metavar="NAME", help="columns of the SMILES, if not those of training")
    parser.add_argument("--smiles", metavar="TEXT", help="one sample, whose prediction is printed")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads of the model (default: all cores)")
    given = parser.parse_args(arguments)
    if (given.smiles is None) == (given.output is None):
        parser.error("expected either a table and an output, or --smiles.")
    predictor = Predictor(threads=given.threads)
    try:
        if given.smiles is not None:
            _show(predictor, given.smiles)
        else:
            unusable, rows = _write(predictor, given.table, given.output, given.columns)
            print(f"{rows:,} rows written to {given.output}; {unusable:,} of them could not be used.")
    except (UnicodeDecodeError, csv.Error):
        parser.error(_unreadable(str(given.table)))
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _show(predictor: Predictor, text: str) -> None:
    found = predictor.predict([text])
    if found.reasons[0] is not None:
        raise ValueError(f"{text!r} cannot be used: {found.reasons[0]}.")
    if predictor.several_labels:
        shares = found.calibrated_probability[0]
        best = numpy.argsort(-shares, kind="stable")[:_SHOWN_LABELS].tolist()
        listed = ", ".join(f"{predictor.classes[place]} {shares[place]:.3f}" for place in best)
        print(f"{found.labels[0]}; most probable: {listed}")
        return
    calibrated = f"calibrated {found.calibrated_probability[0]:.3f}"
    print(f"{found.labels[0]}: probability {found.probability[0]:.3f}, {calibrated}")


def _write(predictor: Predictor, table: Path, output: Path, columns: Sequence[str] | None) -> tuple[int, int]:
    """Write the predictions beside the rows; returns the number of unusable rows and of all rows."""
    if table.resolve() == output.resolve():
        raise ValueError(f"output: expected a new file, got {output}, which is the input.")
    kind, unusable, rows = predictor.settings["input"], 0, 0
    chunks = array_chunks(table) if kind == "array" else _table_chunks(table, predictor.settings, columns)
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=_separator(output), lineterminator="\n")
            for header, cells, samples in chunks:
                found = predictor.predict(samples)
                names, values = _columns(predictor, found)
                if not rows:
                    clash = sorted(set(header) & set(names))
                    if clash:
                        raise ValueError(f"table: expected no column {clash[0]!r}, which predictions have; rename it.")
                    writer.writerow([*header, *names])
                writer.writerows([*row, *(column[place] for column in values)] for place, row in enumerate(cells))
                unusable += sum(reason is not None for reason in found.reasons)
                rows += len(cells)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return unusable, rows


def _columns(predictor: Predictor, found: Predictions) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the columns of predictions, those of `lightning predict` but for its evidence."""

    def numbers(values: NDArray[Any]) -> list[str]:
        return ["" if value != value else str(value) for value in values]

    labels, several = [label or "" for label in found.labels], predictor.several_labels
    shares = found.calibrated_probability if several else found.probabilities
    columns = {"predicted_labels" if several else "predicted_label": labels}
    if not several:
        columns["probability"] = numbers(found.probability)
        columns["calibrated_probability"] = numbers(found.calibrated_probability)
    columns |= {f"p/{name}": numbers(shares[:, code]) for code, name in enumerate(predictor.classes)}
    if found.uncertainty is not None:
        columns["uncertainty"] = numbers(found.uncertainty)
    columns["reason"] = [reason or "" for reason in found.reasons]
    return list(columns), list(columns.values())


def _table_chunks(
    path: Path, settings: dict[str, Any], columns: Sequence[str] | None
) -> Iterator[tuple[list[str], list[list[str]], list[Any]]]:
    """Header, rows and samples of each chunk of a table."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=_separator(path))
        header = next(reader, [])
        places = [header.index(name) for name in _chosen(header, settings, columns, path)]
        cells: list[list[str]] = []
        for row in reader:
            if not row and len(header) > 1:
                continue
            row = row or [""]
            if len(row) != len(header):
                raise ValueError(
                    f"table: expected {len(header)} cells in line {reader.line_num} of {path}, got {len(row)}."
                )
            cells.append(row)
            if len(cells) == _ROWS:
                yield header, cells, _samples(cells, places)
                cells = []
        yield header, cells, _samples(cells, places)


def _samples(cells: list[list[str]], places: list[int]) -> list[Any]:
    return [row[places[0]] if len(places) == 1 else tuple(row[place] for place in places) for row in cells]


def _chosen(header: list[str], settings: dict[str, Any], columns: Sequence[str] | None, path: Path) -> list[str]:
    """The columns of the SMILES: those given, those of the training table, or else those of usual names."""
    folded = {name.lower().strip(): name for name in reversed(header)}
    usual = [[folded[name] for name in group] for group in settings["usual_columns"] if set(group) <= set(folded)]
    groups = [list(columns)] if columns else [settings["columns"] or [], *usual]
    for group in groups:
        if group and set(group) <= set(header):
            return group
    if len(header) == 1 and any(mark in header[0] for mark in ",;|\t"):
        raise ValueError(_unreadable(f"{path} with the header {header[0]!r}"))
    raise ValueError(f"columns: expected the names of the columns of SMILES in {path}, which has {', '.join(header)}.")


def _unreadable(found: str) -> str:
    return f"table: expected CSV or TSV in UTF-8, got {found}; lightning predict reads more."


def array_chunks(path: Path) -> Iterator[tuple[list[str], list[list[str]], NDArray[Any]]]:
    """Header, row numbers and samples of each chunk of an .npz file.

    Args:
        path: A file with `features` (N, D), `images`, or the `data`, `indices`, `indptr` and `shape` of a sparse CSR
            matrix, as numpy.savez writes it.

    Raises:
        ValueError: If it has none of these.
    """
    with numpy.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    known = next((name for name in ("features", "images", "indptr") if name in arrays), None)
    if known is None:
        raise ValueError(f"table: expected features, images or a sparse matrix in {path}, got {', '.join(arrays)}.")
    size = len(arrays[known]) - (known == "indptr")
    for start in range(0, size, _ROWS):
        end = min(start + _ROWS, size)
        rows = [[str(row + 1)] for row in range(start, end)]
        if known != "indptr":
            yield ["row"], rows, arrays[known][start:end]
            continue
        starts = arrays["indptr"][start : end + 1]
        own = slice(starts[0], starts[-1])
        dense = numpy.zeros((end - start, int(arrays["shape"].reshape(-1)[1])), dtype=numpy.float32)
        owner = numpy.repeat(numpy.arange(end - start), numpy.diff(starts))
        numpy.add.at(dense, (owner, arrays["indices"][own]), arrays["data"][own])
        yield ["row"], rows, dense


def _separator(path: Path) -> str:
    return "\t" if path.suffix.lower() in (".tsv", ".tab") else ","


if __name__ == "__main__":
    main()
