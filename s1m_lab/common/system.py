"""What this machine is and offers: its parts, cores, bf16, and how its C library keeps memory.

workers = system.cores()
system.keep_freed_memory()  # before a training
"""

import ctypes
import os
import platform
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


def cores() -> int:
    """How many cores this process may use; trainer, loaders and workers share them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """The processor, its cores and the GPUs: `AMD EPYC, 2 cores`."""
    model = re.search(r"^model name\s*: (.+)$", _cpuinfo(), re.MULTILINE)
    parts = [model[1] if model else platform.processor() or platform.machine()]
    parts.append(f"{cores()} cores")
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        parts += subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return ", ".join(" ".join(part.split()) for part in parts)


def _cpuinfo() -> str:
    file = Path("/proc/cpuinfo")
    return file.read_text() if file.is_file() else ""


def has_bf16(device: str = "cpu") -> bool:
    """Whether bf16 is fast on `device`: on GPUs since Ampere, on CPUs with bf16 instructions."""
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return "avx512_bf16" in _cpuinfo() or "amx_bf16" in _cpuinfo()


def free_memory(device: str = "cpu") -> int:
    """Bytes that this process may still take, of the GPU or of main memory; 0 where not known.

    Main memory is divided by the processes that `torchrun` started on this machine. The limit of a
    container or a batch job counts (cgroup v2).
    """
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    meminfo, group = Path("/proc/meminfo"), Path("/proc/self/cgroup")
    if not meminfo.is_file():
        return 0
    found = [_number(meminfo, "MemAvailable:") * 1024]
    own = re.search(r"^0::/(.*)$", group.read_text() if group.is_file() else "", re.MULTILINE)
    folder = Path("/sys/fs/cgroup", own[1] if own else "")
    for each in (folder, *folder.parents):
        limit = each / "memory.max"
        if limit.is_file() and limit.read_text().strip().isdigit():
            used = int((each / "memory.current").read_text())
            cached = _number(each / "memory.stat", "inactive_file")  # is given back when needed
            found.append(int(limit.read_text()) - used + cached)
    return max(0, min(found)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _number(file: Path, name: str) -> int:
    """The number behind a name in a file of `/proc` or `/sys`."""
    return int(file.read_text().partition(name)[2].split()[0])


@cache
def measure_peak(device: str, precision: str) -> float:
    """The FLOP/s that this machine reaches now: the best of a matrix product and a convolution.

    Both are measured, since on a CPU they are different libraries and either may be the faster.
    """
    import torch
    import torch.nn.functional as F

    n, c, h = (8192, 512, 128) if device == "cuda" else (1536, 128, 64)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator(device).manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device=device).to(dtype) - 0.5

    a, b = numbers(n, n), numbers(n, n)
    x, kernel = (
        numbers(*shape).contiguous(memory_format=torch.channels_last)
        for shape in ((8, c, h, h), (c, c, 3, 3))
    )
    works = [
        (2 * n**3, lambda: a @ b),
        (2 * 9 * c * c * 8 * h * h, lambda: F.conv2d(x, kernel, padding=1)),
    ]
    speeds = []
    with torch.inference_mode():
        for flops, work in works * 4:  # the first of each is slower
            if device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            speeds.append(flops / (time.perf_counter() - start))
    return max(speeds)


@contextmanager
def noting_sigterm() -> Iterator[list]:
    """A list that is no longer empty once this process was sent SIGTERM, within the block.

    Only the main thread of a process can note signals; in others the list stays empty.
    """
    sent: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield sent
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sent.append(number))
    try:
        yield sent
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory instead of returning every large block to the system.

    A training step frees and requests the same blocks again. Returning them costs a third of the
    step. Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, 1 << 30)
    mallopt(top_pad, 64 << 20)
