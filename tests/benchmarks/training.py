"""Training wide two-layer networks through Gram matrices against direct descent: `python tests/benchmarks/training.py`.

The regression of the implicit-bias experiment (500 inputs, 100 samples, one output), weights N(0, 1/h), gradient descent with
step 5e-3 on the averaged loss. One thread; the jobs take turns, medians of three. Direct descent is timed over 100 steps;
`unrecorded` is the loop of `bias_over_width`, `reduction` the one-time reduction of the drawn wide network. Agreement is the
largest difference of any entry of the product at any record.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from statistics import median

import numpy as np

from coherence import gradient_flow as gf
from coherence.gradient_flow.wide_networks import descended

REPEATS, STEPS, STEP_SIZE = 3, 100, 5e-3


def regression(inputs=500, samples=100, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, inputs)) / np.sqrt(inputs)
    Y = X @ rng.normal(size=(inputs, 1)) / np.sqrt(inputs) + 0.01 * rng.normal(size=(samples, 1))
    return gf.squared_loss(Y, X, scale=1 / samples)


def timed(job):
    start = time.perf_counter()
    result = job()
    return time.perf_counter() - start, result


def line(loss, width):
    wide = gf.gaussian((500, width, 1), std=width**-0.5, random_state=1)
    small = gf.gram_network(wide, loss)
    jobs = {
        "reduction": lambda: gf.gram_network(wide, loss),
        "direct": lambda: gf.gradient_descent(wide, loss, STEP_SIZE, STEPS, record_every=20),
        "gram": lambda: gf.gradient_descent(small, loss, STEP_SIZE, STEPS, record_every=20),
        "unrecorded": lambda: descended(small, loss, STEP_SIZE, STEPS + 1, (1 + 1e-9) * found["gram"][1].excess[-1]),
    }
    found, times = {}, {name: [] for name in jobs}
    for _ in range(REPEATS):
        for name, job in jobs.items():
            found[name] = timed(job)
            times[name].append(found[name][0])
    runs = zip(found["direct"][1].networks(), found["gram"][1].networks(), strict=True)
    error = max(np.abs(one.product - other.product).max() for one, other in runs)
    seconds = {name: median(values) for name, values in times.items()}
    step = {name: seconds[name] / STEPS * 1e3 for name in ("direct", "gram", "unrecorded")}
    print(
        f"{width:>8}{step['direct']:>11.3f}{step['gram']:>11.4f}{step['direct'] / step['gram']:>8.0f}{step['unrecorded']:>13.4f}"
        f"{step['direct'] / step['unrecorded']:>8.0f}{seconds['reduction']:>13.3f}{error:>12.1e}",
        flush=True,
    )


def main():
    loss = regression()
    heads = {
        "width": 8,
        "direct ms": 11,
        "gram ms": 11,
        "ratio": 8,
        "unrecorded": 13,
        "ratio ": 8,
        "reduction s": 13,
        "agreement": 12,
    }
    print("".join(f"{head:>{width}}" for head, width in heads.items()))
    for width in (500, 2000, 10_000):
        line(loss, width)


if __name__ == "__main__":
    main()
