"""The checkpoint and the out-of-fold metrics of an ensemble."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml

from base.atomic_file import write_binary, write_csv, write_file, write_json
from base.errors import InputError
from datamodules.drug_datamodule import DrugDataModule
from datamodules.splits.divide import split_listing
from modules.checkpoint_file import OF_LIGHTNING, Checkpoint, read_checkpoint, weights_digest
from modules.decision import Decision
from modules.decision_choice import choose_decision, without_opinions
from modules.decisions.settings import DecisionSettings
from modules.drug_classifier import DrugClassifier
from modules.embedding_pass import score_and_embed
from modules.ensemble import Ensemble
from modules.evaluation.prediction_evidence import PredictionEvidence, encoder_digest, evidence_path, load_evidence
from modules.evaluation.split_metrics import named_by_class
from modules.evaluation.split_scores import SplitScores, joined, scores_path
from modules.forest.settings import ForestSettings
from modules.level_accuracy import LEVELS_FILE, crossed_levels, tested_levels
from modules.make_evidence import estimate_of, joined_unseen, training_samples
from modules.neighbors.settings import NeighborSettings
from modules.opinion_choice import OpinionSettings, choose_opinions
from modules.out_of_fold import cross_fitted, out_of_fold_metrics
from modules.run_layout import OUT_OF_FOLD_PREDICTIONS, TEST_PREDICTIONS, best_checkpoint
from modules.saved_settings.checkpoint_check import CheckpointCheck
from modules.tested_predictions import joined_samples, tested_samples
from workflows.run_summary import finite


@dataclass(frozen=True)
class Assembled:
    """An ensemble.

    Attributes:
        checkpoint: Its checkpoint.
        metrics: Its test metrics by name; None where a metric is undefined.
        settings: Its settings, as plain types.
        out_of_fold: Whether the metrics are of out-of-fold predictions, since there are no other test rows.
    """

    checkpoint: Path
    metrics: dict[str, float | None]
    settings: dict[str, Any]
    out_of_fold: bool


def assemble(
    members: Sequence[Path],
    folder: Path,
    data: DrugDataModule | None,
    given: Mapping[str, Mapping[str, Any]],
    trust: tuple[str, ...] = (),
) -> Assembled:
    """Join the members of an ensemble, choose its decision on out-of-fold scores and compute its metrics.

    Args:
        members: Folders of the finished runs, each without the fold of its place.
        folder: Folder of the run.
        data: The data module of a member, whose table is used; None reads the table again.
        given: Settings of the ensemble that need not be those of its members, by section and name.
        trust: Modules with classes of the user.

    Raises:
        InputError: If the members are not those of one run on one table.
    """
    saved = [read_checkpoint(best_checkpoint(member)) for member in members]
    settings = _settings(saved[0], len(members), given)
    check = CheckpointCheck(saved[0].path, trust=trust)
    whole = check.make(settings, "data", DrugDataModule, ("sampling",))
    if data is not None:
        whole.share_table(data)
    whole.setup("test")
    scores = [SplitScores.load(scores_path(member.path), member.task.num_classes) for member in saved]
    for fold, (member, own) in enumerate(zip(saved, scores, strict=True)):
        _check_table(member, own, fold, whole)
    write_csv(split_listing(whole.table.table, whole.records), folder / "splits.csv")
    model = check.make(settings, "model", DrugClassifier, ("optimizer", "lr_scheduler"))
    model.run_config = settings
    model.build(whole.task)
    network = model.network
    assert isinstance(network, Ensemble)
    for number, member in enumerate(saved):
        network.load_member(number, member.state_dict(), torch.tensor(member.task.class_counts))
    if not whole.task.is_multilabel:
        strengths = [_prior_strength(member, model) for member in saved]
        # The logits of an ensemble are those that the decisions of its members have corrected.
        model.decision.removed_prior.fill_(1 - sum(strengths) / len(strengths))
    tested_rows = joined(scores).rows
    scores = [network.tested_by(number, own) for number, own in enumerate(scores)]
    asked = OpinionSettings(
        check.make(settings, "neighbors", NeighborSettings), check.make(settings, "forest", ForestSettings)
    )
    scores = choose_opinions(model, whole, scores, asked)
    everywhere = joined(scores)
    deciding = check.make(settings, "decision", DecisionSettings)
    choose_decision(model, everywhere, deciding)
    path = best_checkpoint(folder)
    _write(path, model, saved[0].path, deciding)
    everywhere.in_order().save(scores_path(path), weights_digest(path))
    evidence = _write_evidence(path, model, whole, saved, everywhere, trust)
    write_file(
        folder / "config.yaml", lambda temporary: temporary.write_text(yaml.safe_dump(settings, sort_keys=False))
    )
    decisions = cross_fitted(model, scores, deciding.make(whole.task))
    listed = joined_samples(decisions, scores).frame(whole, "out-of-fold")
    out_of_fold = not whole.split.has_test_rows
    if out_of_fold:
        found = out_of_fold_metrics(model, scores, decisions)
        samples = whole.records.samples
        levels = [] if evidence is None else crossed_levels(decisions, scores, evidence, samples)
        rows = tested_rows
        write_csv(listed, folder / TEST_PREDICTIONS)
    else:
        tested, embeddings = score_and_embed(model, whole.test_dataloader())
        found = model.decision.evaluate(tested, model.metrics)
        levels = [] if evidence is None else tested_levels(model, whole, tested, embeddings, evidence)
        rows = tested.rows
        write_csv(tested_samples(model.decision, tested).frame(whole, "test"), folder / TEST_PREDICTIONS)
        write_csv(listed, folder / OUT_OF_FOLD_PREDICTIONS)
    if levels:
        write_json({"levels": levels}, folder / LEVELS_FILE)
    sizes = whole.records.sizes(rows.cpu().numpy(), whole.task.class_counts)
    if out_of_fold and not whole.task.is_multilabel:
        untested = tested_rows[~torch.isin(tested_rows, everywhere.rows)].numpy()
        unseen = len(numpy.unique(whole.records.codes[untested]))
        sizes |= {"unseen_rows": len(untested), "unseen_classes": unseen}
    values, of_class = found
    named = {**sizes, **finite({**values, **named_by_class(of_class, whole.task.classes)})}
    return Assembled(path, {f"test/{name}": value for name, value in named.items()}, settings, out_of_fold)


def _check_table(member: Checkpoint, scores: SplitScores, fold: int, data: DrugDataModule) -> None:
    """Check that a member was trained and tested on the rows of a table that its fold leaves.

    Args:
        member: Its checkpoint.
        scores: Scores of the rows that it was tested on, all of its fold unless `trainer.limit_test_batches` is given.
        fold: Its fold.
        data: The data module of the table, which leaves no fold out.

    Raises:
        InputError: If it was not.
    """
    records, rows = data.records, scores.rows.numpy()
    assert records.folds is not None
    # The rows tell a table whose rows stand in other places, and the training samples one with other molecules.
    if (
        member.task.classes != records.classes
        or not numpy.isin(rows, numpy.flatnonzero(records.folds == fold)).all()
        or not numpy.array_equal(records.codes[rows], scores.labels.numpy())
        or member.task.training_digest != data.digest_without_fold(fold)
    ):
        raise InputError(
            f"data.source: expected the table that {member.path} was trained on, got another one in {data.source}."
        )


def _prior_strength(member: Checkpoint, model: DrugClassifier) -> float:
    """Strength of the prior that the corrected scores of a member contain."""
    decision = Decision(torch.tensor(member.task.class_counts), model.decision.loss)
    decision.load_state_dict(without_opinions(member.decision_state()), strict=False)
    return decision.prior_strength()


def _write_evidence(
    path: Path,
    model: DrugClassifier,
    data: DrugDataModule,
    members: Sequence[Checkpoint],
    scores: SplitScores,
    trust: tuple[str, ...],
) -> PredictionEvidence | None:
    """Write the evidence of an ensemble, whose embeddings are those of the first member; None if a member has none.

    How often labels are right is estimated on out-of-fold scores, and on the training samples of the member that gave
    them.
    """
    parts = [load_evidence(member.path) for member in members]
    unseen = [part.unseen for part in parts if part is not None]
    if len(unseen) < len(parts):
        return None
    first = DrugClassifier.load_from_checkpoint(members[0].path, trust=trust)
    samples, joint = training_samples(first, data), joined_unseen(unseen).of_rows(scores.rows.numpy())
    estimate = estimate_of(model.decision, scores, joint, samples.by_tanimoto)
    evidence = PredictionEvidence(encoder_digest(path), samples, joint, estimate)
    evidence.save(evidence_path(path))
    return evidence


def _settings(member: Checkpoint, members: int, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    settings = copy.deepcopy(member.settings)
    for section, values in given.items():
        settings[section] |= values
    settings["model"]["members"] = members
    settings["data"]["fold"] = None
    return settings


def _write(path: Path, model: DrugClassifier, member: Path, deciding: DecisionSettings) -> None:
    """Write the checkpoint, with what Lightning needs of that of a member."""
    content = torch.load(member, map_location="cpu", weights_only=True)
    checkpoint: dict[str, Any] = {name: content[name] for name in OF_LIGHTNING}
    checkpoint["state_dict"] = model.state_dict()
    model.on_save_checkpoint(checkpoint)
    checkpoint["decision"] = asdict(deciding)
    write_binary(path, lambda file: torch.save(checkpoint, file))
