"""Balanced truncation of one large node against the best peers at hand: `python tests/benchmarks/reduction.py`.

The aggregate of n machines g = 1/(m s + d + sum of n different turbines), of order n + 1, without a weight, to order 3. One BLAS
thread; peers get their matrices made beforehand, ours makes its own. Every run has a process of its own that is ended after ten
minutes; the jobs take turns, medians of five where one takes less than ten seconds, else once. Then ours alone over n, weighted,
with the peak memory of a process that does nothing else.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import multiprocessing
import resource
import subprocess
import sys
import time
import warnings
from statistics import median

import numpy as np
import pandas as pd
import scipy.sparse as sp

from coherence.numerics.arrow import Arrow
from coherence.numerics.balancing import balance
from coherence.numerics.low_rank import compress
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization

ORDER, LIMIT, REPEATS, SHORT = 3, 600.0, 5, 10.0
WEIGHTS = {False: Rational((1.0, 0.03), (1.0, 1e-4)), True: Rational((1.0, 0.08), (1.0, 1e-4))}


def machines(n, seed=0):
    """Damping and inertia of n machines of the five-generator case's size, and their turbines as a bank."""
    rng = np.random.default_rng(seed)
    tau = np.exp(rng.uniform(np.log(0.5), np.log(20), n))
    return [0.00214 * n, 0.01366 * n], [(-1 / tau[:, None, None], 1 / tau[:, None], rng.uniform(0.019, 0.026, (n, 1)))]


def matrices(n):
    """The same system as a sparse arrow (A, b, c): speed first, then the turbines' powers."""
    (d, m), ((a, b, c),) = machines(n)
    full = sp.lil_array((n + 1, n + 1))
    full[0, 0], full[0, 1:], full[1:, 0] = -d / m, -c[:, 0] / m, b[:, 0]
    full.setdiag(np.append(-d / m, a[:, 0, 0]))
    unit = np.eye(n + 1, 1)
    return sp.csc_array(full), unit / m, unit.T


def ours(n):
    def job():
        system = compress(Arrow.from_banks(*machines(n), closed_loop=True)).system
        return tuple(balance(system).truncate(ORDER))

    return job


def with_slycot(n):
    import slycot

    a, b, c = (np.asfortranarray(x.toarray() if sp.issparse(x) else x) for x in matrices(n))

    def job():
        _, ar, br, cr, _ = slycot.ab09ad("C", "B", "N", n + 1, 1, 1, a, b, c, nr=ORDER)
        return ar, br, cr, np.zeros((1, 1))

    return job


def with_control(n):
    import control

    a, b, c = matrices(n)
    system = control.StateSpace(a.toarray(), b, c, 0)

    def job():
        found = control.balred(system, ORDER, method="truncate")
        return found.A, found.B, found.C, found.D

    return job


def with_pymor(n, *, sparse):
    from pymor.core.defaults import set_defaults
    from pymor.core.logger import set_log_levels
    from pymor.models.iosys import LTIModel
    from pymor.reductors.bt import BTReductor

    set_log_levels({"pymor": "ERROR"})
    least = "pymor.solvers.matrix_equations.utils.mat_eqn_sparse_min_size.value"
    a, b, c = matrices(n)

    def job():
        set_defaults({least: 0 if sparse else 10**9})
        model = LTIModel.from_matrices(a if sparse else a.toarray(), b, c)
        found = BTReductor(model).reduce(ORDER)
        ar, br, cr, dr, er = found.to_abcde_matrices()
        er = np.eye(len(ar)) if er is None else er
        return np.linalg.solve(er, ar), np.linalg.solve(er, br), cr, np.zeros((1, 1)) if dr is None else dr

    return job


def in_a_process(job):
    """Seconds and result of one run in a process of its own; None after the limit, the error's text where it fails."""

    def run(end):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            try:
                result = job()
            except Exception as error:  # what a peer cannot do is a line of the table
                result = f"{type(error).__name__}: {error}"
            end.send((time.perf_counter() - start, result))

    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(there,))
    process.start()
    try:
        there.close()
        return here.recv() if here.poll(LIMIT) else (LIMIT, "not done")
    except EOFError:
        return np.nan, "the process died"
    finally:
        process.kill()
        process.join()


def against_peers(n):
    makers = {
        "ours": ours,
        "slycot ab09ad": with_slycot,
        "python-control balred": with_control,
        "pyMOR BTReductor, dense": lambda n: with_pymor(n, sparse=False),
        "pyMOR BTReductor, sparse": lambda n: with_pymor(n, sparse=True),
    }
    jobs, times, results, failures = {}, {}, {}, {}
    for name, make in makers.items():
        try:
            jobs[name] = make(n)
        except ImportError as error:
            failures[name] = f"not installed ({error.name})"
    for repeat in range(REPEATS):
        for name, job in jobs.items():
            if repeat and (name in failures or times[name][0] >= SHORT):
                continue
            seconds, result = in_a_process(job)
            times.setdefault(name, []).append(seconds)
            if isinstance(result, str):
                failures[name] = result
            else:
                results[name] = Realization(*result)
    s = 1j * np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 2000)])
    exact = Arrow.from_banks(*machines(n), closed_loop=True)(s)
    values = {name: found(s)[:, 0, 0] for name, found in results.items()}
    rows = []
    for name in makers:
        row = {"order": n + 1, "method": name, "seconds": median(times[name]) if name in times else np.nan}
        row["runs"] = len(times.get(name, []))
        if name in values:
            row["error of order 3"] = np.abs(values[name] - exact).max() / np.abs(exact).max()
            row["from ours"] = np.abs(values[name] - values["ours"]).max() / np.abs(exact).max()
            row["times ours"] = row["seconds"] / median(times["ours"])
        row["note"] = failures.get(name, "")
        rows.append(row)
    return rows


def alone(n, closed):
    """One line over n: printed by a process that does nothing else."""
    weight = WEIGHTS[closed].realization()
    polynomial, banks = machines(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = compress(Arrow.from_banks(polynomial, banks, closed_loop=closed), output_weight=weight)
        times.append(time.perf_counter() - start)
        if times[0] >= SHORT:
            break
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(n, int(closed), median(times), before, memory, found.system.order, *found.residuals, found.error)


def against_size():
    rows = []
    for closed in (False, True):
        for n in (10**3, 10**4, 10**5, 10**6):
            done = subprocess.run(
                [sys.executable, __file__, "alone", str(n), str(int(closed))], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"n = {n}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
                continue
            values = [float(x) for x in done.stdout.split()]
            rows.append(["closed loop" if closed else "turbines", *values[:1], *values[2:]])
    columns = ["system", "n", "seconds", "memory before [GB]", "peak memory [GB]", "order q"]
    table = pd.DataFrame(rows, columns=[*columns, "residual of X", "residual of Y", "error"])
    table.insert(3, "microseconds a machine", table["seconds"] / table["n"] * 1e6)
    return table.astype({"n": int, "order q": int})


if __name__ == "__main__":
    if sys.argv[1:2] == ["alone"]:
        alone(int(sys.argv[2]), sys.argv[3] == "1")
    else:
        print(against_size().to_string(index=False, float_format=lambda x: f"{x:.3g}"))
        for n in (300, 2000):
            print(pd.DataFrame(against_peers(n)).to_string(index=False, float_format=lambda x: f"{x:.3g}"))
