"""Are rare classes hard? Rank correlations of the recall of a class with its size and with its distance to others.

Reads the runs of a benchmark that reclusters (`benchmark/central_claim.yaml`): the recall of each class on the test
split, and its training count and distances at the last recluster. They are stored in `classes.csv` of the benchmark's
folder, which is read where the runs have been deleted. Values of a class are averaged over the runs of a data set; the
correlation is Spearman's over the classes, with a 95 % bootstrap interval.

    python -m benchmarks.central_claim --config benchmark/central_claim.yaml
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import polars

from base.atomic_file import write_csv, write_file
from benchmarks.rank_correlation import spearman
from experiments.benchmark_plan import BenchmarkPlan, read_plan
from experiments.benchmark_study import IDENTITY
from experiments.result_tables import escaped
from workflows.settings.config_files import find_config
from workflows.settings.layers import settings_files

MEASURES = {
    "training_samples": "count",
    "class_distance": "distance to the nearest class",
    "subcluster_distance": "distance to the nearest sub-cluster",
    "difficulty": "overlap of nearest neighbors",
}


def classes_of(run: Path) -> polars.DataFrame:
    """One row for each class with test samples in a run: `class`, `recall` and the measures."""
    metrics = json.loads((run / "test_metrics.json").read_text())
    start = "test/recall/"
    recall = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
    weights = polars.read_csv(run / "class_weights.csv", schema_overrides={"class": polars.String})
    last = weights.filter(polars.col("epoch") == weights["epoch"].max())
    rows = last.with_columns(recall=last["class"].replace_strict(recall, return_dtype=polars.Float64))
    return rows.select("class", "recall", *MEASURES).drop_nulls("recall")


def all_classes(plan: BenchmarkPlan, folder: Path) -> polars.DataFrame:
    """The rows of `classes_of` for the cells of a plan, from the runs, or from `classes.csv` for cells without runs."""
    path = folder / "classes.csv"
    known = polars.read_csv(path, schema_overrides={"class": polars.String}) if path.is_file() else polars.DataFrame()
    parts = []
    for cell in plan.cells:
        identity = {name: getattr(cell, name) for name in IDENTITY}
        # A run with other settings is in another folder, and one that is repeated takes the place of the last one.
        runs = [file.parent for file in (folder / "runs").glob(f"{cell.folder}*/fit/test_metrics.json")]
        if runs:
            columns = [polars.lit(value).alias(name) for name, value in identity.items()]
            parts.append(classes_of(runs[0]).select(*columns, polars.all()))
        elif len(known):
            parts.append(known.filter(**identity))
    return polars.concat(parts, how="vertical_relaxed") if parts else known


def table(classes: polars.DataFrame) -> str:
    """The correlations of each data set, as a Markdown table.

    Args:
        classes: The frame that `all_classes` returns.
    """
    lines = [f"| data | runs | classes | {' | '.join(MEASURES.values())} |", f"| --- | ---: | ---: |{' --- |' * 4}"]
    for (data,), rows in classes.group_by("data", maintain_order=True):
        # Sorted, since the bootstrap draws by position.
        means = rows.group_by("class").agg(polars.col("recall", *MEASURES).mean()).sort("class")
        texts = []
        for measure in MEASURES:
            kept = means.drop_nulls(measure).filter(polars.col(measure).is_finite())
            rho, low, high = spearman(kept["recall"].to_numpy(), kept[measure].to_numpy())
            texts.append(f"{rho:+.2f} [{low:+.2f}, {high:+.2f}]" if rho == rho else "-")
        runs = rows.n_unique(["encoder", "method", "split_seed", "seed"])
        lines.append(f"| {escaped(data)} | {runs} | {len(means)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table and write it to `central_claim.md` in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the file of the benchmark")
    parser.add_argument("--folder", type=Path, help="default: results/<name of the file>")
    arguments = parser.parse_args()
    plan = read_plan(find_config(arguments.config), settings_files)
    folder = arguments.folder or Path("results") / plan.name
    classes = all_classes(plan, folder)
    if classes.is_empty():
        sys.exit(
            f"folder: expected runs or classes.csv, got none in {folder}; run lightning benchmark --config "
            f"{arguments.config} first."
        )
    write_csv(classes, folder / "classes.csv")
    text = table(classes)
    print(text, end="")
    write_file(folder / "central_claim.md", lambda path: path.write_text(text))


if __name__ == "__main__":
    main()
