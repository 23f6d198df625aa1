"""What a machine with a GPU runs besides: training, reclustering and prediction on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy
import polars
import pytest
import torch

from datamodules.batch import Batch
from datamodules.batch_loader import BatchLoader
from datamodules.samplers import EpochBatches
from modules.class_difficulty import neighbor_overlap, relative_spread
from modules.class_distances import class_distances, subcluster_distances
from modules.seeding import seed_device
from modules.subclusters import subcluster
from modules.training.views import make_views
from tests.datamodules.batch_parts import fingerprints, graphs
from tests.datamodules.drug_module import data_module
from tests.lightning_app.command import succeed
from workflows.fit_cli import FitCLI
from workflows.settings.config_files import CONFIGS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none"),
]

COMPILED = ("--config=debug.yaml", "--trainer.accelerator=gpu", "--trainer.devices=1", "--run.root=runs")
# Compiling takes longer than these runs.
OPTIONS = (*COMPILED, "--model.compile=false")


def test_fit_and_predict(tmp_path: Path) -> None:
    said = succeed(tmp_path, "fit", *COMPILED)
    assert "float32_matmul_precision high" in said
    checkpoint = "runs/inn_stems/version_0/checkpoints/best.ckpt"
    (tmp_path / "new.csv").write_text("smiles\nCCO\nC1CC\n")
    options = ("--data.source=new.csv", "--output=out.csv", "--trainer.accelerator=gpu")
    succeed(tmp_path, "predict", "--ckpt_path", checkpoint, *options)
    out = polars.read_csv(tmp_path / "out.csv")
    assert out["reason"].is_null().to_list() == [True, False]


def test_recluster_within_training(tmp_path: Path) -> None:
    succeed(tmp_path, "fit", *OPTIONS, "--recluster.method=kmeans")
    assert len(polars.read_csv(tmp_path / "runs/inn_stems/version_0/class_weights.csv")) > 0


@pytest.mark.parametrize("method", ["kmeans", "bounded"])
def test_clusters_of_cuda_embeddings_are_as_good_as_on_the_cpu(method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(20_000, 32, generator=generator)
    labels = torch.arange(20_000) % 3

    def spread(device: str) -> float:
        on_device = embeddings.to(device)
        found = subcluster(on_device, labels.to(device), 3, 100, "kmeans" if method == "kmeans" else "bounded", 0)
        assert found.ids.device.type == device
        unit = torch.nn.functional.normalize(on_device)
        return float((unit - found.centroids[found.ids]).square().sum(1).mean())

    assert spread("cuda") == pytest.approx(spread("cpu"), rel=0.02)


def test_clustering_runs_on_faiss_gpu_where_it_is_installed() -> None:
    faiss = pytest.importorskip("faiss")
    if faiss.get_num_gpus() == 0:
        pytest.skip("the installed faiss has no GPU support; install the extra gpu")
    embeddings = torch.randn(100_000, 64, device="cuda")
    found = subcluster(
        embeddings, torch.zeros(100_000, dtype=torch.int64, device="cuda"), 2, 1000, "kmeans", backend="faiss"
    )
    assert len(found.class_of) == 100


def test_distances_in_plain_torch_agree_with_the_cpu() -> None:
    embeddings, labels = torch.randn(500, 16), torch.arange(500) % 7
    on_gpu = class_distances(embeddings.cuda(), labels.cuda(), 7)
    torch.testing.assert_close(on_gpu.cpu(), class_distances(embeddings, labels, 7))
    classes = torch.arange(500) % 7
    nearest = subcluster_distances(embeddings.cuda(), classes.cuda(), 7)
    torch.testing.assert_close(nearest.cpu(), subcluster_distances(embeddings, classes, 7))


@pytest.mark.parametrize("measure", [neighbor_overlap, relative_spread])
def test_difficulties_of_cuda_embeddings_are_those_on_the_cpu(
    measure: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor],
) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings, labels = torch.randn(500, 16, generator=generator), torch.arange(500) % 7
    on_gpu = measure(embeddings.cuda(), labels.cuda(), 8)
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), measure(embeddings, labels, 8), atol=0.01, rtol=0.0, equal_nan=True)


@pytest.mark.parametrize("path", sorted((CONFIGS / "method").glob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_method_trains(tmp_path: Path, path: Path) -> None:
    succeed(tmp_path, "fit", *OPTIONS, "--config", str(path), "--model.classification_start_epoch=0")


def test_what_reclustering_keeps_from_training(tmp_path: Path) -> None:
    kept = ("--recluster.embeddings=running", "--recluster.difficulty=confusion", "--recluster.sample_per_class=6")
    succeed(tmp_path, "fit", *OPTIONS, *kept)
    assert len(polars.read_csv(tmp_path / "runs/inn_stems/version_0/class_weights.csv")) > 0


class SyncCheck(lightning.Callback):
    """Lets torch watch for operations that make the CPU wait for the GPU, in all steps but the first of each epoch."""

    def __init__(self, mode: str) -> None:
        self.mode, self.steps = mode, 0

    def on_train_batch_start(self, trainer: lightning.Trainer, *arguments: Any) -> None:
        if arguments[-1] > 0:
            torch.cuda.set_sync_debug_mode(self.mode)

    def on_train_batch_end(self, trainer: lightning.Trainer, *arguments: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self.steps += arguments[-1] > 0

    def on_exception(self, *arguments: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def watch_steps(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, *options: str) -> None:
    """Train for two epochs of three batches, with a recluster between them, and watch the steps."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TAILMOL_CACHE", str(folder / "cache"))
    steps = ("--trainer.limit_train_batches=3", "--model.classification_start_epoch=0")
    quiet = ("--trainer.enable_progress_bar=false",)
    cli = FitCLI([*OPTIONS, *options, *steps, *quiet])
    check = SyncCheck(mode)
    cli.trainer.callbacks = [*cli.trainer.callbacks, check]  # type: ignore[attr-defined]
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert check.steps == 4


