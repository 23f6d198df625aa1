import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modules.training.distillation import Distillation


@given(seed=st.integers(0, 1_000), temperature=st.floats(0.5, 5), power=st.floats(0.1, 2))
def test_equals_a_loop(seed: int, temperature: float, power: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, teacher = torch.randn(2, 5, 3, generator=generator)
    total = 0.0
    for student_row, teacher_row in zip(logits.double(), teacher.double(), strict=True):
        virtual = (teacher_row / temperature).softmax(0) ** power
        virtual = virtual / virtual.sum()
        student = (student_row / temperature).softmax(0)
        total += temperature**2 * float((virtual * (virtual / student).log()).sum()) / 5
    value = Distillation(0.5, temperature, power).divergence(logits, teacher)
    assert float(value) == pytest.approx(total, rel=1e-4, abs=1e-6)


def test_limits() -> None:
    logits = torch.randn(4, 3)
    assert float(Distillation(power=1.0).divergence(logits, logits)) == pytest.approx(0, abs=1e-6)
    # The flattest virtual examples are the same for every class.
    flat = Distillation(power=1e-9).divergence(torch.zeros(4, 3), logits)
    assert float(flat) == pytest.approx(0, abs=1e-6)
    hard = (1e4 * logits).bfloat16().requires_grad_()
    Distillation().divergence(hard, -1e4 * logits).backward()  # type: ignore[no-untyped-call]
    assert hard.grad is not None
    assert hard.grad.isfinite().all()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight: expected a number from 0 to 1, got 2"):
        Distillation(2)
    with pytest.raises(ValueError, match="temperature: expected a positive finite number"):
        Distillation(temperature=0)
    with pytest.raises(ValueError, match="power: expected a positive finite number"):
        Distillation(power=0)
