"""The step of the GIN on a GPU: against its dense layers alone and PyG's GIN, in each precision, and its kernels."""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.utils
from torch import Tensor, nn

from benchmarks.gpu_report import Report, median_ms, synchronize
from benchmarks.measuring import Work, read_smiles
from benchmarks.peer_models import HIDDEN, LAYERS, pyg_gin_network, training_step
from benchmarks.train_step import built, one_batch
from datamodules.batch import MoleculeBatch
from modules.compilation import compile_layers
from modules.encoders.aggregation import MessageSum
from modules.encoders.gin import GIN

DISTINCT = 600
PROFILED, PROFILED_STEPS, PROFILED_ROWS = 4096, 5, 12
PRECISIONS = {"fp32": ("highest", False), "tf32": ("high", False), "bf16": ("high", True)}


def repeated_smiles(number: int) -> list[str]:
    """The bundled drugs, again and again."""
    distinct = read_smiles(None, None, min(number, DISTINCT))
    return [distinct[place % len(distinct)] for place in range(number)]


class Contenders:
    """The steps on a number of molecules, with the same batch in each precision."""

    def __init__(self, number: int, device: str, compiled: GIN | None) -> None:
        """Make the batch and the networks.

        Args:
            number: Number of molecules.
            device: Type of the device.
            compiled: A compiled GIN of ours, if there is one.
        """
        self.smiles, self.device = repeated_smiles(number), device
        self.batch = one_batch(self.smiles).to(device)
        assert self.batch.molecules is not None
        self.gin: nn.Module = built(GIN(HIDDEN, LAYERS)).to(device)
        self.compiled = compiled
        layers = self.gin.get_submodule("layers").children()
        self.dense = nn.Sequential(*(layer.get_submodule("update") for layer in layers))
        self.atoms = torch.randn(len(self.batch.molecules.atom_codes), HIDDEN, device=device, requires_grad=True)

    def step(self, name: str, bfloat16: bool) -> Work:
        """The step of a contender.

        Args:
            name: One of `NAMES`.
            bfloat16: Whether autocast lowers the precision.
        """
        if name == "pyg":
            return training_step(*pyg_gin_network(self.smiles, self.device), bfloat16, self.device)
        if name == "dense":
            return training_step(self.dense, lambda: self.dense(self.atoms), bfloat16, self.device)
        network = self.gin if name == "eager" else self.compiled
        if network is None:
            raise RuntimeError("the layers are not compiled.")
        return training_step(network, lambda: network(self.batch), bfloat16, self.device)


NAMES = ("dense", "eager", "compiled", "pyg")


def compiled_gin(report: Report, section: str) -> GIN | None:
    """A GIN whose layers are compiled, or None if that fails."""
    gin = copy.deepcopy(built(GIN(HIDDEN, LAYERS))).to(report.device)
    assert isinstance(gin, GIN)
    if compile_layers(gin.layers_to_compile(), torch.device(report.device)):
        return gin
    report.add(section, "compiled", "not measured: compiling fails, see the warning above")
    return None


def step(report: Report) -> None:
    """Milliseconds of each contender, and the ratios of speeds that the project aims at."""
    gin = compiled_gin(report, "step")
    for number in sorted(report.sizes, key=lambda size: (size != PROFILED, size)):
        contenders = Contenders(number, report.device, gin)
        for precision, (matmul, bfloat16) in PRECISIONS.items():
            torch.set_float32_matmul_precision(matmul)
            times = {}
            for name in NAMES:
                if name == "compiled" and gin is None:
                    continue
                key = f"{name}_{precision}_{number}"
                with report.guarded("step", f"{key}_ms"):
                    start = time.perf_counter()
                    work = contenders.step(name, bfloat16)
                    work(0)
                    synchronize(report.device)
                    if name == "compiled":
                        report.add("step", f"first_call_{key}_seconds", time.perf_counter() - start)
                    times[name] = median_ms(work, report.device)
                    report.add("step", f"{key}_ms", times[name])
                    # Otherwise the gradients of this contender take memory from the next one.
                    del work
                gc.collect()
            for ours in ("eager", "compiled"):
                for other in ("dense", "pyg"):
                    if ours in times and other in times:
                        ratio = times[other] / times[ours]
                        report.add("step", f"{ours}_times_{other}_{precision}_{number}", ratio)
        if number == PROFILED:
            with report.guarded("step", "fixed_shapes"):
                report.add("step", f"fixed_shapes_bf16_{number}_ms", _fixed_shapes(contenders, report.device))
    report.add("step", "graphs", torch._dynamo.utils.counters["stats"]["unique_graphs"])
    torch.set_float32_matmul_precision("highest")


