"""Run jobs on Dask workers, here or behind a scheduler; little work runs without Dask.

    for result in cluster.run(cut_shard, jobs, workers=4): ...

A job is plain data, and running it twice does no harm. A worker process has one job at a time, so
that a job that kills its worker disturbs no other. Workers may join, leave or die. A job whose
worker died is tried again; it must find out itself what killed the worker.
"""

import itertools
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

DEATHS = 1000  # most workers that one job may kill
DEADLY = "the workers of a job die again and again"


def run(
    make: Callable, jobs: Iterable, workers: int, scheduler: str = "", little: bool = False
) -> Iterator:
    """Yield `make(job)` for each job, in the order in which they end.

    Args:
        workers: processes. One, without a scheduler, is this process.
        scheduler: address of a Dask scheduler, such as `tcp://10.0.0.1:8786`.
        little: the work takes one core 10 s or less. It gets one process in place of `workers`,
            since Dask takes 5 s to start and to end.

    Raises what `make` raises, and `RuntimeError` for a job that has killed `DEATHS` workers.
    """
    if scheduler or (workers > 1 and not little):
        yield from _dask(make, jobs, workers, scheduler)
    else:
        yield from map(make, jobs) if workers <= 1 else _one_process(make, jobs)


def _one_process(make: Callable, jobs: Iterable) -> Iterator:
    """The jobs in turn, in one process, which is replaced when a job kills it."""
    spawn = multiprocessing.get_context("spawn")
    start = partial(ProcessPoolExecutor, 1, mp_context=spawn, initializer=_end_with_parent)
    pool = start()
    try:
        for job in jobs:
            for _ in range(DEATHS):
                try:
                    with _hidden_main():
                        future = pool.submit(make, job)
                    yield future.result()
                    break
                except BrokenProcessPool:
                    pool = start()
            else:
                raise RuntimeError(DEADLY)
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this process when its parent is killed, which an executor's process would survive."""

    def wait(parent) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, args=[multiprocessing.parent_process()], daemon=True).start()


def _dask(make: Callable, jobs: Iterable, workers: int, scheduler: str) -> Iterator:
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker

    with ExitStack() as stack:
        address: str | LocalCluster = scheduler
        if not scheduler:
            stack.enter_context(_hidden_main())
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",  # any free port
                silence_logs=logging.CRITICAL,
            )
            address = stack.enter_context(cluster)
        client = stack.enter_context(Client(address))
        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        if not client.nthreads():
            print(f"{scheduler} has no workers; waiting for one …", flush=True)
            client.wait_for_workers(1)
        waiting, running, results = iter(jobs), {}, as_completed()

        def submit(job, deaths: int = 0) -> None:
            future = client.submit(make, job, pure=False)
            running[future.key] = job, deaths
            results.add(future)

        while True:
            # a job for each worker; at least one, since dead workers are being replaced
            free = max(1, len(client.nthreads())) - len(running)
            for job in itertools.islice(waiting, max(0, free)):
                submit(job)
            if not running:
                break
            future = next(results)
            job, deaths = running.pop(future.key)
            try:
                yield future.result()
            except KilledWorker:
                if deaths == DEATHS:
                    raise RuntimeError(DEADLY) from None
                submit(job, deaths + 1)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned workers from running the caller's main module again.

    So a script needs no `if __name__ == "__main__"`, and no worker starts a notebook's kernel.
    """
    main = sys.modules["__main__"]
    saved = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    for name in saved:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in saved.items():
            setattr(main, name, value)
