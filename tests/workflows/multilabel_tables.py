"""Tables of several labels, runs on them, and their metrics by scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import polars
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from tests.lightning_app.command import TINY

NAMES = ["amine", "ether", "ring"]
SHORT = [*TINY, "--tracking.wandb=disabled", "--config=encoder/fingerprint.yaml", "--data.labels=multi"]
SHORT += ["--data.batch_size=16", "--trainer.max_epochs=2", "--model.optimizer.init_args.lr=0.01"]
COLUMNS = f"--data.label_column=[{', '.join(NAMES)}]"

EVIDENCE = [
    *(f"nearest_{place}{kind}" for place in (1, 2, 3) for kind in ("", "_labels", "_tanimoto", "_cosine")),
    *("applicability", "applicability_level"),
]


def molecules() -> polars.DataFrame:
    """Molecules of all combinations of the labels, of which every sixth entry is wrong."""
    rows = [
        {"smiles": f"{ring}{'C' * size}{ether}{amine}", "amine": amine, "ether": ether, "ring": ring}
        for size in range(2, 14)
        for amine in ("", "N")
        for ether in ("", "OCC")
        for ring in ("", "C1CC1")
    ]
    wrong = numpy.random.default_rng(0).random((len(rows), len(NAMES))) < 1 / 6
    return polars.DataFrame(rows).with_columns(
        (polars.col(name) != "").xor(polars.Series(wrong[:, place])).cast(polars.Int8).alias(name)
        for place, name in enumerate(NAMES)
    )


def with_columns(folder: Path) -> Path:
    """A table with a column for each label, and empty cells for what is not known."""
    row = polars.int_range(polars.len())
    unknown = {"amine": row % 7 == 3, "ether": row % 9 == 4, "ring": row % 5 == 1}
    frame = molecules().with_columns(polars.when(~cells).then(polars.col(name)) for name, cells in unknown.items())
    frame.write_csv(folder / "drugs.csv")
    return folder / "drugs.csv"


def with_lists(folder: Path) -> Path:
    """A table with a column that lists the labels of each molecule that has one."""
    texts = [";".join(name for name in NAMES if row[name]) for row in molecules().iter_rows(named=True)]
    frame = molecules().select("smiles", polars.Series("groups", texts)).filter(polars.col("groups") != "")
    frame.write_csv(folder / "drugs.csv")
    return folder / "drugs.csv"


def options(folder: Path, *more: str) -> list[str]:
    return [*SHORT, "--data.source", str(folder / "drugs.csv"), f"--run.root={folder / 'runs'}", *more]


def source(run: Path) -> Path:
    return run.parents[2] / "drugs.csv"


def checkpoint(run: Path, name: str = "best") -> Path:
    return run / "checkpoints" / f"{name}.ckpt"


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "test_metrics.json").read_text())
    return {name.removeprefix("test/"): value for name, value in found.items()}


def entries(texts: polars.Series) -> NDArray[numpy.int64]:
    """(rows, L) whether a text names a label."""
    given = [set() if text is None else set(text.split("; ")) for text in texts]
    return numpy.array([[int(name in own) for name in NAMES] for own in given])


def shares_of(written: polars.DataFrame) -> NDArray[numpy.float64]:
    """Share of the predicted labels of each row that are right, NaN where nothing of them is known."""
    labels, predicted = entries(written["true_labels"]), entries(written["predicted_labels"])
    unknown, shares = entries(written["unknown_labels"]) == 1, []
    for truth, stated, hidden in zip(labels, predicted, unknown, strict=True):
        known = stated[~hidden].astype(bool)
        if stated.any():
            shares.append(truth[~hidden][known].mean() if known.any() else numpy.nan)
        else:
            shares.append(float(not truth.any()))
    return numpy.array(shares)


def recomputed(written: polars.DataFrame, scores: NDArray[numpy.float32] | None = None) -> dict[str, float]:
    """The metrics of a file of predictions by scikit-learn; samples are ranked by scores, or else by probabilities."""
    labels, predicted = entries(written["true_labels"]), entries(written["predicted_labels"])
    unknown = entries(written["unknown_labels"]) == 1
    assert not (labels[unknown] == 1).any()
    shares = written.select(f"p/{name}" for name in NAMES).to_numpy()
    ranked = shares if scores is None else scores
    found: dict[str, float] = {}
    for place, name in enumerate(NAMES):
        known = ~unknown[:, place]
        truth, chosen, score = labels[known, place], predicted[known, place], ranked[known, place]
        found[f"average_precision/{name}"] = average_precision_score(truth, score)
        found[f"auroc/{name}"] = roc_auc_score(truth, score)
        found[f"recall/{name}"] = recall_score(truth, chosen)
        found[f"specificity/{name}"] = recall_score(truth, chosen, pos_label=0)
        found[f"precision/{name}"] = precision_score(truth, chosen, zero_division=0)
        found[f"f1/{name}"] = f1_score(truth, chosen)

    def mean(score: str) -> float:
        return float(numpy.mean([found[f"{score}/{name}"] for name in NAMES]))

    means = {"average_precision": mean("average_precision"), "auroc": mean("auroc"), "macro_f1": mean("f1")}
    means["balanced_accuracy"] = (mean("recall") + mean("specificity")) / 2
    means["micro_f1"] = f1_score(labels[~unknown], predicted[~unknown])
    means["calibrated_nll"] = log_loss(labels[~unknown], shares[~unknown].astype(float))
    return {**found, **means}
