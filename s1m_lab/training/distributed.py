"""One process or many: who takes part in a training, on what device, with how many threads.

    with processes.joined() as world:        # all that `torchrun` started, or this one alone
        processes.meet()                     # nobody goes on before all are here

Alone, `meet`, `total` and `gathered` cost nothing and change nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist

# As it is imported, its functions take the current process group for a default argument. Imported
# later (DistributedDataParallel does), it would keep a destroyed group and its threads alive, which
# can abort the process at its end.
import torch.distributed.nn
from torch import Tensor

from s1m_lab.common import system


class World(NamedTuple):
    rank: int
    ranks: int
    device: torch.device


@contextmanager
def joined() -> Iterator[World]:
    """This process among those `torchrun` started; alone without it."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ:
        yield World(0, 1, device)
        return
    # A first process that scores a large test set keeps the others waiting for long.
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=1))
    try:
        yield World(*place(), device)
    finally:
        dist.destroy_process_group()


def place() -> tuple[int, int]:
    """The rank of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def meet() -> None:
    """Wait for all."""
    if dist.is_initialized():
        dist.barrier()


def total(x: Tensor) -> Tensor:
    """The sum of what every process has, in place of `x`."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


def gathered(x: Tensor) -> Tensor:
    """What every process has (B×…, of one shape), by rank: (ranks·B)×…"""
    ranks = place()[1]
    if ranks == 1:
        return x
    each = [torch.empty_like(x) for _ in range(ranks)]
    dist.all_gather(each, x)
    return torch.cat(each)


def resolved(precision: str, world: World) -> dict:
    """What is decided once, by rule and never by timing, and kept by a run: `precision` ("auto":
    bf16 where it pays), `threads` of each process, `ranks`, `device` and `torch`."""
    if precision == "auto":
        precision = "bf16" if system.has_bf16(world.device.type) else "fp32"
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return {
        "precision": precision,
        "threads": max(1, system.cores() // beside),
        "ranks": world.ranks,
        "device": torch.cuda.get_device_name() if world.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


def tell_changes(name: str, kept: dict, now: dict) -> None:
    """Say what of the machine that a run was begun on is other now."""
    other = [key for key in ("ranks", "device", "torch") if kept[key] != now[key]]
    if other:
        there = ", ".join(f"{key} {kept[key]} (now {now[key]})" for key in other)
        print(f"{name} was begun with {there}: its last bits may differ from the whole's")


def set_up(threads: int, deterministic: bool) -> None:
    """Threads and exactness of this process; `deterministic` is for GPUs, a CPU always is."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32
    torch.use_deterministic_algorithms(deterministic)
