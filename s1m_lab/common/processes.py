"""Run jobs in processes of this machine, or on Dask workers behind a scheduler.

    for result in processes.run(cut_shard, jobs, workers=4): ...

A job is plain data, and running it twice does no harm. A worker has one job at a time, so that a
job that kills its worker disturbs no other. A job whose worker died is tried again; it must find
out itself what killed the worker. Dask's workers may join, leave or die.
"""

import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import NamedTuple

DEATHS = 1000  # most workers that one job may kill


class Workers(NamedTuple):
    """Where jobs run. A worker is an executor that is given one job at a time."""

    number: Callable[[], int]  # how many there are now
    start: Callable[[], futures.Executor]  # another one
    death: type[Exception]  # what a job raises that has killed its worker


def run(make: Callable, jobs: Iterable, workers: int, scheduler: str = "") -> Iterator:
    """Yield `make(job)` for each job, in the order in which they end.

    Args:
        workers: processes of this machine. One is this process.
        scheduler: address of a Dask scheduler, such as `tcp://10.0.0.1:8786`, in their place.

    Raises what `make` raises, and `RuntimeError` for a job that has killed `DEATHS` workers.
    """
    if workers <= 1 and not scheduler:
        yield from map(make, jobs)
        return
    waiting, running, idle = iter(jobs), {}, list[futures.Executor]()
    with _dask(scheduler) if scheduler else _processes(workers) as there:

        def submit(job, deaths: int = 0) -> None:
            worker = idle.pop() if idle else there.start()
            with _hidden_main():
                running[worker.submit(make, job)] = job, deaths, worker

        while True:
            for job in itertools.islice(waiting, max(0, there.number() - len(running))):
                submit(job)
            if not running:
                break
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                job, deaths, worker = running.pop(future)
                try:
                    result = future.result()
                except there.death:
                    if deaths == DEATHS:
                        raise RuntimeError("the workers of a job die again and again") from None
                    submit(job, deaths + 1)
                    continue
                idle.append(worker)
                yield result


@contextmanager
def _processes(workers: int) -> Iterator[Workers]:
    """Processes of this machine, each with one thread; they end with the block or this process."""
    spawn, started = multiprocessing.get_context("spawn"), list[futures.Executor]()
    watched, end = spawn.Pipe(duplex=False)

    def start() -> futures.Executor:
        begin: dict = {"initializer": _begin_process, "initargs": [watched]}
        started.append(futures.ProcessPoolExecutor(1, mp_context=spawn, **begin))
        return started[-1]

    try:
        yield Workers(lambda: workers, start, BrokenProcessPool)
    finally:
        end.close()
        for each in started:
            each.shutdown()


def _begin_process(watched) -> None:
    """Use one thread, and end this process when the other end of the pipe `watched` is closed."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

    def wait() -> None:
        with suppress(OSError):
            watched.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _dask(scheduler: str) -> Iterator[Workers]:
    from distributed import Client
    from distributed.scheduler import KilledWorker

    with Client(scheduler) as client:
        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        if not client.nthreads():
            print(f"{scheduler} has no workers; waiting for one …", flush=True)
            client.wait_for_workers(1)

        def number() -> int:  # at least one, since dead workers are being replaced
            return max(1, len(client.nthreads()))

        yield Workers(number, lambda: client.get_executor(pure=False), KilledWorker)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned processes from running the caller's main module again.

    So a script needs no `if __name__ == "__main__"`, and no process starts a notebook's kernel.
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
