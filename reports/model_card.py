"""The model card of a run: Markdown below metadata as model hubs read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from datamodules.datasets.dataset_catalog import CATALOG
from datamodules.splits.split_settings import SplitSettings
from modules.run_layout import BEST, FINAL
from reports.analysis.class_scores import class_groups
from reports.analysis.intervals import Estimate
from reports.decided_texts import decided_text
from reports.metric_titles import METRICS, MULTILABEL_METRICS
from reports.number_texts import number
from reports.paired_tests import pair_tests
from reports.run_description import method_facts
from reports.run_files import RunFiles
from reports.threshold_texts import threshold_text

_CLASSES_LISTED = 100
_CLASS_NOTE = "Accuracies of head, middle and tail are the mean recall of their classes."
_INTERVAL_NOTE = (
    "Intervals are from a bootstrap of the test samples within each class, in which rows with the same SMILES count as "
    "one sample; that of an accuracy of 0 or 1 is Wilson's."
)
_LABEL_NOTE = (
    "Macro is the mean over labels, each of which counts the same; micro counts all known values together. Average "
    "precision says how far the samples with a label are ranked before those without; guessing gives the share of "
    "samples with the label. Values that are not known are left out."
)


def model_card(run: RunFiles, comparison: str = "") -> str:
    """The model card of a run.

    Args:
        run: The files of the run.
        comparison: How the model compares with a baseline, in one sentence; empty if unknown.
    """
    metadata = yaml.safe_dump(card_metadata(run), sort_keys=False, allow_unicode=True, width=1_000)
    sections = {
        "Data": _data_text(run),
        "Model": "\n".join(f"- {title}: {text}" for title, text in method_facts(run.settings)),
        "Metrics": _metrics_text(run, comparison),
        **({"Labels": _labels_text(run)} if run.task.is_multilabel else {"Classes": _classes_text(run)}),
        "Intended use": _use_text(run),
        "Limits": _limits_text(run),
        "How to predict": _prediction_text(run),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    note = "# license: the license that you choose for the model, such as mit; mind that of the data\n"
    return f"---\n{metadata}{note}---\n\n# {run.name}\n\n{_summary(run)}\n\n{body}\n"


def card_metadata(run: RunFiles) -> dict[str, Any]:
    """The metadata of the card; metrics as `model-index` of the Hugging Face Hub has them.

    Args:
        run: The files of the run.
    """
    name = "Multi-label classification" if run.task.is_multilabel else "Classification"
    task = {"type": "tabular-classification" if run.task.input == "array" else "graph-ml", "name": name}
    metrics = [
        {"type": name, "name": title, "value": round(value, 6)}
        for name, title in _titles(run).items()
        if (value := run.metrics.get(f"test/{name}")) is not None
    ]
    dataset = {"type": _source(run), "name": _source(run), "split": "test"}
    result = {"task": task, "dataset": dataset, "metrics": metrics}
    metadata: dict[str, Any] = {
        "library_name": "tailmol",
        "pipeline_tag": task["type"],
        "tags": ["tailmol", "chemistry", _tag(run), f"input-{run.task.input}"],
    }
    # A result without metrics is not valid.
    return {**metadata, "model-index": [{"name": run.name, "results": [result]}]} if metrics else metadata


def _source(run: RunFiles) -> str:
    """The data set without its folders, which are nobody else's."""
    return Path(str(run.settings["data"]["source"])).name


def _titles(run: RunFiles) -> Mapping[str, str]:
    return MULTILABEL_METRICS if run.task.is_multilabel else METRICS


def _tag(run: RunFiles) -> str:
    return "multi-label-classification" if run.task.is_multilabel else "long-tailed-classification"


def _members(run: RunFiles) -> int:
    return int(run.settings["model"].get("members") or 1)


def _is_out_of_fold(run: RunFiles) -> bool:
    members, own = _members(run), run.settings["data"]
    if members < 2:
        return False
    split = SplitSettings(own.get("split") or "random", folds=members, keep_test=bool(own.get("keep_test")))
    return not split.has_test_rows


