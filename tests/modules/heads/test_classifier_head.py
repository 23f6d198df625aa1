import pytest
import torch

from modules.heads.classifier_head import ClassifierHead

EMBEDDINGS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cosine_scale", [None, 7.0])
@pytest.mark.parametrize("sizes", [[4], [4, 5]])
def test_class_factors_are_applied_where_asked_for(sizes: list[int], cosine_scale: float | None) -> None:
    head = ClassifierHead(sizes, 3, cosine_scale=cosine_scale, class_scales=True).eval()
    scales = head[-1].weight
    assert isinstance(scales, torch.nn.Parameter)
    with torch.no_grad():
        scales.copy_(torch.tensor([1.0, 2.0, 0.5]))
    first = head.training_outputs(EMBEDDINGS, scaled=False)[0]
    torch.testing.assert_close(head(EMBEDDINGS), scales * first)
    first.sum().backward()  # type: ignore[no-untyped-call]
    assert scales.grad is None
    assert all(parameter.grad is not None for parameter in head.parameters() if parameter is not scales)
    second = head.training_outputs(EMBEDDINGS, scaled=True)[0]
    torch.testing.assert_close(second, scales * first)
    second.sum().backward()  # type: ignore[no-untyped-call]
    assert scales.grad is not None


@pytest.mark.parametrize("scaled", [False, True])
def test_without_class_factors_all_parameters_train(scaled: bool) -> None:
    head = ClassifierHead([4, 5], 3)
    head.training_outputs(EMBEDDINGS, scaled)[0].sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert [tuple(parameter.shape) for parameter in head[-1].parameters()] == [(3, 5), (3,)]
