import pytest
import torch

from modules.losses import CrossEntropyLoss
from modules.training.mixing import Mixup, Remix


def test_mixtures_are_convex_combinations_with_the_labels_to_match() -> None:
    torch.manual_seed(0)
    embeddings, labels, counts = torch.randn(50, 3), torch.arange(50) % 4, torch.tensor([5, 5, 5, 5])
    mixed = Mixup(1.0).mix(embeddings, labels, counts)
    assert sorted(mixed.partners.tolist()) == list(range(50))
    share = float(mixed.label_shares[0])
    assert 0.5 <= share < 1
    assert mixed.label_shares.tolist() == pytest.approx([share] * 50)
    torch.testing.assert_close(mixed.embeddings, share * embeddings + (1 - share) * embeddings[mixed.partners])
    torch.manual_seed(0)
    torch.randn(50, 3)
    assert torch.equal(Mixup(1.0).mix(embeddings, labels, counts).embeddings, mixed.embeddings)


def test_shares_follow_the_beta_distribution() -> None:
    torch.manual_seed(0)
    rows = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.ones(1)
    shares = torch.cat([Mixup(0.5).mix(*rows).label_shares for _ in range(2_000)])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
    assert shares.min() >= 0.5
    assert (shares - 0.5).square().mean().item() == pytest.approx(1 / 8, abs=0.01)


def test_remix_gives_the_label_to_the_smaller_class() -> None:
    # The sample's class is four times as large, a quarter as large, or twice as large as its partner's.
    ratios = torch.tensor([4.0, 0.25, 2.0])
    remix = Remix(1.0, kappa=3.0, tau=0.5)
    assert remix.label_shares(0.375, ratios).tolist() == [0.0, 0.375, 0.375]
    assert remix.label_shares(0.75, ratios).tolist() == [0.75, 1.0, 0.75]
    assert Remix(1.0, 3.0, 0.0).label_shares(0.375, ratios).tolist() == [0.375] * 3


def test_the_loss_of_mixtures_is_the_mean_over_both_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 3, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    others, shares = torch.tensor([1, 1, 0, 2, 0]), torch.rand(5, generator=generator)
    targets = shares.unsqueeze(1) * torch.eye(3)[labels] + (1 - shares).unsqueeze(1) * torch.eye(3)[others]
    expected = torch.nn.functional.cross_entropy(logits, targets)
    twice = torch.cat([logits, logits]), torch.cat([labels, others])
    found = CrossEntropyLoss()(*twice, torch.ones(3), torch.ones(3), None, torch.cat([shares, 1 - shares]))
    torch.testing.assert_close(found, expected)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="alpha: expected a positive finite number, got 0"):
        Mixup(0.0)
    with pytest.raises(ValueError, match=r"kappa: expected a finite number of 1 or more, got 0.5"):
        Remix(1.0, 0.5)
