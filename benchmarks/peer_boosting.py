"""Gradient boosting of LightGBM on the samples in a folder; runs in the environment of the peers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
from scipy.sparse import load_npz

ROUNDS = 200
PATIENCE = 20
# The default of 20 cannot split off a class of five samples.
SMALLEST_LEAF = 5


def main() -> None:
    """Write the probabilities of the known classes; arguments: folder, class weight ("balanced" or "none"), seed."""
    from lightgbm import LGBMClassifier, early_stopping  # type: ignore[import-not-found]

    folder, weight, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    features = {split: load_npz(folder / f"{split}.npz") for split in ("train", "validation", "test")}
    codes = {split: numpy.load(folder / f"{split}_codes.npy", allow_pickle=False) for split in ("train", "validation")}
    class_weight = "balanced" if weight == "balanced" else None
    # No threads of its own, so that OMP_NUM_THREADS counts.
    model = LGBMClassifier(
        n_estimators=ROUNDS,
        min_child_samples=SMALLEST_LEAF,
        class_weight=class_weight,
        random_state=seed,
        n_jobs=0,
        verbose=-1,
    )
    known = numpy.isin(codes["validation"], codes["train"])
    model.fit(
        features["train"],
        codes["train"],
        eval_X=features["validation"][known],
        eval_y=codes["validation"][known],
        eval_class_weight=[class_weight],
        callbacks=[early_stopping(PATIENCE, verbose=False)],
    )
    for split in ("validation", "test"):
        numpy.save(folder / f"{split}_probabilities.npy", model.predict_proba(features[split]))


if __name__ == "__main__":
    main()
