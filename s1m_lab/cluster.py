"""Jobs over Dask workers, here or behind a scheduler.

    for result in cluster.run(make, jobs, workers=4, blame=without_killer): ...

A job is plain data and `make(job)` a function of it that can be repeated. As many jobs are under
way as there are worker threads; workers may join, leave or die meanwhile. When a job has killed its
workers, `blame(job)` gives the job to try instead.
"""

import itertools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager


def run(
    make: Callable, jobs: Iterable[dict], workers: int, blame: Callable, scheduler: str = ""
) -> Iterator:
    """What `make` returns of each job, in the order in which they end.

    One worker and no `scheduler` (an address such as `tcp://10.0.0.1:8786`): in this process.
    """
    if workers <= 1 and not scheduler:
        yield from map(make, jobs)
        return
    from distributed import Client, as_completed
    from distributed.scheduler import KilledWorker

    with ExitStack() as stack:
        address = scheduler or stack.enter_context(_workers(workers))
        client = stack.enter_context(Client(address))
        print(f"Dask's dashboard: {client.dashboard_link}", flush=True)
        if not client.nthreads():
            print(f"{scheduler} has no workers; waiting for one …", flush=True)
            client.wait_for_workers(1)
        waiting, running, results = iter(jobs), {}, as_completed()

        def submit(job: dict) -> None:
            future = client.submit(make, job, pure=False)
            running[future.key] = job
            results.add(future)

        # one job a thread at a time: who dies, dies of its own job
        for job in itertools.islice(waiting, _threads(client)):
            submit(job)
        for future in results:
            job = running.pop(future.key)
            try:
                yield future.result()
            except KilledWorker:
                submit(blame(job))
            for job in itertools.islice(waiting, max(0, _threads(client) - len(running))):
                submit(job)


def _threads(client) -> int:
    """How many jobs fit now; one, while dead workers are being replaced."""
    return max(1, sum(client.nthreads().values()))


@contextmanager
def _workers(n: int) -> Iterator:
    """A scheduler and `n` processes of one thread each on this machine."""
    import dask
    from distributed import LocalCluster

    with (
        _hidden_main(),
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # any free port
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned workers from running the caller's main module again: a script needs no
    `if __name__ == "__main__"`, and a notebook's kernel is not started in every worker."""
    main = sys.modules["__main__"]
    saved = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    for name in saved:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in saved.items():
            setattr(main, name, value)
