import pytest

from modules.evaluation.class_groups import ClassGroups


@pytest.mark.parametrize("settings", [{"head_fraction": 0.0}, {"head_fraction": 0.6, "tail_fraction": 0.5}], ids=str)
def test_shares_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="_fraction: expected a number"):
        ClassGroups(**settings)
