import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.losses.contrastive.minority_contrastive import MinorityContrastiveLoss


@given(seed=st.integers(0, 1_000), largest=st.integers(0, 2))
def test_equals_a_loop(seed: int, largest: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    views, labels = torch.randn(6, 2, 4, generator=generator), torch.randint(3, (6,), generator=generator)
    counts = torch.tensor([5, 5, 5])
    counts[largest] = 50
    loss = MinorityContrastiveLoss(0.2, 0.1)
    loss.build(counts, 4)
    unit = torch.nn.functional.normalize(views.double().flatten(0, 1), dim=1)
    owners, classes = torch.arange(6).repeat_interleave(2), labels.repeat_interleave(2)
    logits = unit @ unit.T / 0.2
    total = 0.0
    for anchor in range(12):
        others = [k for k in range(12) if k != anchor]
        same = owners if classes[anchor] == largest else classes
        positives = [p for p in others if same[p] == same[anchor]]
        log_sum = float(logits[anchor, others].logsumexp(0))
        total += sum(log_sum - float(logits[anchor, p]) for p in positives) / len(positives) / 12
    torch.testing.assert_close(loss(views, labels), torch.tensor(2 * total, dtype=torch.float32), rtol=1e-5, atol=1e-5)
