"""Independent tasks on all cores of this machine, or on the workers of a running Dask cluster; the results in order.

joblib does the work: `joblib.parallel_config` chooses another backend as usual. A worker that dies has its tasks done by another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
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
        No scheduler answers at the address within 10 s, or it has no workers.
    MissingExtraError
        A cluster without the extra `distributed`.
    """
    import joblib

    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs = {n_jobs!r}; give a number of processes, or -1 for one a core")
    results: list[Any] = [None] * len(arguments)
    with _workers(cluster):
        pool = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        for done, (i, result) in enumerate(_started(pool, joblib.delayed(_numbered), task, arguments)):
            results[i] = result
            progress(what, (done + 1) / len(arguments))
    return results


def _numbered(task: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> tuple[int, Any]:
    return number, task(*arguments)


def _started(pool: Any, delayed: Any, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
    return pool(delayed(task, i, given) for i, given in enumerate(arguments))


def _workers(cluster: Any) -> AbstractContextManager[Any]:
    """The backend: this machine, or the workers of a cluster."""
    if cluster is None:
        return nullcontext()
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("a Dask cluster needs the extra 'distributed'; pip install 'coherence[distributed]'") from None
    import joblib

    stack = ExitStack()
    client = cluster
    if isinstance(cluster, str):
        try:
            client = stack.enter_context(Client(cluster, timeout=ANSWER, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {cluster!r} within {ANSWER} s ({type(error).__name__}); start one (dask scheduler), "
                "or leave cluster out to use this machine"
            ) from None
    elif not isinstance(cluster, Client):
        raise InputError(f"cluster is a {type(cluster).__name__}; give the address of a Dask scheduler or a distributed.Client")
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError:
        stack.close()
        where = client.scheduler.address
        raise ClusterError(f"the Dask scheduler at {where!r} has no workers; start some (dask worker {where})") from None
    stack.enter_context(joblib.parallel_config(backend="dask", client=client))
    return stack
