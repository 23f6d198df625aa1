import torch

from modules.heads.cosine_linear import CosineLinear


def test_outputs_are_scaled_cosines() -> None:
    torch.manual_seed(0)
    layer = CosineLinear(5, 3, 30.0)
    values = torch.randn(4, 5)
    expected = 30 * torch.cosine_similarity(values.unsqueeze(1), layer.weight.unsqueeze(0), dim=2)
    torch.testing.assert_close(layer(values), expected)
    torch.testing.assert_close(layer(7 * values), expected)
    assert layer(values.bfloat16()).dtype == torch.float32
