import pytest
import torch

from modules.heads.classifier_head import ClassifierHead
from modules.heads.experts import Experts, diversity


def test_the_logits_are_the_mean_of_the_experts() -> None:
    experts = Experts([ClassifierHead([4], 3) for _ in range(3)])
    embeddings = torch.randn(5, 4)
    outputs = experts.training_outputs(embeddings, scaled=False)
    assert len(outputs) == 3
    assert not torch.equal(outputs[0], outputs[1])
    torch.testing.assert_close(experts(embeddings), sum(outputs) / 3)


def test_experts_of_parts_read_their_part_alone() -> None:
    experts = Experts([ClassifierHead([2], 3), ClassifierHead([4], 3)], [2, 4])
    embeddings = torch.randn(5, 6, requires_grad=True)
    first, second = experts.training_outputs(embeddings, scaled=False)
    torch.testing.assert_close(first, experts.heads[0](embeddings[:, :2]))
    torch.testing.assert_close(second, experts.heads[1](embeddings[:, 2:]))
    torch.testing.assert_close(experts(embeddings), (first + second) / 2)
    (gradient,) = torch.autograd.grad(first.sum(), embeddings)
    assert gradient[:, :2].abs().min() > 0
    assert not gradient[:, 2:].any()


def test_diversity_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = [torch.randn(4, 3, generator=generator) for _ in range(3)]
    probabilities = [output.double().softmax(dim=1) for output in outputs]
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    total = 0.0
    for i, j in pairs:
        p, q = probabilities[i], probabilities[j]
        total += float((p * (p / q).log()).sum(dim=1).mean()) / len(pairs)
    assert diversity(outputs).item() == pytest.approx(total, rel=1e-5)
    assert diversity([outputs[0], outputs[0]]).item() == pytest.approx(0, abs=1e-6)
    assert diversity(outputs[:1]).item() == 0
    assert diversity([1e4 * output.bfloat16() for output in outputs]).isfinite()
