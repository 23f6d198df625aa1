import pytest
import torch
from torch import nn

from modules.heads.perceptron import perceptron


def test_hidden_layers_have_batch_norm_relu_and_dropout_and_the_last_is_linear() -> None:
    layers = perceptron([7, 5, 3, 2], dropout=0.25)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert [type(layer) for layer in layers] == [*kinds, *kinds, nn.Linear]
    sizes = [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)]
    assert sizes == [(7, 5), (5, 3), (3, 2)]
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm1d)] == [5, 3]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.25, 0.25]


def test_a_final_activation_also_follows_the_last_layer() -> None:
    layers = perceptron([4, 3, 2], final_activation=True)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout] * 2
    assert (layers(torch.randn(20, 4, generator=torch.Generator().manual_seed(0))) >= 0).all()


def test_two_sizes_give_a_single_linear_layer() -> None:
    layers = perceptron([4, 3])
    assert [type(layer) for layer in layers] == [nn.Linear]
    values = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert isinstance(layers[0], nn.Linear)
    torch.testing.assert_close(layers(values), values @ layers[0].weight.T + layers[0].bias)


@pytest.mark.parametrize("sizes", [[], [4]])
def test_fewer_than_two_sizes_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"sizes: expected at least an input and an output size, got \["):
        perceptron(sizes)