STEP_METHODS = (
    "cross_entropy",
    "default",
    "balanced_contrast",
    "k_positive_contrast",
    "parametric_contrast",
    "ldam_drw",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", [*STEP_METHODS, "prototype_contrast", "targeted_contrast", "mixup"])
def test_no_step_on_arrays_waits_for_the_gpu(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = numpy.random.default_rng(0)
    labels = numpy.repeat(numpy.arange(4), [400, 200, 100, 50])
    features = generator.normal(size=(750, 16)) + labels[:, None]
    numpy.savez(tmp_path / "arrays.npz", features=features.astype(numpy.float32), labels=labels)
    options = ("--config=encoder/array.yaml", f"--config=method/{method}.yaml", "--data.batch_size=64")
    source = str(tmp_path / "arrays.npz")
    watch_steps(tmp_path, monkeypatch, "error", *options, f"--data.source={source}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", STEP_METHODS)
def test_a_step_on_molecules_waits_for_the_shapes_of_its_views_alone(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (f"--config=method/{method}.yaml", "--model.encoder=benchmarks.loop.AtomCounts")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        watch_steps(tmp_path, monkeypatch, "warn", *options)
    waits = [
        (warning.filename, warning.lineno)
        for warning in warned
        if "synchronizing CUDA operation" in str(warning.message)
    ]
    assert {Path(name).name for name, _ in waits} <= {"views.py"}, sorted(set(waits))
    # Edges and bins of each of two views in four steps.
    assert len(waits) <= 4 * 2 * 2


def copied_ahead(folder: Path, workers: int = 0) -> tuple[list[Batch], BatchLoader]:
    """The batches of an epoch on the CPU, and a loader that copies the same ones to the GPU."""
    module = data_module(folder, batch_size=8)
    module.setup("fit")
    loader = module.train_dataloader()
    assert isinstance(loader.sampler, EpochBatches)
    device = torch.device("cuda", torch.cuda.current_device())
    return list(loader), BatchLoader(loader.dataset, device, loader.sampler, workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_are_copied_ahead_are_those_of_the_table(workers: int, tmp_path: Path) -> None:
    expected, loader = copied_ahead(tmp_path, workers)
    work = torch.randn(4096, 4096, device="cuda")
    for _ in range(5):
        used = []
        for batch in loader:
            # The batch is read long after the CPU has forgotten it and asked for the next ones.
            for _ in range(20):
                work = torch.nn.functional.normalize(work @ work)
            used.append((batch.sample_index * 1, graphs(batch).source * 1, fingerprints(batch).dense()))
        assert len(used) == len(expected)
        for (index, source, counts), batch in zip(used, expected, strict=True):
            assert index.is_cuda
            assert torch.equal(index.cpu(), batch.sample_index)
            assert torch.equal(source.cpu(), graphs(batch).source)
            assert torch.equal(counts.cpu(), fingerprints(batch).dense())


def test_views_beside_training_are_those_within_it(tmp_path: Path) -> None:
    for batch in copied_ahead(tmp_path)[1]:
        assert batch.copied is not None
        torch.manual_seed(3)
        beside = make_views(batch, (0.15, 0.1))
        torch.manual_seed(3)
        within = make_views(replace(batch, copied=None), (0.15, 0.1))
        for one, other in zip(beside, within, strict=True):
            assert torch.equal(graphs(one).source, graphs(other).source)
            assert torch.equal(fingerprints(one).bin, fingerprints(other).bin)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_draws_of_a_seeded_step_are_those_of_manual_seed(seed: int) -> None:
    torch.manual_seed(seed)
    expected = torch.rand(5), torch.rand(5, device="cuda")
    torch.rand(3, device="cuda")
    seed_device(seed, torch.device("cuda", torch.cuda.current_device()))
    assert torch.equal(torch.rand(5), expected[0])
    assert torch.equal(torch.rand(5, device="cuda"), expected[1])
