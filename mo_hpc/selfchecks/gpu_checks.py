"""GPUs: seen, with a driver for this torch, right in what they compute, and able to train."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from mo_hpc.executors.checkup.finding import Finding, Group
from mo_hpc.selfchecks.children import alone, run_command_line
from mo_hpc.selfchecks.small_training import train_three_steps
from mo_hpc.selfchecks.step_checks import loss_finding

DRIVER_DEVICE = Path("/dev/nvidiactl")
"""There, and visible in a container with --nv, where the NVIDIA driver is loaded."""

_DRIVER_VERSION = Path("/proc/driver/nvidia/version")
_N = 512
# Of float32 with float32 sums; with TF32 it would be 1e-3.
_MATMUL_ERROR = 1e-5
_SAME_LOSS = 1e-6


def n_gpus() -> int:
    """The GPUs that torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def gpu_findings(group: Group, folder: Path) -> Iterator[Finding]:
    """What of the GPUs is seen from here.

    Args:
        group: The heading.
        folder: For the demo's data and the training's files.
    """
    if not n_gpus():
        yield _why_none(group)
        return
    names = [torch.cuda.get_device_properties(number) for number in range(n_gpus())]
    listed = (f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in names)
    yield group.ok("seen", "\n".join(listed))
    yield driver_finding(group, _driver(), _cuda_of_driver(), str(torch.version.cuda))
    for number in range(n_gpus()):
        yield _matmul(group, torch.device("cuda", number))
    yield from _steps(group, folder)
    yield _nccl(group)


def _why_none(group: Group) -> Finding:
    if not DRIVER_DEVICE.exists():
        return group.not_checked(
            "seen",
            f"no GPU here: there is no {DRIVER_DEVICE}",
            "On a node with GPUs start the container with --nv.",
        )
    if torch.version.cuda is None:
        return group.warning(
            "seen",
            f"the node has GPUs, and torch {torch.__version__} is a build for the CPU",
            "Use an image, or install a torch, for CUDA; with this one tasks train on the CPU.",
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        why = "torch finds none that it may use"
    except RuntimeError as error:
        why = str(error).splitlines()[0]
    return group.problem(
        "seen",
        f"the node has GPUs, and torch for CUDA {torch.version.cuda} cannot use them: {why}",
        "Start the container with --nv, ask the scheduler for a GPU, or use an image for a CUDA "
        "that the driver supports ('nvidia-smi' shows it).",
    )


def driver_finding(
    group: Group, driver: str, cuda_of_driver: tuple[int, int] | None, cuda_of_torch: str
) -> Finding:
    """Whether the driver is as new as what torch was built for."""
    if cuda_of_driver is None:
        return group.not_checked("driver", f"{driver}; libcuda does not tell its version")
    newest = ".".join(map(str, cuda_of_driver))
    found = f"{driver} for CUDA up to {newest}; torch is built for CUDA {cuda_of_torch}"
    major, minor = (int(part) for part in cuda_of_torch.split(".")[:2])
    if cuda_of_driver >= (major, minor):
        return group.ok("driver", found)
    return group.warning(
        "driver",
        found,
        "Within one major version an older driver runs compiled kernels, and refuses those that "
        "are compiled at run time. Use an image for the driver's CUDA, or a newer driver.",
    )


def _driver() -> str:
    try:
        text = _DRIVER_VERSION.read_text()
    except OSError:
        return "of unknown version"
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", text)
    return found[1] if found else "of unknown version"


def _cuda_of_driver() -> tuple[int, int] | None:
    """The newest CUDA that the driver supports, as its library says."""
    number = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return None
    return None if failed else (number.value // 1000, number.value % 1000 // 10)


def _matmul(group: Group, device: torch.device) -> Finding:
    """A product in float32 against the same in double precision on the CPU."""
    name = f"matmul on {device.index}"
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_N, _N, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    found = (left.to(device) @ right.to(device)).cpu().double()
    error = float(torch.linalg.norm(found - exact) / torch.linalg.norm(exact))
    if error < _MATMUL_ERROR:
        return group.ok(name, f"as on the CPU: relative error {error:.0e}")
    return group.problem(
        name,
        f"relative error {error:.0e} against the CPU, not below {_MATMUL_ERROR:.0e}",
        "Unset NVIDIA_TF32_OVERRIDE; if it stays, the GPU or its driver computes wrongly.",
    )


def _steps(group: Group, folder: Path) -> Iterator[Finding]:
    cache = folder / "cache"
    here = train_three_steps(cache, folder / "on_gpu", torch.device("cuda", 0)).losses
    there = train_three_steps(cache, folder / "to_compare", torch.device("cpu")).losses
    yield loss_finding(group, here)
    difference = max(abs(gpu - cpu) / abs(cpu) for gpu, cpu in zip(here, there, strict=True))
    found = f"losses differ from the CPU's by {difference:.0e}"
    if difference < _SAME_LOSS:
        yield group.ok("GPU and CPU", found)
    else:
        yield group.problem(
            "GPU and CPU", found, "Do not trust trainings here; try another driver or image."
        )


def _nccl(group: Group) -> Finding:
    """Starts NCCL on one GPU, which loads its library and its plugins."""
    version = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    command = [sys.executable, "-m", "mo_hpc.selfchecks.nccl_program"]
    ended = run_command_line(command, alone())
    if ended.code == 0:
        return group.ok("NCCL", f"{version}, starts and reduces on one GPU")
    return group.problem(
        "NCCL",
        f"{version} does not start; {ended.why}",
        "Run 'NCCL_DEBUG=INFO python -m mo_hpc.selfchecks.nccl_program' and read what it says.",
    )
