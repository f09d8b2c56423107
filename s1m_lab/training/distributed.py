"""One process or many: the ranks of a training, their device, precision and threads.

    with process_group() as world:     # all processes that `torchrun` started, or this one alone
        barrier()                      # waits for all of them

In a single process, `barrier`, `all_reduce` and `all_gather` cost nothing and change nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

# As it is imported, its functions take the current process group for a default argument. Imported
# later (DistributedDataParallel does), it would keep a destroyed group and its threads alive, which
# can abort the process at its end.
import torch.distributed.nn
from torch import Tensor

from s1m_lab.common import system
from s1m_lab.data import catalog
from s1m_lab.training import runs, torchvision_models


class World(NamedTuple):
    rank: int
    ranks: int
    device: torch.device


def alone() -> World:
    """This process as the only one, on the GPU that torchrun assigned, or the first, or the CPU."""
    if not torch.cuda.is_available():
        return World(0, 1, torch.device("cpu"))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return World(0, 1, device)


@contextmanager
def process_group() -> Iterator[World]:
    """This process among those that `torchrun` started; without torchrun, alone."""
    world = alone()
    if "RANK" not in os.environ:
        yield world
        return
    backend = "nccl" if world.device.type == "cuda" else "gloo"
    long = timedelta(days=1)  # scoring a large set takes long, and so does its ingest by rank 0
    store, rank, ranks = next(dist.rendezvous("env://", timeout=long))
    store.set_timeout(long)
    if os.environ.get("LOCAL_WORLD_SIZE") == str(ranks):
        # After a restart torchrun's store still holds the addresses of the processes before it.
        # Machines count their restarts apart (pytorch/pytorch#135712), so this is for one alone.
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=long)
    try:
        yield World(*rank_and_ranks(), world.device)
    finally:
        dist.destroy_process_group()


def rank_and_ranks() -> tuple[int, int]:
    """The rank of this process, and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def replicate(net: torch.nn.Module, world: World) -> torch.nn.Module:
    """The network as this process trains it: all average their gradients.

    Batch norm counts the global batch, which PyTorch does on GPUs alone. Raises ValueError for such
    a network on several processes without.
    """
    if world.ranks == 1:
        return net
    if any(isinstance(layer, torch.nn.BatchNorm3d) for layer in net.modules()):
        if world.device.type == "cpu":
            raise ValueError("networks with batch norm train on one process, or on GPUs")
        net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    return torch.nn.parallel.DistributedDataParallel(net, broadcast_buffers=False)  # all are equal


def barrier() -> None:
    """Wait until every process has arrived here."""
    if dist.is_initialized():
        dist.barrier()


def all_reduce(x: Tensor) -> Tensor:
    """Sum `x` over the processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x


def all_gather(x: Tensor) -> Tensor:
    """Concatenate the `x` of every process (B×…, of one shape) by rank: (ranks·B)×…"""
    ranks = rank_and_ranks()[1]
    if ranks == 1:
        return x
    each = [torch.empty_like(x) for _ in range(ranks)]
    dist.all_gather(each, x)
    return torch.cat(each)


def begin_or_resume(
    run: runs.Run, settings: dict, folder: Path, world: World, precision: str = "auto"
) -> dict:
    """Begin a run on a dataset or resume it, and set up this process; returns the machine's facts.

    The facts follow from rules, never from timing: bf16 where it is fast and right, and the cores
    divided by the processes as threads. A `precision` in the settings overrides the argument. A
    resumed run keeps its precision and threads, so that it ends in the same bits. Other changes of
    the machine are printed.
    """
    precision = settings.get("precision", precision)
    # torch 2.14: gradients of 3-D convolutions in bf16 are nan on a CPU, now and then
    fp32_only = world.device.type == "cpu" and settings["model"] in torchvision_models.NAMES
    if precision == "auto":
        bf16 = system.has_bf16(world.device.type) and not fp32_only
        precision = "bf16" if bf16 else "fp32"
    if precision == "bf16" and fp32_only:
        raise ValueError(f"precision bf16: {settings['model']} trains on a CPU in fp32 alone")
    now: dict = {
        "precision": precision,
        "threads": max(1, system.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))),
        "ranks": world.ranks,
        "device": device_name(world.device),
        "torch": torch.__version__,
    }
    if world.rank == 0:
        runs.begin(run.name, settings, now, catalog.load_catalog(folder).attrs["classes"])
    barrier()
    begun = run.config["machine"]
    if run.finished:
        return begun
    changed = [key for key in ("ranks", "device", "torch") if begun[key] != now[key]]
    if changed and world.rank == 0:
        there = ", ".join(f"{key} {begun[key]} (now {now[key]})" for key in changed)
        there = f"{run.name} was begun with {there}"
        print(f"{there}: its last bits may differ from an undisturbed run's")
    kept = ("precision",) if "ranks" in changed else ("precision", "threads")
    machine = now | {key: begun[key] for key in kept}
    set_up(machine["threads"], settings.get("deterministic", False))
    return machine


def device_name(device: torch.device) -> str:
    """The name of a GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def set_up(threads: int, deterministic: bool) -> None:
    """Threads and exactness of this process; `deterministic` is for GPUs, a CPU always is."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32
    torch.use_deterministic_algorithms(deterministic)
