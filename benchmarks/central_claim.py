"""Is a rare class a hard one? Rank correlations of a class's recall with its count and with its nearest rival.

Reads the runs of a benchmark that reclusters (`benchmark/central_claim.yaml`): the recall of each class on the test
split, and its training count and distances at the last recluster. Values of a class are averaged over the runs of a
data set; the correlation is Spearman's over the classes, with a 95 % bootstrap interval.

    python -m benchmarks.central_claim results/central_claim
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import polars

from datamodules.atomic_file import write_file
from experiments.paired_statistics import spearman

MEASURES = {
    "training_samples": "count",
    "class_distance": "distance to the nearest class",
    "subcluster_distance": "distance to the nearest sub-cluster",
    "difficulty": "overlap of nearest neighbours",
}


def classes_of(run: Path) -> polars.DataFrame:
    """One row for each class of a run that has test samples: `class`, `recall` and the measures."""
    metrics = json.loads((run / "test_metrics.json").read_text())
    start = "test/recall/"
    recall = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
    weights = polars.read_csv(run / "class_weights.csv", schema_overrides={"class": polars.String})
    last = weights.filter(polars.col("epoch") == weights["epoch"].max())
    rows = last.with_columns(recall=last["class"].replace_strict(recall, return_dtype=polars.Float64))
    return rows.select("class", "recall", *MEASURES).drop_nulls("recall")


def table(folder: Path) -> str:
    """The correlations of each data set, as Markdown."""
    cells = polars.read_csv(folder / "cells.csv").filter(polars.col("state") == "complete")
    lines = [f"| data | runs | classes | {' | '.join(MEASURES.values())} |", f"| --- | ---: | ---: |{' --- |' * 4}"]
    for (data,), rows in cells.group_by("data", maintain_order=True):
        names = [
            f"{row['data']} {row['encoder']} {row['method']} split {row['split_seed']} seed {row['seed']}"
            for row in rows.iter_rows(named=True)
        ]
        runs = [classes_of(folder / "runs" / name.replace(" ", "_") / "fit") for name in names]
        classes = polars.concat(runs).group_by("class").mean()
        texts = []
        for measure in MEASURES:
            kept = classes.drop_nulls(measure).filter(polars.col(measure).is_finite())
            rho, low, high = spearman(kept["recall"].to_numpy(), kept[measure].to_numpy())
            texts.append(f"{rho:+.2f} [{low:+.2f}, {high:+.2f}]" if rho == rho else "-")
        lines.append(f"| {data} | {len(runs)} | {len(classes)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table and write it into the folder as `central_claim.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where lightning benchmark wrote")
    folder = parser.parse_args().folder
    text = table(folder)
    print(text, end="")
    write_file(folder / "central_claim.md", lambda path: path.write_text(text))


if __name__ == "__main__":
    main()
