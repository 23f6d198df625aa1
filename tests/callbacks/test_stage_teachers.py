"""Teachers of training stages, in real training on the bundled drugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor

from base.errors import InputError
from modules.training.distillation import Distillation
from modules.training.stages import Stage
from tests.callbacks.staged_training import ALL, assert_equal_states, train


def test_the_model_before_the_stage_teaches_a_new_one(tmp_path: Path) -> None:
    teacher, _, _ = train(tmp_path, [], 2)
    student, _, callback = train(tmp_path, [Stage(2, reset=ALL, distillation=Distillation(1.0, 1.0))], 4)
    assert callback.teacher is not None
    taught = callback.teacher.state_dict()
    for name, value in teacher.network.state_dict().items():
        assert torch.equal(taught[name], value), name
        if name.endswith("weight"):
            assert not torch.equal(student.network.state_dict()[name], value), name


def teacher_file(folder: Path, epochs: int) -> tuple[Distillation, dict[str, Tensor]]:
    """Distillation from a model that was trained for some epochs, and the state of its network."""
    model, _, _ = train(folder, [], epochs)
    return Distillation(1.0, 1.0, teacher=str(folder / f"{epochs}.ckpt")), model.network.state_dict()


def test_each_stage_has_its_own_teacher(tmp_path: Path) -> None:
    class KeepTeacher(lightning.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            teacher = pl_module.objective.teacher
            taught.append(None if teacher is None else teacher.__self__.state_dict())

    taught: list[dict[str, Tensor] | None] = []
    (first, weights), (last, others) = (teacher_file(tmp_path / "teachers", epochs) for epochs in (1, 2))
    stages = [Stage(0, distillation=first), Stage(1, distillation=Distillation(1.0, 1.0))]
    stages += [Stage(2, distillation=last), Stage(3)]
    _, kept, callback = train(tmp_path, stages, 4, others=[KeepTeacher()])
    assert taught[3] is None
    assert callback.teacher is None
    for state, expected in zip(taught[:3], [weights, kept.states[1], others], strict=True):
        torch.testing.assert_close(state, expected, rtol=0, atol=0)


@pytest.mark.parametrize("before", ["nothing", "file"])
def test_a_resumed_student_keeps_its_teacher(tmp_path: Path, before: str) -> None:
    stages = [Stage(1, reset=ALL, distillation=Distillation(1.0, 1.0))]
    if before == "file":
        stages.insert(0, Stage(0, distillation=teacher_file(tmp_path / "teachers", 1)[0]))
    whole, _, _ = train(tmp_path, stages, 3)
    train(tmp_path, stages, 2)
    resumed, _, _ = train(tmp_path, stages, 3, ckpt_path=tmp_path / "2.ckpt")
    assert_equal_states(whole, resumed)


def test_a_resumed_student_goes_on_with_the_teacher_of_its_file(tmp_path: Path) -> None:
    given, weights = teacher_file(tmp_path / "teachers", 2)
    stages = [Stage(1, distillation=Distillation()), Stage(2, distillation=given)]
    train(tmp_path, stages, 3)
    _, _, callback = train(tmp_path, stages, 4, ckpt_path=tmp_path / "3.ckpt")
    assert callback.teacher is not None
    torch.testing.assert_close(callback.teacher.state_dict(), weights, rtol=0, atol=0)
    assert "teacher" not in callback.state_dict()


def test_a_stage_that_was_stopped_without_a_teacher_cannot_get_the_model_of_its_beginning(tmp_path: Path) -> None:
    train(tmp_path, [Stage(1)], 2)
    with pytest.raises(InputError, match=r"stages\.distillation\.teacher: expected a checkpoint for .* epoch 1"):
        train(tmp_path, [Stage(1, distillation=Distillation())], 3, ckpt_path=tmp_path / "2.ckpt")
