from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from datamodules.batch import Batch
from datamodules.drug_task import DrugTask
from datamodules.tables.columns import InputKind
from modules import compilation
from modules.compilation import compile_layers
from modules.encoders import GIN, Fusion

MakeBatch = Callable[[list[list[str]]], Batch]
MakeTask = Callable[[InputKind], DrugTask]

# torch hides this warning of its own when nothing turns warnings into errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

SIZES = [["CC(=O)Oc1ccccc1C(=O)O", "CCN", "C#N"], ["CCO", "c1ccccc1O"], ["CCCCCC", "O=C=O", "CN(C)C=O", "c1ccncc1C"]]
SIZES += [["CCCC" * length, "C1CC1", "CO"] for length in range(1, 6)]


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests() -> None:
    torch._dynamo.reset()


def built_gin(make_task: MakeTask, layers: int = 3) -> GIN:
    gin = GIN(hidden_dim=8, num_layers=layers)
    gin.build(make_task("molecule"))
    return gin


def test_batches_of_other_sizes_compile_nothing_more(
    make_batch: MakeBatch, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, gin = CompileCounter(), built_gin(make_task)
    for layers in gin.layers_to_compile():
        layers.compile(backend=counter, dynamic=True, fullgraph=True)
    found = []
    for size in SIZES:
        gin(make_batch([[smiles] for smiles in size])).sum().backward()
        found.append(counter.frame_count)
    assert found == [1] * len(SIZES)
    gin.eval()
    for size in SIZES:
        with torch.inference_mode():
            gin(make_batch([[smiles] for smiles in size]))
    assert counter.frame_count == 2


def test_compiled_layers_give_the_embeddings_and_gradients_of_others(
    make_batch: MakeBatch, make_task: MakeTask
) -> None:
    gin = built_gin(make_task)
    compiled = copy.deepcopy(gin)
    for layers in compiled.layers_to_compile():
        layers.compile(backend="aot_eager", dynamic=True)
    batch = make_batch([[smiles] for smiles in SIZES[1]])
    results = []
    for encoder in (compiled, gin):
        embeddings = encoder(batch)
        results.append([embeddings, *torch.autograd.grad(embeddings.square().mean(), list(encoder.parameters()))])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_names_of_parameters_stay_and_copies_are_not_compiled(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)
    fusion = Fusion([GIN(hidden_dim=4, num_layers=2), GIN(hidden_dim=8, num_layers=1)])
    fusion.build(make_task("molecule"))
    names = list(fusion.state_dict())
    assert compile_layers(fusion.layers_to_compile(), torch.device("cpu"))
    assert len(fusion.layers_to_compile()) == 2
    assert list(fusion.state_dict()) == names
    assert all(layers._compiled_call_impl is not None for layers in fusion.layers_to_compile())
    assert all(layers._compiled_call_impl is None for layers in copy.deepcopy(fusion).layers_to_compile())


def test_one_warning_says_that_compiling_fails_and_the_layers_run(
    make_batch: MakeBatch,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(call: object, **_: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    monkeypatch.setattr(compilation.torch, "compile", failing)  # type: ignore[attr-defined]
    gin = built_gin(make_task)
    assert not compile_layers(gin.layers_to_compile(), torch.device("cpu"))
    (record,) = caplog.records
    assert "model.compile" in record.message
    assert "Failed to find C compiler." in record.message
    assert gin(make_batch([["CCO"], ["CN"]])).shape == (2, 8)


def test_nothing_to_compile_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert not compile_layers([], torch.device("cpu"))
    assert not caplog.records
