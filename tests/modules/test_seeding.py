import pytest
import torch

from modules.seeding import seed_device, step_seed


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_the_draws_are_those_of_manual_seed(seed: int) -> None:
    torch.manual_seed(seed)
    expected = torch.rand(5), torch.randperm(100), torch.randn(20)
    torch.rand(3)
    seed_device(seed, torch.device("cpu"))
    for drawn, value in zip((torch.rand(5), torch.randperm(100), torch.randn(20)), expected, strict=True):
        assert torch.equal(drawn, value)


def test_every_number_of_a_step_changes_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    seeds = {step_seed(*numbers) for numbers in ((3, 5), (4, 5), (3, 6), (5, 3), (3, 5, 0), (3, 5, 1), (3, 5, 2))}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**32 for seed in seeds)
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert step_seed(3, 5) not in seeds
