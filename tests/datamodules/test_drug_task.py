import json
from dataclasses import FrozenInstanceError, replace
from io import BytesIO

import pytest
import torch

from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask

TASK = DrugTask("reaction", ("1", "2", "other"), (7, 0, 3), FeatureSettings(3, 512))
SEVERAL = replace(TASK, known_counts=(9, 4, 12))


def test_counts() -> None:
    assert TASK.num_classes == 3
    assert TASK.num_training_samples == 10
    assert not TASK.is_multilabel


def test_of_several_labels_the_best_known_one_has_all_training_samples() -> None:
    assert SEVERAL.is_multilabel
    assert SEVERAL.num_training_samples == 12
    assert SEVERAL.to_dict()["known_counts"] == [9, 4, 12]


def test_the_dictionary_has_plain_types_only() -> None:
    assert TASK.to_dict() == {
        "input": "reaction",
        "classes": ["1", "2", "other"],
        "class_counts": [7, 0, 3],
        "known_counts": [],
        "features": {
            "fingerprint_radius": 3,
            "fingerprint_size": 512,
            "fingerprint_kinds": ["morgan"],
            "pretrained": None,
            "array_shape": [],
        },
        "training_digest": "",
        "ordered_pairs": False,
    }


@pytest.mark.parametrize("task", [TASK, SEVERAL])
def test_a_task_survives_json_and_a_checkpoint_without_pickle(task: DrugTask) -> None:
    assert DrugTask.from_dict(task.to_dict()) == task
    assert DrugTask.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    file = BytesIO()
    torch.save(task.to_dict(), file)
    file.seek(0)
    assert DrugTask.from_dict(torch.load(file, weights_only=True)) == task


def test_every_part_makes_a_task_another() -> None:
    for changed in (
        replace(TASK, input="pair"),
        replace(TASK, classes=("1", "2", "3")),
        replace(TASK, class_counts=(7, 1, 3)),
        SEVERAL,
        replace(TASK, features=FeatureSettings(2, 512)),
        replace(TASK, features=FeatureSettings(3, 512, ("path", "morgan"))),
    ):
        assert changed != TASK
        assert DrugTask.from_dict(changed.to_dict()) == changed


def test_a_task_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError, match="classes"):
        TASK.classes = ("a", "b")  # type: ignore[misc]


def test_an_unknown_feature_setting_is_refused() -> None:
    values = TASK.to_dict()
    values["features"]["fingerprint_bits"] = 8
    with pytest.raises(TypeError, match="fingerprint_bits"):
        DrugTask.from_dict(values)
