from collections.abc import Callable

import numpy
import pytest
import torch
from torch import nn

from base.errors import InputError
from datamodules.batch import Batch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.drug_task import DrugTask
from datamodules.sample_store import SampleStore
from datamodules.tables.sample_arrays import SampleArrays
from modules.encoders import GCN, GIN, ArrayMLP, Encoder, FingerprintMLP, Fusion, ImageCNN, ProteinCNN
from modules.training.views import make_view

Randomize = Callable[[nn.Module], None]
MakeTask = Callable[..., DrugTask]


def task(shape: tuple[int, ...]) -> DrugTask:
    return DrugTask("array", ("a", "b"), (3, 5), FeatureSettings(array_shape=shape))


def batch_of(samples: torch.Tensor) -> Batch:
    """A batch of arrays (B, ...), as created by the data module."""
    flat = samples.flatten(1).numpy()
    rows, bins = numpy.nonzero(flat)
    starts = numpy.searchsorted(rows, numpy.arange(len(flat) + 1))
    arrays = SampleArrays(tuple(samples.shape[1:]), starts, bins.astype(numpy.uint16), flat[rows, bins])
    places = numpy.arange(len(flat))
    return SampleStore(arrays=arrays).batch(places, places, places % 2)


def samples_of(shape: tuple[int, ...], number: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(number, *shape, generator=generator)
    return values * (torch.rand(values.shape, generator=generator) < 0.7)


ENCODERS: dict[str, tuple[Callable[[], Encoder], tuple[int, ...]]] = {
    "ArrayMLP": (lambda: ArrayMLP([16, 8]), (12,)),
    "ArrayMLP by sample": (lambda: ArrayMLP([16, 8], standardize="sample"), (12,)),
    "ArrayMLP of images": (lambda: ArrayMLP([16, 8]), (2, 3, 4)),
    "ImageCNN": (lambda: ImageCNN(4, 2), (6, 5)),
    "ImageCNN of channels": (lambda: ImageCNN(4, 2), (3, 6, 5)),
    "ImageCNN of one pixel": (lambda: ImageCNN(4, 3), (1, 1)),
    "FingerprintMLP": (lambda: FingerprintMLP([16, 8]), (12,)),
    "Fusion": (lambda: Fusion([ImageCNN(4, 1), ArrayMLP([8])]), (5, 4)),
}


@pytest.mark.parametrize("name", ENCODERS)
class TestEveryEncoderOfArrays:
    def test_embeddings_have_the_stated_size_and_a_gradient_reaches_every_parameter(self, name: str) -> None:
        make, shape = ENCODERS[name]
        encoder = make()
        encoder.build(task(shape))
        embeddings = encoder(batch_of(samples_of(shape)))
        assert embeddings.shape == (6, encoder.output_dim)
        assert embeddings.dtype == torch.float32
        (embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        for parameter_name, parameter in encoder.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name

    def test_a_batch_equals_its_samples_one_by_one(self, name: str, randomize: Randomize) -> None:
        make, shape = ENCODERS[name]
        encoder = make()
        encoder.build(task(shape))
        randomize(encoder)
        samples = samples_of(shape)
        alone = torch.cat([encoder(batch_of(sample.unsqueeze(0))) for sample in samples])
        torch.testing.assert_close(encoder(batch_of(samples)), alone, rtol=1e-4, atol=1e-5)

    def test_the_state_dict_brings_a_new_encoder_to_the_same_output(self, name: str, randomize: Randomize) -> None:
        make, shape = ENCODERS[name]
        one, other = make(), make()
        for encoder in (one, other):
            encoder.build(task(shape))
            encoder.eval()
        randomize(one)
        other.load_state_dict(one.state_dict())
        batch = batch_of(samples_of(shape))
        assert torch.equal(one(batch), other(batch))


@pytest.mark.parametrize("scale", [1e-2, 1e4])
def test_the_scale_of_each_feature_does_not_matter_in_training(scale: float) -> None:
    samples = samples_of((12,), 32)
    scaled = samples * torch.where(torch.arange(12) % 2 == 0, scale, 1.0)
    encoder = ArrayMLP([8])
    encoder.build(task((12,)))
    torch.testing.assert_close(encoder(batch_of(samples)), encoder(batch_of(scaled)), rtol=1e-2, atol=1e-2)


def test_the_scale_of_a_sample_does_not_matter_where_it_is_standardized_by_itself() -> None:
    samples = samples_of((12,), 8)
    encoder = ArrayMLP([8], standardize="sample")
    encoder.build(task((12,)))
    encoder.eval()
    torch.testing.assert_close(encoder(batch_of(samples)), encoder(batch_of(samples * 100)), rtol=1e-2, atol=1e-3)


def test_samples_of_zeros_have_finite_embeddings() -> None:
    for name, (make, shape) in ENCODERS.items():
        encoder = make()
        encoder.build(task(shape))
        assert encoder(batch_of(torch.zeros(4, *shape))).isfinite().all(), name


def test_an_image_is_read_as_rows_of_pixels() -> None:
    encoder = ImageCNN(2, 1)
    encoder.build(task((4, 6)))
    encoder.eval()
    image = samples_of((4, 6), 1)
    expected = encoder.layers(encoder.norm(image.unsqueeze(1))).mean(dim=(2, 3))
    torch.testing.assert_close(encoder(batch_of(image)), expected)
    assert ImageCNN(2, 1).num_layers == 1
    assert encoder.output_dim == 2


def test_a_view_drops_features_of_arrays() -> None:
    samples = samples_of((40,), 50).abs() + 1
    torch.manual_seed(0)
    seen = make_view(batch_of(samples), 0.25).arrays
    assert seen is not None
    kept = seen != 0
    assert torch.equal(seen[kept], samples[kept])
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("make", [lambda: GIN(), lambda: GCN(), lambda: Fusion(), lambda: ProteinCNN()])
def test_other_encoders_say_that_they_do_not_read_arrays(make: Callable[[], Encoder]) -> None:
    message = r"model\.encoder: expected .*ArrayMLP .* for input array, got (GIN|GCN|ProteinCNN), which reads input"
    with pytest.raises(InputError, match=message):
        make().build(task((12,)))


@pytest.mark.parametrize("make", [lambda: ArrayMLP(), lambda: ImageCNN()])
@pytest.mark.parametrize("input", ["molecule", "reaction", "pair", "drug_protein"])
def test_encoders_of_arrays_say_that_they_do_not_read_molecules(
    make: Callable[[], Encoder], input: str, make_task: MakeTask
) -> None:
    with pytest.raises(
        InputError, match=rf"model\.encoder: expected .* for input {input}, got .*, which reads input array\."
    ):
        make().build(make_task(input))


def test_the_image_encoder_refuses_features() -> None:
    with pytest.raises(InputError, match=r"expected .*ArrayMLP .* for samples of shape \(12,\), got ImageCNN"):
        ImageCNN().build(task((12,)))


@pytest.mark.parametrize("make", [lambda: ImageCNN(0), lambda: ImageCNN(4, 0)])
def test_a_network_without_layers_is_refused(make: Callable[[], Encoder]) -> None:
    with pytest.raises(ValueError, match=r"(hidden_dim|num_layers): expected 1 or more, got 0"):
        make()


def test_settings_of_the_perceptron_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_dims: expected one layer size or more"):
        ArrayMLP([])
    with pytest.raises(ValueError, match="standardize: expected 'feature' or 'sample', got 'batch'"):
        ArrayMLP(standardize="batch")  # type: ignore[arg-type]
