"""Ensembles of networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from modules.decisions.objectives import AsTrained
from modules.drug_classifier import DrugClassifier
from modules.encoders import FingerprintMLP
from modules.ensemble import NEVER_SEEN, Ensemble
from modules.evaluation.split_scores import SplitScores
from modules.losses import CrossEntropyLoss
from modules.out_of_fold import cross_fitted, out_of_fold_metrics
from tests.modules.small_model import TASK, make_batch, make_model

COUNTS = [[20, 6, 0], [20, 0, 0], [20, 3, 0]]
"""Training samples of each class that each member has seen."""


def ensemble() -> tuple[DrugClassifier, list[DrugClassifier]]:
    """An ensemble and its three members, each with a correction of its own."""
    members = []
    for number in range(3):
        member = make_model()
        with torch.no_grad():
            for parameter in member.parameters():
                parameter.add_(0.1 * number)
        member.decision.logit_scale.fill_(1.0 + number)
        member.decision.logit_offset.copy_(torch.tensor([0.0, 0.5 * number, 0.0]))
        members.append(member.eval())
    model = DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss(), members=3)
    model.build(TASK)
    assert isinstance(model.network, Ensemble)
    for number, member in enumerate(members):
        model.network.load_member(number, member.state_dict(), torch.tensor(COUNTS[number]))
    return model.eval(), members


def test_logits_are_the_mean_of_the_members_that_know_the_class() -> None:
    model, members = ensemble()
    batch = make_batch()
    embeddings, logits = model.network(batch)
    own = []
    for number, member in enumerate(members):
        scaled = (1.0 + number) * member.network(batch)[1] + torch.tensor([0.0, 0.5 * number, 0.0])
        own.append(scaled)
    torch.testing.assert_close(embeddings, members[0].network(batch)[0])
    torch.testing.assert_close(logits[:, 0], (own[0] + own[1] + own[2])[:, 0] / 3)
    # Class 0 is the only one that all members know, so class 1 is compared with it.
    above = (own[0] + own[2])[:, 1] / 2 - (own[0] + own[2])[:, 0] / 2
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], above)
    assert logits[:, 2].tolist() == [NEVER_SEEN] * len(batch)


def test_a_member_is_not_tested_on_a_class_that_it_never_saw() -> None:
    model, _ = ensemble()
    assert isinstance(model.network, Ensemble)
    logits = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    scores = SplitScores(torch.tensor([7, 3, 5]), torch.tensor([0, 1, 0]), logits, torch.tensor([0, 0, 1]))
    found = model.network.tested_by(1, scores)
    assert found.rows.tolist() == [7, 5]
    assert found.labels.tolist() == [0, 0]
    assert found.at_prior.tolist() == [0, 1]
    # Member 1 doubles its logits, and knows class 0 only.
    assert found.logits.tolist() == [[2.0, NEVER_SEEN, NEVER_SEEN], [14.0, NEVER_SEEN, NEVER_SEEN]]
    known = model.network.tested_by(2, scores)
    assert known.rows.tolist() == [7, 3, 5]
    assert known.logits[:, 1].tolist() == [7.0, 16.0, 25.0]


def test_labels_that_a_member_never_saw_are_never_predicted_where_samples_have_several() -> None:
    model, _ = ensemble()
    assert isinstance(model.network, Ensemble)
    model.network.excludes = False
    labels = torch.tensor([[1, 1, 0], [0, 1, -1]])
    scores = SplitScores(torch.tensor([0, 1]), labels, torch.ones(2, 3), labels)
    found = model.network.tested_by(1, scores)
    assert torch.equal(found.labels, labels)
    assert found.logits.tolist() == [[2.0, NEVER_SEEN, NEVER_SEEN]] * 2


def test_a_constant_in_the_logits_of_a_member_changes_no_probability() -> None:
    model, _ = ensemble()
    network = model.network
    assert isinstance(network, Ensemble)
    before = network(make_batch())[1].softmax(dim=1)
    network.logit_offset[1] += 5.0
    torch.testing.assert_close(network(make_batch())[1].softmax(dim=1), before)


def test_the_mean_of_logits_is_the_geometric_mean_of_probabilities() -> None:
    model, members = ensemble()
    assert isinstance(model.network, Ensemble)
    model.network.seen.fill_(True)
    probabilities = torch.stack(
        [
            ((1.0 + number) * member.network(make_batch())[1] + torch.tensor([0.0, 0.5 * number, 0.0])).softmax(dim=1)
            for number, member in enumerate(members)
        ]
    )
    mean = probabilities.double().log().mean(dim=0).exp()
    found = model.network(make_batch())[1].softmax(dim=1)
    torch.testing.assert_close(found.double(), mean / mean.sum(dim=1, keepdim=True), rtol=1e-5, atol=1e-7)


def test_an_ensemble_needs_two_members() -> None:
    with pytest.raises(ValueError, match="members: expected 2 or more, got 0"):
        DrugClassifier(FingerprintMLP([8]), CrossEntropyLoss(), members=0)


def test_the_samples_of_a_fold_do_not_choose_its_decision() -> None:
    model, _ = ensemble()
    generator = torch.Generator().manual_seed(3)
    folds = [
        SplitScores(torch.arange(8), torch.arange(8) % 2, torch.randn(8, 3, generator=generator), torch.arange(8) % 2)
        for _ in range(3)
    ]
    before = cross_fitted(model, folds, AsTrained())
    changed = [folds[0], replace(folds[1], labels=1 - folds[1].labels), folds[2]]
    after = cross_fitted(model, changed, AsTrained())
    temperatures = [float(decision.calibration.temperature) for decision in before]
    again = [float(decision.calibration.temperature) for decision in after]
    assert again[1] == temperatures[1]
    assert again[0] != temperatures[0]
    assert again[2] != temperatures[2]
    # Calibration keeps the most probable class, so these are the accuracies of the scores as they are.
    values, of_class = out_of_fold_metrics(model, folds, cross_fitted(model, folds, AsTrained()))
    every = [
        (int(label), int(row[:2].argmax())) for own in folds for label, row in zip(own.labels, own.logits, strict=True)
    ]
    assert float(values["accuracy"]) == pytest.approx(sum(label == found for label, found in every) / len(every))
    for code in (0, 1):
        hits = [found == code for label, found in every if label == code]
        assert float(of_class["recall"][code]) == pytest.approx(sum(hits) / len(hits))
