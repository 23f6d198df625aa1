"""The texts of a report: summary tiles, facts about the run, warnings, and a lead for each section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.evaluation.group_names import GROUPS
from reports.analysis.class_scores import ClassScores, easy_tail_classes, hard_head_classes, imbalance_ratio
from reports.decided_texts import report_warnings
from reports.figures.confusion_figure import CLASSES_SHOWN
from reports.metric_titles import ACCURACIES
from reports.number_texts import interval, number, sample_count, seconds
from reports.report_data import ReportData
from reports.run_answer import baseline_text
from reports.run_data import sizes_text
from reports.run_files import RunFiles, Times

_NAMES_LISTED = 12

CHANGED = (
    "The table or its split has changed since the model was trained. Test samples may have been used for training, in "
    "which case the test results are too optimistic."
)


def tiles(data: ReportData) -> list[dict[str, str]]:
    """Titles and values of the summary tiles."""
    found = []
    for name, title in ACCURACIES.items():
        one = data.accuracies[name]
        found.append(
            {"title": title, "value": number(one.value), "interval": interval(one), "note": sample_count(one.samples)}
        )
    values = {}
    values["Classes"] = f"{len(data.scores.names):,}"
    rows, samples = data.table_size
    if rows > samples:
        values["Rows"] = f"{rows:,}"
    values["Samples"] = f"{samples:,}"
    values["Imbalance ratio"] = f"{imbalance_ratio(data.scores.training):,.0f}"
    return found + [{"title": title, "value": value, "interval": "", "note": ""} for title, value in values.items()]


def facts(run: RunFiles, split_sizes: Mapping[str, tuple[int, int]]) -> list[tuple[str, str]]:
    """Terms and descriptions of the run: its data, method, seeds, duration and checkpoint.

    Args:
        run: The files of the run.
        split_sizes: Numbers of rows and of different samples in each part of the table, see `part_sizes`.
    """
    settings, own = run.settings, run.settings["data"]
    sizes = sizes_text(split_sizes, own.get("folds") is not None and own.get("fold") is None)
    seeds = {"initialization": settings.get("seed_everything"), "split": own.get("split_seed")}
    times = time_texts(run.times)
    return [
        ("Data", f"{own['source']} (input: {run.task.input}), {own.get('split', 'random')} split: {sizes}"),
        *method_facts(settings),
        ("Seeds", ", ".join(f"{name} {seed}" for name, seed in seeds.items())),
        *([("Time", "; ".join(times))] if times else []),
        *checkpoint_facts(run),
    ]


def checkpoint_facts(run: RunFiles) -> list[tuple[str, str]]:
    """The checkpoint that the report is on, and that of the refit, if there is one.

    Args:
        run: The files of the run.
    """
    if run.final is None:
        return [("Checkpoint", str(run.checkpoint))]
    return [
        ("Checkpoint", f"{run.checkpoint}, which all numbers and figures of this report are of"),
        (
            "To predict",
            f"{run.final}, which was trained on all rows with the same settings, so that none tests it",
        ),
    ]


def method_facts(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Encoder, losses, stages and reclusters, from the settings of a run."""
    model, recluster = settings["model"], settings.get("recluster") or {}
    contrast, contrast_text = model.get("contrast") or {}, "none"
    if contrast.get("weight"):
        contrast_text = f"{describe_class(contrast['loss'])}, weight {contrast['weight']}"
    start, recluster_text = recluster.get("start_epoch"), "none"
    if start is not None:
        recluster_text = (
            f"from epoch {start}, every {recluster['every_n_epochs']} epochs; sub-clusters: {recluster['method']}; "
            f"difficulty: {recluster['difficulty']}"
        )
    return [
        ("Encoder", describe_class(model["encoder"])),
        ("Classification loss", describe_class(model["classification_loss"])),
        ("Contrastive loss", contrast_text),
        ("Stages", "; ".join(map(_describe_stage, settings.get("stages") or [])) or "none"),
        ("Reclusters", recluster_text),
    ]


