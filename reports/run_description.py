"""What a run was, in words: tiles, facts and the sentences under each figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.class_scores import (
    GROUPS,
    ClassScores,
    easy_tail_classes,
    hard_head_classes,
    imbalance_ratio,
    summary_metrics,
)
from reports.report_data import ReportData
from reports.run_files import RunFiles, Times

TILES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "head_accuracy": "Head accuracy",
    "middle_accuracy": "Middle accuracy",
    "tail_accuracy": "Tail accuracy",
}
_NAMES_LISTED = 12


def number(value: float | None) -> str:
    """Three digits after the point, or a dash where there is no value."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def tiles(data: ReportData) -> list[dict[str, str]]:
    """Title and value of each summary tile."""
    metrics = summary_metrics(data.scores)
    values = {title: number(metrics[name]) for name, title in TILES.items()}
    values["Classes"] = f"{len(data.scores.names):,}"
    values["Samples"] = f"{sum(data.split_sizes.values()):,}"
    values["Imbalance ratio"] = f"{imbalance_ratio(data.scores.training):,.0f}"
    return [{"title": title, "value": value} for title, value in values.items()]


def facts(data: ReportData) -> list[tuple[str, str]]:
    """What the run was, what it was trained with, and how long it took."""
    settings, own = data.run.settings, data.run.settings["data"]
    sizes = ", ".join(f"{size:,} {name}" for name, size in data.split_sizes.items())
    seeds = {"initialisation": settings.get("seed_everything"), "split": own.get("split_seed")}
    return [
        ("Data", f"{own['source']}, input {data.run.task.input}; split {own.get('split', 'random')}: {sizes}"),
        *method_facts(settings),
        ("Seeds", ", ".join(f"{name} {seed}" for name, seed in seeds.items())),
        ("Time", "; ".join(time_texts(data.run.times)) or "not known"),
        ("Checkpoint", str(data.run.checkpoint)),
    ]


