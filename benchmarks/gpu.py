"""What a machine with a GPU can measure in about five minutes; what is missing there is named and left out.

The step of the GIN (width 300, 5 layers) against its dense layers alone and PyG's GIN in fp32, TF32 and bfloat16, its
kernels, batches, sub-clusters, class distances, and training of a made table of 100,000 molecules. It needs a source
tree and the packages of the project on the path, and no installation.

    python -m benchmarks.gpu [--only step profile] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import gpu_step
from benchmarks.gpu_report import Report, median_ms, seconds_on
from benchmarks.measuring import CHECKOUT, describe_machine

SIZES = [512, 4_096, 16_384]
PACKAGES = ("torch", "triton", "torch_geometric", "lightning", "rdkit", "faiss", "numpy", "dgl")
CLUSTERED = (100_000, 1_000_000, 10_000_000)
WIDTH, BOUND, CLASSES = 128, 100, 100
SECONDS, SECONDS_FOR_TESTS = 300, 100


def versions(report: Report) -> None:
    """Versions of the packages, and the device."""
    report.add("versions", "python", platform.python_version())
    for name in PACKAGES:
        try:
            report.add("versions", name, str(getattr(importlib.import_module(name), "__version__", "unknown")))
        except Exception as error:  # A package that is there may still fail to import.
            report.add("versions", name, f"missing: {type(error).__name__}")
    report.add("versions", "processor", describe_machine(len(os.sched_getaffinity(0))))
    if report.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        report.add("versions", "device", about.name)
        report.add("versions", "memory_gb", about.total_memory / 1e9)
        report.add("versions", "cuda", str(torch.version.cuda))


def tests(report: Report) -> None:
    """The tests that need a GPU, without training with every method."""
    _run_tests(report, "tests", ["-k", "not every_method or paper"])


def methods(report: Report) -> None:
    """Training with every method; left out unless asked for, since it takes minutes."""
    _run_tests(report, "methods", ["-k", "every_method"])


def _run_tests(report: Report, section: str, chosen: list[str]) -> None:
    files = [str(path) for path in (CHECKOUT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()]
    # The plugin for benchmarks warns about processes that share the tests, and a warning is an error here.
    plugins = ["-p", "no:cacheprovider", "-p", "no:benchmark"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *plugins, *sorted(files), *chosen]
    command.append("--continue-on-collection-errors")
    if importlib.util.find_spec("xdist") is not None:
        command += ["-n", str(min(6, len(os.sched_getaffinity(0))))]
    paths = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "2"}
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=SECONDS_FOR_TESTS
        )
        output = done.stdout + done.stderr
    except subprocess.TimeoutExpired as expired:
        output = f"{_text(expired.stdout)}\nstopped after {SECONDS_FOR_TESTS} s"
    lines = [line for line in output.splitlines() if line.strip()]
    report.add(section, "result", lines[-1] if lines else "no output")
    failures = [line[:300] for line in lines if line.startswith(("FAILED", "ERROR"))]
    report.add(section, "failures", failures)
    if failures or not lines or "passed" not in lines[-1]:
        report.add(section, "output", lines[-150:])
        print("\n".join(lines[-150:]))


def _text(output: Any) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output or "")


def collate(report: Report) -> None:
    """Slicing a batch from the features, and its way to the device."""
    from benchmarks.train_step import one_batch
    from datamodules.chemistry.molecule_features import FeatureSettings, featurize
    from datamodules.sample_store import SampleMolecules, SampleStore

    number = max(report.sizes)
    smiles = gpu_step.repeated_smiles(min(number, gpu_step.DISTINCT))
    settings = FeatureSettings()
    places = numpy.arange(len(smiles))[:, None]
    store = SampleStore(SampleMolecules(featurize(smiles, settings), places, settings.fingerprint_width))
    rows = numpy.random.default_rng(0).integers(len(smiles), size=number)
    report.add("collate", "molecules", number)
    report.add("collate", "slice_ms", median_ms(lambda _: store.batch(rows, rows, rows), "cpu", repeats=7, warmup=2))
    if report.device == "cuda":
        batch = one_batch(gpu_step.repeated_smiles(number))
        report.add("collate", "pin_ms", median_ms(lambda _: batch.pin_memory(), "cpu", repeats=7, warmup=2))
        pinned = batch.pin_memory()
        moved = median_ms(lambda _: pinned.to("cuda", non_blocking=True), "cuda", repeats=7, warmup=2)
        report.add("collate", "to_device_ms", moved)


def clusters(report: Report) -> None:
    """Sub-clusters within a bound, and distances of classes and sub-clusters."""
    from modules.subclusters import subcluster

    sizes = CLUSTERED if report.device == "cuda" else CLUSTERED[:1]
    for number in sizes:
        with report.guarded("clusters", f"at_{number}"):
            rows = _blobs(number, report.device)
            labels = torch.zeros(number + BOUND, dtype=torch.int64, device=report.device)
            # The smallest class sets the bound.
            labels[number:] = 1
            subcluster(rows[-10_000:], labels[-10_000:], 2, BOUND, "bounded")
            _cluster(report, rows, labels, number)
    _flat(report)


def _cluster(report: Report, rows: Tensor, labels: Tensor, number: int) -> None:
    from modules.class_distances import class_distances, subcluster_distances
    from modules.subclusters import Subclusters, subcluster

    found: list[Subclusters] = []
    taken = seconds_on(report.device, lambda: found.append(subcluster(rows, labels, 2, BOUND, "bounded")))
    report.add("clusters", f"bounded_{number}_seconds", taken)
    report.add("clusters", f"bounded_{number}_clusters", len(found[0].class_of))
    report.add("clusters", f"bounded_{number}_largest", int(torch.bincount(found[0].ids).max()))
    many = torch.arange(len(rows), device=report.device) % CLASSES
    taken = seconds_on(report.device, lambda: class_distances(rows, many, CLASSES))
    report.add("clusters", f"class_distances_{number}_seconds", taken)
    points = found[0].centroids[:100_000]
    of_class = torch.arange(len(points), device=report.device) % CLASSES
    taken = seconds_on(report.device, lambda: subcluster_distances(points, of_class, CLASSES))
    report.add("clusters", f"subcluster_distances_{len(points)}_seconds", taken)


def _flat(report: Report) -> None:
    """Flat k-means of ours and, if it runs on the GPU, of FAISS."""
    from modules.subclusters import subcluster

    number = CLUSTERED[0]
    rows = _blobs(number, report.device)
    labels = torch.zeros(number + BOUND, dtype=torch.int64, device=report.device)
    labels[number:] = 1
    with report.guarded("clusters", f"kmeans_{number}"):
        taken = seconds_on(report.device, lambda: subcluster(rows, labels, 2, BOUND, "kmeans", backend="torch"))
        report.add("clusters", f"kmeans_{number}_seconds", taken)
    with report.guarded("clusters", f"kmeans_faiss_{number}"):
        import faiss

        if faiss.get_num_gpus() == 0:
            raise RuntimeError("the installed faiss does not run on a GPU.")
        taken = seconds_on(report.device, lambda: subcluster(rows, labels, 2, BOUND, "kmeans", backend="faiss"))
        report.add("clusters", f"kmeans_faiss_{number}_seconds", taken)


def _blobs(number: int, device: str) -> Tensor:
    """Unit vectors around 300 centers, followed by the equal vectors of a small class."""
    generator = torch.Generator(device).manual_seed(0)
    centers = functional.normalize(torch.randn(300, WIDTH, device=device, generator=generator))
    chosen = torch.randint(300, (number,), device=device, generator=generator)
    rows = torch.randn(number, WIDTH, device=device, generator=generator).mul_(0.05).add_(centers[chosen])
    return functional.normalize(torch.cat([rows, torch.ones(BOUND, WIDTH, device=device)]))


def fit(report: Report) -> None:
    """Training and prediction, see `gpu_fit.py`."""
    from benchmarks.gpu_fit import fit

    fit(report)


SECTIONS = {
    "versions": versions,
    "step": gpu_step.step,
    "profile": gpu_step.profile,
    "kernel": gpu_step.kernel,
    "fit": fit,
    "tests": tests,
    "clusters": clusters,
    "collate": collate,
    "methods": methods,
}


def main() -> None:
    """Run the sections that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = [name for name in SECTIONS if name != "methods"]
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=default, help="the sections to run")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of molecules of a step")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the sections without a GPU"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after these no section begins, default 300")
    parser.add_argument("--json", type=Path, help="also write what was found to this file")
    options = parser.parse_args()
    path = options.json.resolve() if options.json else None
    report = Report(options.device, options.sizes, path)
    if options.device == "cuda" and not torch.cuda.is_available():
        report.run("versions", lambda report: versions(Report("cpu", report.sizes, found=report.found)))
        report.add("versions", "device", "no CUDA device: nothing else was measured")
        return
    start = time.perf_counter()
    for name in options.only:
        if time.perf_counter() - start > options.seconds:
            report.add(name, "missing", f"left out after {options.seconds:.0f} s")
            continue
        report.run(name, SECTIONS[name])


if __name__ == "__main__":
    main()