def _summary(run: RunFiles) -> str:
    kinds = {
        "molecule": "molecules, given as SMILES,",
        "reaction": "reactions, given as SMILES,",
        "pair": "pairs of drugs, given as SMILES,",
        "drug_protein": "drugs with a protein, given as SMILES and sequence,",
        "array": "arrays of numbers",
    }
    members = f" It is an ensemble of {_members(run)} members." if _members(run) > 1 else ""
    refit = " `final.ckpt` is the same model, trained once more on all rows." if run.final is not None else ""
    if run.task.is_multilabel:
        return (
            f"Says of {kinds[run.task.input]} which of {run.task.num_classes:,} labels they have, of which some are "
            "rare; a sample may have any number of them, and none. Trained with [tailmol](https://arxiv.org/abs/2504.04647)."
            f"{members}{refit}"
        )
    return (
        f"Classifies {kinds[run.task.input]} into {run.task.num_classes:,} classes, of which some are rare. Trained "
        f"with [tailmol](https://arxiv.org/abs/2504.04647).{members}{refit}"
    )


def _data_text(run: RunFiles) -> str:
    own, counts = run.settings["data"], [count for count in run.task.class_counts if count]
    lines = [
        f"- Data set: {_source(run)}",
        f"- Split: {own.get('split') or 'random'}, seed {own.get('split_seed')}",
    ]
    sizes = f"{max(counts, default=0):,} and {min(counts, default=0):,} training samples"
    if run.task.is_multilabel:
        values, entries = sum(run.task.known_counts), sum(counts)
        lines += [
            f"- Labels: {len(counts):,}; the most and the least frequent one have {sizes}",
            f"- Known values in training: {values:,}, of which {entries:,} say that a sample has the label",
        ]
    else:
        lines += [
            f"- Training samples: {sum(counts):,}, of {len(counts):,} classes",
            f"- Largest and smallest class: {sizes}",
        ]
    if run.metrics.get("test/rows"):
        lines.append(f"- Test rows: {_size(run, 'rows'):,}, of {_size(run, 'samples'):,} different samples")
    if run.rejected.total:
        lines.append(f"- Rows that could not be used: {run.rejected.total:,} (`rejected.csv`)")
    if own["source"] in CATALOG:
        known = CATALOG[own["source"]]
        lines += [f"- License of the data: {known.license}", f"- Source of the data: {known.citation}"]
    return "\n".join(lines)


def _size(run: RunFiles, name: str) -> int:
    return int(run.metrics.get(f"test/{name}") or 0)


def _metrics_text(run: RunFiles, comparison: str) -> str:
    estimates = _estimates(run)
    lines = ["| metric | test | 95% interval |", "| --- | ---: | ---: |"]
    for name, title in _titles(run).items():
        value, one = run.metrics.get(f"test/{name}"), estimates.get(name)
        bounds = "–" if value is None or one is None or not one.samples else f"{number(one.low)} to {number(one.high)}"
        lines.append(f"| {title} | {number(value)} | {bounds} |")
    notes = [_LABEL_NOTE if run.task.is_multilabel else _CLASS_NOTE]
    if estimates:
        notes.append(_INTERVAL_NOTE)
    if _is_out_of_fold(run):
        notes.append("Rows without a test split were tested by the member that was not trained on them (out of fold).")
    if run.final is not None:
        notes.append("The metrics are those of `best.ckpt`; no row is left to test `final.ckpt`.")
    if changed := decided_text(run):
        notes.append(f"{changed}; the metrics are those of the test.")
    if run.objective != "as_trained":
        notes.append(f"The decision is best at: {run.objective}.")
    return "\n".join([*lines, "", " ".join([*notes, comparison]).strip()])


def _estimates(run: RunFiles) -> Mapping[str, Estimate]:
    """Accuracies by name, with the intervals of the report; empty without predictions, and of several labels."""
    if run.task.is_multilabel:
        return {}
    groups = run.settings["model"]["groups"]
    tests = pair_tests([run], class_groups(run.task.class_counts, groups["head_fraction"], groups["tail_fraction"]))
    return {} if isinstance(tests, str) else tests.estimates[0]


