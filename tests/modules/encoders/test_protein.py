from collections.abc import Callable
from dataclasses import replace

import numpy
import polars
import pytest
import torch
from torch import Tensor, nn

from base.errors import InputError
from datamodules.batch import Batch, ProteinBatch
from datamodules.chemistry.molecule_features import FeatureSettings
from datamodules.chemistry.protein_sequences import ProteinSequences
from datamodules.drug_task import DrugTask
from modules.drug_classifier import DrugClassifier
from modules.encoders import GIN, Fusion, ProteinCNN
from modules.losses import CrossEntropyLoss

MakeBatch = Callable[[list[list[str]]], Batch]
Randomize = Callable[[nn.Module], None]

TASK = DrugTask("drug_protein", ("a", "b"), (3, 5), FeatureSettings(fingerprint_size=64))


def with_proteins(batch: Batch, sequences: list[str]) -> Batch:
    gathered = ProteinSequences(polars.Series(sequences)).gather(numpy.arange(len(sequences)))
    return replace(batch, proteins=ProteinBatch(*map(torch.from_numpy, gathered)))


def encoder(randomize: Randomize, max_residues: int = 1000) -> ProteinCNN:
    module = ProteinCNN(hidden_dim=16, num_layers=2, kernel_size=3, max_residues=max_residues)
    module.build(TASK)
    randomize(module)
    return module


def by_hand(module: ProteinCNN, sequence: str) -> Tensor:
    """The embedding of a single sequence, without padding or masks."""
    residues: Tensor = module.residue_embedding(torch.tensor([ord(letter) - ord("A") for letter in sequence]))
    for convolution, norm in zip(module.convolutions, module.norms, strict=True):
        residues = torch.relu(norm(convolution(residues.T.unsqueeze(0))[0].T))
    return residues.amax(dim=0)


def test_each_sample_has_its_own_protein_whatever_else_is_in_the_batch(
    make_batch: MakeBatch, randomize: Randomize
) -> None:
    module = encoder(randomize)
    sequences = ["MKV", "M", "ACDEFGHIKLMNPQRSTVWY", "MKV", "WW", "YWVTSRQPNMLKIHGFEDC"]
    batch = with_proteins(make_batch([["CCO"]] * len(sequences)), sequences)
    assert batch.proteins is not None
    assert len(batch.proteins.residues_per_protein) == 5
    expected = torch.stack([by_hand(module, sequence) for sequence in sequences])
    torch.testing.assert_close(module(batch), expected)
    assert not torch.allclose(expected[2], expected[5])


def test_residues_beyond_the_maximum_are_ignored(make_batch: MakeBatch, randomize: Randomize) -> None:
    module = encoder(randomize, max_residues=4)
    batch = with_proteins(make_batch([["C"]] * 3), ["MKVLAAAA", "MKVLWWW", "AKVL"])
    first, second, third = module(batch)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, by_hand(module, "MKVL"))
    assert not torch.allclose(first, third)


def test_every_parameter_gets_a_gradient(make_batch: MakeBatch, randomize: Randomize) -> None:
    module = encoder(randomize)
    module(with_proteins(make_batch([["C"]] * 2), ["MKVLAC", "WYW"])).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters() if parameter.grad is not None)


def test_samples_without_a_protein_are_refused(make_batch: MakeBatch, randomize: Randomize) -> None:
    with pytest.raises(ValueError, match=r"expected samples with proteins \(data\.input drug_protein\), got none"):
        encoder(randomize)(make_batch([["C"]]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "kernel_size: expected an odd number, got 4"),
        ({"num_layers": 0}, "num_layers: expected 1 or more, got 0"),
        ({"max_residues": 0}, "max_residues: expected 1 or more, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProteinCNN(**settings)


def test_the_embeddings_of_a_drug_and_its_protein_are_concatenated(make_batch: MakeBatch, randomize: Randomize) -> None:
    fusion = Fusion([GIN(hidden_dim=6, num_layers=1), ProteinCNN(hidden_dim=16)])
    fusion.build(TASK)
    randomize(fusion)
    assert fusion.reads_proteins
    one, other = with_proteins(make_batch([["CCO"]]), ["MKV"]), with_proteins(make_batch([["CCO"]]), ["WWW"])
    assert fusion(one).shape == (1, 22)
    torch.testing.assert_close(fusion(one)[:, :6], fusion(other)[:, :6])
    assert not torch.allclose(fusion(one)[:, 6:], fusion(other)[:, 6:])


def test_an_encoder_that_would_ignore_the_protein_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"model\.encoder: expected .*modules\.encoders\.ProteinCNN .*, got GIN without"
    ):
        DrugClassifier(GIN(), CrossEntropyLoss()).build(TASK)
    DrugClassifier(Fusion([GIN(), ProteinCNN()]), CrossEntropyLoss()).build(TASK)


def test_a_batch_without_samples_has_no_embeddings(randomize: Randomize, make_batch: MakeBatch) -> None:
    batch = with_proteins(make_batch([["CCO"]]), ["MKV"])
    none = torch.zeros(0, dtype=torch.int64)
    empty = replace(batch, sample_index=none, labels=none, proteins=ProteinBatch(none.to(torch.uint8), none, none))
    assert encoder(randomize)(empty).shape == (0, 16)
