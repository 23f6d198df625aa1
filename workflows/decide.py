"""Choosing the decision of a trained model anew, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from modules.decisions.settings import DecisionSettings


@dataclass(frozen=True)
class Decided:
    """Metrics of a decision before and after it was chosen anew, on the scores that it was chosen on.

    Attributes:
        checkpoints: The checkpoint, and that of the refit of its run if there is one.
        samples: Number of samples with scores.
        before: Metrics by name, of the decision that the checkpoint had.
        after: Metrics by name, of the decision that it has now.
        crossed: As `after`, of decisions that were chosen without the samples that they are tested on.
    """

    checkpoints: tuple[Path, ...]
    samples: int
    before: dict[str, float]
    after: dict[str, float]
    crossed: dict[str, float]


def decide(run: Path, settings: DecisionSettings, trust: Sequence[str] = ()) -> Decided:
    """Choose the decision of a checkpoint anew and write it into the checkpoint; nothing else in it changes.

    How often labels are right is estimated anew in the evidence beside it. The metrics and predictions of the test stay
    those of the decision that was tested, which the model card of the run says.

    A refit of the run, which has no scores of its own, gets the same decision.

    Args:
        run: Folder of a run, whose best checkpoint is taken, or a checkpoint; that of a refit stands for the best one.
        settings: The objective.
        trust: Modules with classes of the user that the checkpoint may name.

    Raises:
        DiskFullError: If no space is left; the checkpoint is unchanged.
        InputError: If the checkpoint or its scores cannot be read, or the settings do not fit the classes.
    """
    from modules.checkpoint_file import read_checkpoint, write_decision
    from modules.decision_choice import (
        choose_decision,
        crossed_metrics,
        decision_metrics,
        read_scores,
        without_opinions,
    )
    from modules.drug_classifier import DrugClassifier
    from modules.evaluation.prediction_evidence import evidence_path, load_evidence
    from modules.make_evidence import decided_evidence
    from modules.run_layout import CARD, best_checkpoint, final_checkpoint, folder_of, is_best
    from reports.card_file import write_model_card

    saved = read_checkpoint(best_checkpoint(run) if run.is_dir() else run, "RUN")
    checkpoint = saved.measured
    model = DrugClassifier.load_from_checkpoint(checkpoint, setting="RUN", trust=trust)
    scores = read_scores(model, checkpoint)
    before = decision_metrics(model, scores)
    choose_decision(model, scores, settings)
    after, crossed = decision_metrics(model, scores), crossed_metrics(model, scores, settings)
    final = final_checkpoint(checkpoint)
    checkpoints = (checkpoint,) if final is None else (checkpoint, final)
    for path in checkpoints:
        write_decision(path, without_opinions(model.decision.state_dict()), asdict(settings))
        evidence = load_evidence(path)
        if evidence is not None:
            # Which labels are right depends on the decision.
            decided_evidence(model.decision, scores, evidence).save(evidence_path(path))
    folder = run if run.is_dir() else folder_of(checkpoint)
    if folder is not None and is_best(checkpoint, folder) and (folder / CARD).is_file():
        write_model_card(folder)
    return Decided(checkpoints, len(scores.labels), before, after, crossed)