def _classes_text(run: RunFiles) -> str:
    counts = run.task.class_counts
    order = sorted(range(len(counts)), key=lambda code: -counts[code])
    lines = ["| class | training samples | test recall |", "| --- | ---: | ---: |"]
    for code in order[:_CLASSES_LISTED]:
        name = run.task.classes[code]
        recall = number(run.metrics.get(f"test/recall/{name}"))
        lines.append(f"| {_cell(name)} | {counts[code]:,} | {recall} |")
    if len(order) > _CLASSES_LISTED:
        lines += ["", f"And {len(order) - _CLASSES_LISTED:,} classes with fewer training samples."]
    return "\n".join(lines)


def _labels_text(run: RunFiles) -> str:
    order = sorted(range(run.task.num_classes), key=lambda place: -run.task.class_counts[place])
    lines = [
        "| label | training samples with it | without it | average precision | AUROC | F1 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for place in order[:_CLASSES_LISTED]:
        name, has = run.task.classes[place], run.task.class_counts[place]
        scores = (number(run.metrics.get(f"test/{one}/{name}")) for one in ("average_precision", "auroc", "f1"))
        without = run.task.known_counts[place] - has
        lines.append(f"| {_cell(name)} | {has:,} | {without:,} | {' | '.join(scores)} |")
    if len(order) > _CLASSES_LISTED:
        lines += ["", f"And {len(order) - _CLASSES_LISTED:,} labels with fewer training samples."]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that cannot end a cell of a table or begin markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|*_`[]<>#" else letter for letter in flat)


def _use_text(run: RunFiles) -> str:
    if run.task.is_multilabel:
        return (
            "To rank samples like those of training by each label, where a chemist or an experiment has the last word. "
            f"{threshold_text(run.objective)} The calibrated probability is an estimate of how often samples like this "
            "one have the label."
        )
    return (
        "To rank and sort samples like those of training, where a chemist or an experiment has the last word. The "
        "probabilities before calibration treat rare and frequent classes as the decision asks; use the calibrated "
        "probability where it must mean a frequency."
    )


def _limits_text(run: RunFiles) -> str:
    counts = run.task.class_counts
    rare, kind = sum(0 < count < 10 for count in counts), "labels" if run.task.is_multilabel else "classes"
    several = run.task.is_multilabel
    lines = [
        "- It knows these labels only; that none is predicted does not say that a sample is inactive or safe."
        if several
        else "- It knows these classes only: a sample of another class gets one of them, often with a high "
        "probability.",
        "- Samples unlike those of training are predicted worse than the test says; mind `applicability` of a "
        "prediction.",
        "- Not for decisions on the treatment of patients.",
    ]
    if rare:
        have, their = ("has", "its") if rare == 1 else ("have", "their")
        few = f"{have} fewer than ten training samples; {their} recall is uncertain."
        lines.insert(1, f"- {rare:,} of {len(counts):,} {kind} {few}")
    if _unseen(run):
        lines.append(f"- {_unseen(run):,} {kind} have no training samples and are never predicted.")
    if (run.settings["data"].get("split") or "random") == "random":
        close = "the test has close relatives of training samples; new scaffolds are harder."
        lines.append(f"- The split is random, so {close}")
    return "\n".join(lines)


def _unseen(run: RunFiles) -> int:
    return sum(count == 0 for count in run.task.class_counts)


def _prediction_text(run: RunFiles) -> str:
    name = BEST if run.final is None else FINAL
    table = "new.npz" if run.task.input == "array" else "new.csv"
    return (
        f"```sh\ntailmol predict --ckpt_path checkpoints/{name} --data.source {table} --output predictions.csv\n"
        f"tailmol export . # a model without torch, in the folder export\n"
        f"python export/predict.py {table} predictions.csv\n```\n\n"
        f'```python\nimport tailmol\n\ntailmol.load("checkpoints/{name}").predict("{table}")\n```'
    )