def _describe_stage(stage: Mapping[str, Any]) -> str:
    changes = {name: value for name, value in stage.items() if value and name != "start_epoch"}
    parts = [
        f"{name} {', '.join(value) if isinstance(value, list) else describe_class(value)}"
        for name, value in changes.items()
    ]
    return f"from epoch {stage['start_epoch']}: {', '.join(parts) or 'no change'}"


def describe_class(given: Any) -> str:
    """The name of a class in the settings, with its arguments in parentheses.

    Args:
        given: A class path, or a mapping with `class_path` and `init_args`; None is "none".
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
    """The known durations of the phases of a run, as text."""
    texts = []
    if times.total is not None:
        texts.append(f"training and testing {seconds(times.total)} (from the dates of the run's files)")
    if times.epochs:
        each = f" of {seconds((times.total - (times.recluster or 0)) / times.epochs)}" if times.total else ""
        texts.append(f"{times.epochs} epochs{each}")
    if times.recluster is not None:
        share = f" ({times.recluster / times.total:.0%} of the run)" if times.total else ""
        embedding = f", including {seconds(times.embedding)} for embedding" if times.embedding is not None else ""
        texts.append(f"{times.reclusters} reclusters {seconds(times.recluster)}{share}{embedding}")
    return texts


def warnings(data: ReportData) -> list[str]:
    """Warnings to read before the figures."""
    found = report_warnings(data.run)
    if data.changed_data:
        found.append(CHANGED)
    if data.test.sampled:
        found.append(
            f"The test results are based on {len(data.test):,} of {int(data.test.total.sum()):,} test samples, drawn "
            "at random in numbers as equal as the sizes of the classes allow."
        )
    return found


def texts(data: ReportData, command: str = "lightning") -> dict[str, str]:
    """The leads of the sections, by name, with the name of the command in their advice."""
    scores = data.scores
    easy, hard = easy_tail_classes(scores), hard_head_classes(scores)
    head, tail = number(scores.group_recall("head")), number(scores.group_recall("tail"))
    sizes = ", ".join(f"{len(scores.members(group))} {group}" for group in GROUPS)
    return {
        "counts": f"Each bar is a class ({sizes}), from the largest to the smallest. The vertical scale is "
        "logarithmic, so that small classes can be seen beside large ones.",
        "recall": "Recall is the fraction of a class's test samples that the model predicts correctly. Rare classes "
        "are on the left, common ones on the right. With few test samples recall is a rough estimate: hover over a "
        "point or tap it for its interval.",
        "learning": learning_text(data),
        "table": "Recall is the share of a class's test samples that are found, precision the share of the "
        "predictions of a class that are right, F1 their harmonic mean. Brackets are 95% intervals (Wilson) of the "
        "recall: with three test samples, all of which are found, it may still be as low as 0.44.",
        "matrix": matrix_text(data),
        "easy": f"Easy tail classes (recall at least {head}, the mean of the head): {_listed(scores, easy)}.",
        "hard": f"Hard head classes (recall at most {tail}, the mean of the tail): {_listed(scores, hard)}.",
        "distances": distance_text(data),
        "weights": "In training, an error in a class of weight 2 counts twice as much as in an average class. The "
        "lines are the heaviest and the lightest classes of the last recluster.",
        "map": map_text(data),
        "confusions": confusion_text(data),
        "reliability": "On the dashed line, 80 of 100 predictions with a probability of 80% are correct; below it, "
        "the model is overconfident. Head, middle and tail are groups of the predicted class.",
        "decisions": decision_text(data, command),
        "baseline": baseline_text(data),
        "rejected": rejected_text(data.run),
    }


def _listed(scores: ClassScores, codes: Sequence[int]) -> str:
    names = [f"{scores.names[code]} ({scores.recall[code]:.2f}, {scores.training[code]:,})" for code in codes]
    if len(names) > _NAMES_LISTED:
        names = [*names[:_NAMES_LISTED], f"and {len(names) - _NAMES_LISTED} more"]
    return ", ".join(names) + "; recall and training samples in parentheses" if names else "none"


def learning_text(data: ReportData) -> str:
    """What the learning curves show."""
    if len(data.run.curves) > 1:
        return (
            f"Each line is one of the {len(data.run.curves)} members of the ensemble, measured on its own validation "
            "samples. A star marks the epoch whose checkpoint was kept."
        )
    kept = data.run.curves[0].kept if data.run.curves else None
    which = "A star marks the epoch" if kept is None else f"The star marks epoch {kept},"
    return (
        "Accuracies are those of validation samples, with the mean recall of head, middle and tail classes. "
        f"{which} whose checkpoint was kept and tested."
    )


def matrix_text(data: ReportData) -> str:
    """What the matrix of confusions shows, and of which classes."""
    classes = len(data.scores.names)
    text = (
        "Rows are true classes, columns what the model predicts; a perfect model has dark cells on the diagonal alone. "
        "Hover over a cell or tap it for its numbers. Class names appear as far as there is room: choose a class or "
        "zoom in to see more."
    )
    if classes > CLASSES_SHOWN:
        text += f" The matrix is limited to the {CLASSES_SHOWN:,} of {classes:,} classes with the most errors."
    if data.test.sampled:
        text += f" It counts {len(data.test):,} of {int(data.test.total.sum()):,} test samples."
    return text


def distance_text(data: ReportData) -> str:
    """What the distance matrix shows, and of which classes and reclusters."""
    distances = data.distances
    shown, present = len(distances.shown), int((data.scores.training > 0).sum())
    text = "Dark cells are pairs of classes with similar mean embeddings, which the model can hardly tell apart."
    if shown < present:
        text += f" The matrix shows the {shown} of {present:,} classes nearest to another one; the table lists all."
    if distances.epochs[-1] is None:
        part = "a sample of the" if data.training.sampled else "the"
        text += f" The run has no reclusters; the means are those of {part} training samples in the checkpoint."
    elif len(distances.epochs) < distances.reclusters:
        text += f" {len(distances.epochs)} of {distances.reclusters} reclusters are shown, evenly spaced over the run."
    return text


def map_text(data: ReportData) -> str:
    """What the embedding map shows, and of which samples."""
    points = data.points
    text = "Samples that look similar to the model are close together. Hover over a point or tap it to see the sample."
    training, test = int(data.training.total.sum()), int(data.test.total.sum())
    if len(points.training) < training or len(points.test) < test:
        text += (
            f" The map shows {len(points.training):,} of {training:,} training samples and {len(points.test):,} of "
            f"{test:,} test samples, drawn at random in numbers as equal as the sizes of the classes allow."
        )
    if (data.training.subclusters >= 0).any():
        text += " Shades of a class's color are sub-clusters of its training samples."
    if len(data.scores.names) > 8:
        text += " Colors repeat, but classes next to each other have different colors where possible."
    return text


def decision_text(data: ReportData, command: str) -> str:
    """What the curve of decisions shows, and how to move on it."""
    text = (
        "The same scores can be turned into labels in many ways. Along the lines, the more the sizes of the classes "
        "count, the more head classes are predicted. The points show where this model stands, where plain "
        "cross-entropy stands, and what other objectives give. "
    )
    if data.curve is not None and len(data.curve.points) > 2:
        text += "Objectives were chosen without the samples that they are tested on. "
        return f"{text}To change the objective without training: {command} decide {data.run.quoted} --objective NAME"
    return f"{text}There are no scores of this checkpoint to choose objectives on, so none are shown."


def confusion_text(data: ReportData) -> str:
    """What the confusions show, and how many of them there are."""
    if not data.confusions:
        return "No evaluated test sample is misclassified."
    part = "a sample of the" if data.training.sampled else "the"
    text = "Each pair shows a misclassified test sample and the sample that looks most similar to the model, among "
    text += f"{part} training samples of the predicted class."
    if len(data.confusions) < data.num_confusions:
        text += f" The largest {len(data.confusions)} of {data.num_confusions:,} confusions are shown."
    return text


def rejected_text(run: RunFiles) -> str:
    """How many rows were rejected, and how many of them are shown."""
    rejected = run.rejected
    if not rejected.total:
        return "No row was rejected"
    shown = f" (the first {len(rejected.rows)} are shown)" if len(rejected.rows) < rejected.total else ""
    return f"{rejected.total:,} rejected {'row' if rejected.total == 1 else 'rows'}{shown}"
