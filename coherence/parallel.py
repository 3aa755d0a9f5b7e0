"""Independent tasks on all cores of this machine, or on the workers of a running Dask cluster; the results in order.

Here joblib does the work, and `joblib.parallel_config` chooses another backend as usual. On a cluster the tasks are submitted to
its scheduler directly: joblib's Dask backend computes in this process where the cluster has one thread, and waits for ever where
all workers are gone. A worker that dies has its tasks done by another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from coherence.errors import ClusterError, InputError, MissingExtraError
from coherence.progress import Progress, silent

ANSWER = 10  # seconds a scheduler has to answer, and workers to appear


def each(
    task: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int = -1,
    cluster: Any = None,
    progress: Progress = silent,
    what: str = "tasks",
) -> list[Any]:
    """[task(*arguments[0]), task(*arguments[1]), ...].

    Parameters
    ----------
    task : callable
    arguments : sequence of tuples
    n_jobs : int
        Processes on this machine; -1: one a core; 1: none but this one.
    cluster : str or distributed.Client, optional
        Address of a running Dask scheduler ("tcp://10.0.0.1:8786"), or a client of one. The workers need this library.
    progress : callable
        Told after each result.
    what : str
        What is being done, for `progress`.

    Raises
    ------
    ClusterError
        No scheduler answers at the address within 10 s, or it has no workers for that long; a process of this machine was killed.
    MissingExtraError
        A cluster without the extra `distributed`.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs = {n_jobs!r}; give a number of processes, or -1 for one a core")
    results: list[Any] = [None] * len(arguments)
    done = _here(n_jobs, task, arguments) if cluster is None else _on_cluster(cluster, task, arguments)
    for count, (i, result) in enumerate(done):
        results[i] = result
        progress(what, (count + 1) / len(arguments))
    return results


def _numbered(task: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> tuple[int, Any]:
    return number, task(*arguments)


def _here(n_jobs: int, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    """Number and result of each task as it is done by processes of this machine, or by the backend that joblib is set to."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    pool = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    try:
        yield from pool(joblib.delayed(_numbered)(task, i, given) for i, given in enumerate(arguments))
    except TerminatedWorkerError:
        raise ClusterError("a process of this machine was killed (out of memory?); try again with fewer, n_jobs=") from None


def _on_cluster(cluster: Any, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    """Number and result of each task as it is done by the workers of a cluster."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise MissingExtraError("a Dask cluster needs the extra 'distributed'; pip install 'coherence[distributed]'") from None
    with ExitStack() as stack:
        client = cluster
        if isinstance(cluster, str):
            try:
                client = stack.enter_context(Client(cluster, timeout=ANSWER, set_as_default=False))
            except (OSError, ValueError, TimeoutError) as error:
                raise ClusterError(
                    f"no Dask scheduler answers at {cluster!r} within {ANSWER} s ({type(error).__name__}); "
                    "start one (dask scheduler), or leave cluster out to use this machine"
                ) from None
        elif not isinstance(cluster, Client):
            raise InputError(f"cluster is a {type(cluster).__name__}; give the address of a Dask scheduler or a distributed.Client")
        stack.enter_context(client.as_current())
        _wait_for_workers(client)
        waiting = {client.submit(_numbered, task, i, given, pure=False) for i, given in enumerate(arguments)}
        stack.callback(lambda: client.cancel(list(waiting)))  # what is left after an error or Ctrl-C
        while waiting:
            try:
                for future in as_completed(list(waiting), timeout=ANSWER):
                    result = future.result(timeout=ANSWER)  # it may have gone with its worker
                    waiting.discard(future)
                    yield result
            except TimeoutError:
                _wait_for_workers(client)


def _wait_for_workers(client: Any) -> None:
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError:
        where = client.scheduler.address
        raise ClusterError(f"the Dask scheduler at {where!r} has no workers; start some (dask worker {where})") from None