def method_facts(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Encoder, losses and reclusters of a run, from its settings."""
    model, recluster = settings["model"], settings.get("recluster") or {}
    given, contrast = model.get("contrast") or {}, "none"
    if given.get("weight"):
        contrast = f"{describe_class(given['loss'])}, weight {given['weight']}"
    start = recluster.get("start_epoch")
    found = "never"
    if start is not None:
        found = (
            f"from epoch {start}, every {recluster['every_n_epochs']}; sub-clusters: {recluster['method']}, "
            f"difficulty: {recluster['difficulty']}"
        )
    return [
        ("Encoder", describe_class(model["encoder"])),
        ("Classification loss", describe_class(model["classification_loss"])),
        ("Contrastive loss", contrast),
        ("Reclusters", found),
    ]


def describe_class(given: Any) -> str:
    """A class of the settings with its plain arguments, and those of classes within it.

    Args:
        given: A mapping with `class_path` and `init_args`, or None.
    """
    if not given:
        return "none"
    if isinstance(given, str):
        return given.split(".")[-1]
    arguments = []
    for name, value in (given.get("init_args") or {}).items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            arguments.append(" + ".join(describe_class(one) for one in value))
        elif isinstance(value, Mapping) and "class_path" in value:
            arguments.append(f"{name} {describe_class(value)}")
        elif value is not None and value is not False and not isinstance(value, Mapping | list):
            arguments.append(f"{name} {value}")
    name = str(given["class_path"]).split(".")[-1]
    return f"{name} ({', '.join(arguments)})" if arguments else name


def time_texts(times: Times) -> list[str]:
    """Sentences about the phases whose time the run's folder tells."""
    texts = []
    if times.whole is not None:
        texts.append(f"training and test {seconds(times.whole)}, by the times of the run's files")
    if times.epochs:
        each = f" of {seconds((times.whole - (times.recluster or 0)) / times.epochs)}" if times.whole else ""
        texts.append(f"{times.epochs} epochs{each}")
    if times.recluster is not None:
        share = f" ({times.recluster / times.whole:.0%} of the run)" if times.whole else ""
        embedding = f", of which embedding {seconds(times.embedding)}" if times.embedding is not None else ""
        texts.append(f"{times.reclusters} reclusters {seconds(times.recluster)}{share}{embedding}")
    return texts


def seconds(value: float) -> str:
    """A duration in the unit that fits it."""
    if value < 120:
        return f"{value:.1f} s" if value < 20 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def warnings(data: ReportData) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    if data.changed_data:
        found.append(
            "The table, or its split, is not the one that the model was trained on; if they share samples, every "
            "figure of test samples is too good."
        )
    if data.test.sampled:
        found.append(
            f"Of {int(data.test.total.sum()):,} test samples, {len(data.test):,} were drawn, as equally from the "
            "classes as they allow, and predicted; every figure of test samples is of these."
        )
    return found


def texts(data: ReportData) -> dict[str, str]:
    """The sentences under the titles."""
    scores = data.scores
    easy, hard = easy_tail_classes(scores), hard_head_classes(scores)
    head, tail = number(scores.group_recall("head")), number(scores.group_recall("tail"))
    sizes = ", ".join(f"{len(scores.members(group))} {group}" for group in GROUPS)
    return {
        "counts": f"Each bar is a class, the largest first; each step up the scale is a multiple ({sizes} classes).",
        "recall": "A class's recall is the share of its test samples that the model names correctly; rare classes are "
        "left, and with few test samples recall is rough.",
        "easy": f"Easy tail classes (recall at least the head's mean, {head}): {_listed(scores, easy)}.",
        "hard": f"Hard head classes (recall at most the tail's mean, {tail}): {_listed(scores, hard)}.",
        "distances": distance_text(data),
        "weights": "A mistake in a class of weight 2 counted twice as much as in the mean class; drawn are the "
        "heaviest and the lightest classes at the last recluster.",
        "map": map_text(data),
        "confusions": confusion_text(data),
        "reliability": "On the dashed line, of 100 predictions that the model gives 80 % to, 80 are right; below it "
        "the model is too sure. Head, middle and tail are groups of the predicted class, which is what a user sees.",
        "rejected": rejected_text(data.run),
    }


def _listed(scores: ClassScores, codes: Sequence[int]) -> str:
    names = [f"{scores.names[code]} ({scores.recall[code]:.2f}, {scores.training[code]:,})" for code in codes]
    if len(names) > _NAMES_LISTED:
        names = [*names[:_NAMES_LISTED], f"and {len(names) - _NAMES_LISTED} more"]
    return ", ".join(names) + "; in brackets recall and training samples" if names else "none"


def distance_text(data: ReportData) -> str:
    """What the matrix shows, and which part of the classes and reclusters."""
    distances = data.distances
    shown, present = len(distances.shown), int((data.scores.training > 0).sum())
    text = "Dark cells are pairs of classes that the model hardly tells apart, measured between the mean embeddings."
    if shown < present:
        text += f" Of {present:,} classes the {shown} nearest to a rival are drawn; the table has all of them."
    if distances.epochs[-1] is None:
        drawn = " a sample of" if data.training.sampled else ""
        text += f" The run kept none of reclusters, so these are the checkpoint's, from{drawn} training samples."
    elif len(distances.epochs) < distances.reclusters:
        text += f" Of {distances.reclusters} reclusters, {len(distances.epochs)} are kept, evenly over the run."
    return text


def map_text(data: ReportData) -> str:
    """What the map shows, and which samples."""
    points = data.points
    text = "Samples that the model finds alike lie close together; hover over a point, or tap it, to see it."
    training, test = data.split_sizes["train"], data.split_sizes["test"]
    if len(points.training) < training or len(points.test) < test:
        text += (
            f" Drawn at random are {len(points.training):,} of {training:,} training and {len(points.test):,} of "
            f"{test:,} test samples, as equally from the classes as they allow."
        )
    if (data.training.subclusters >= 0).any():
        text += " Shades of a class's colour are its sub-clusters, of training samples."
    if len(data.scores.names) > 8:
        text += " Colours come again: classes near each other have different ones, as far as they go."
    return text


def confusion_text(data: ReportData) -> str:
    """How confusions are measured, and which are shown."""
    if not data.confusions:
        return "No evaluated test sample is predicted wrong."
    text = "Each pair shows a wrongly predicted test sample beside the training sample of the predicted class that the "
    text += "model finds most alike"
    text += ", among those that were embedded." if data.training.sampled else "."
    if len(data.confusions) < data.num_confusions:
        text += f" Of {data.num_confusions:,} kinds of confusion the {len(data.confusions)} largest are here."
    return text


def rejected_text(run: RunFiles) -> str:
    """How many rows were rejected, and how many of them are listed."""
    rejected = run.rejected
    if not rejected.total:
        return "No row was rejected"
    listed = f"the first {len(rejected.rows)} of them" if len(rejected.rows) < rejected.total else "all of them"
    return f"{rejected.total:,} rejected {'row' if rejected.total == 1 else 'rows'}, {listed}"
