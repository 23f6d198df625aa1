"""What a machine with a GPU runs besides: training, reclustering and prediction on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars
import pytest
import torch

from modules.class_difficulty import neighbor_overlap, relative_spread
from modules.class_distances import class_distances, subcluster_distances
from modules.subclusters import subcluster
from tests.lightning_app.command import succeed
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