def _fixed_shapes(contenders: Contenders, device: str) -> float:
    """Milliseconds of the step when compiled for this batch alone, to see what changing sizes cost."""
    fixed = copy.deepcopy(contenders.gin)
    assert isinstance(fixed, GIN)
    for layers in fixed.layers_to_compile():
        layers.compile(dynamic=False)
    return median_ms(training_step(fixed, lambda: fixed(contenders.batch), True, device), device)


def profile(report: Report) -> None:
    """The kernels that take the most time, of ours compiled and eager and of PyG's, in bfloat16."""
    number = PROFILED if PROFILED in report.sizes else report.sizes[0]
    contenders = Contenders(number, report.device, compiled_gin(report, "profile"))
    torch.set_float32_matmul_precision("high")
    for name in ("compiled", "eager", "pyg"):
        with report.guarded("profile", name):
            work = contenders.step(name, bfloat16=True)
            for turn in range(5):
                work(turn)
            rows = kernels(work, report.device)
            report.add("profile", f"{name}_kernel_us", sum(row[1] for row in rows))
            report.add("profile", f"{name}_launches", sum(row[2] for row in rows))
            report.add("profile", name, rows[:PROFILED_ROWS])
            for kernel, microseconds, calls in rows[:PROFILED_ROWS]:
                print(f"  {microseconds:9.1f} us {calls:6.1f} x {kernel[:110]}")
    torch.set_float32_matmul_precision("highest")


def kernels(work: Work, device: str) -> list[tuple[str, float, float]]:
    """Name, microseconds a step and calls a step of each kernel, the longest first."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    activities = [ProfilerActivity.CUDA] if device == "cuda" else [ProfilerActivity.CPU]
    with profiled(activities=activities) as found:
        for turn in range(PROFILED_STEPS):
            work(turn)
        synchronize(device)
    return kernel_rows(found, device, PROFILED_STEPS)


def kernel_rows(found: Any, device: str, steps: int) -> list[tuple[str, float, float]]:
    """Name, microseconds a step and calls a step of each kernel of a profile, the longest first."""
    rows = []
    for event in found.key_averages():
        on_device = "CUDA" in str(event.device_type)
        # A range that names kernels is no kernel.
        if (on_device or device != "cuda") and not getattr(event, "is_user_annotation", False):
            spent = event.self_device_time_total if on_device else event.self_cpu_time_total
            rows.append((str(event.key), spent / steps, event.count / steps))
    return sorted((row for row in rows if row[1] > 0), key=lambda row: -row[1])


def kernel(report: Report) -> None:
    """The sum of messages alone, with other sizes of blocks, and as index_add."""
    number = PROFILED if PROFILED in report.sizes else report.sizes[0]
    batch = one_batch(repeated_smiles(number)).to(report.device)
    molecules = batch.molecules
    assert molecules is not None
    size = len(molecules.atom_codes), len(molecules.source)
    report.add("kernel", "atoms_and_edges", list(size))
    report.add("kernel", "prepare_ms", median_ms(lambda _: messages_of(molecules), report.device))
    from modules.encoders import message_kernel

    chosen = message_kernel._ROWS, message_kernel._FEATURES, message_kernel._WARPS
    others = [(1, 512, 4), (2, 512, 4), (4, 512, 8), (8, 128, 4), (32, 128, 4), (16, 64, 4), (32, 64, 4), (16, 128, 8)]
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float32, "fp32")):
        messages = messages_of(molecules)
        atoms = torch.randn(size[0], HIDDEN, device=report.device, dtype=dtype)
        table = torch.randn(10, HIDDEN, device=report.device)
        for rows, features, warps in (chosen, *others):
            message_kernel._ROWS, message_kernel._FEATURES, message_kernel._WARPS = rows, features, warps
            with report.guarded("kernel", f"{name}_{rows}_{features}_{warps}"):
                ms = median_ms(lambda _: messages(atoms, table), report.device)  # noqa: B023
                report.add("kernel", f"{name}_{rows}_{features}_{warps}_ms", ms)
        message_kernel._ROWS, message_kernel._FEATURES, message_kernel._WARPS = chosen
        copied = median_ms(lambda _: atoms.clone(), report.device)  # noqa: B023
        report.add("kernel", f"{name}_copy_ms", copied)
        added = median_ms(lambda _: index_added(molecules, atoms), report.device)  # noqa: B023
        report.add("kernel", f"{name}_index_add_ms", added)


def messages_of(molecules: MoleculeBatch) -> Callable[[Tensor, Tensor], Tensor]:
    """The sum over the edges of a batch."""
    edges = molecules.source, molecules.target, molecules.bond_codes
    return MessageSum(*edges, len(molecules.atom_codes), 10)


def index_added(molecules: MoleculeBatch, atoms: Tensor) -> Tensor:
    """The sum of neighbors by `index_add`."""
    return atoms.index_add(0, molecules.target, atoms[molecules.source])
