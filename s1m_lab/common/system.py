"""TODO common/system."""

import ctypes
import os
from pathlib import Path


def cores() -> int:
    """How many cores this process may use: the budget that trainer, loaders and workers share."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bf16(device: str = "cpu") -> bool:
    """Whether bf16 pays on this device: GPUs since Ampere, CPUs whose flags name bf16 products."""
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of returning every large block to the system.

    A training step frees and asks for the same blocks again; returning them costs a third of the
    step. Does nothing on other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    for option, value in ((-3, 1 << 30), (-1, 1 << 30), (-2, 64 << 20)):  # mmap, trim, top pad
        mallopt(option, value)
