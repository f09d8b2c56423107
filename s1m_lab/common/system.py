"""What this machine is and offers: its parts, cores, bf16, and how its C library keeps memory.

workers = system.cores()
system.keep_freed_memory()  # before a training
"""

import ctypes
import os
import platform
import re
import shutil
import subprocess
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
