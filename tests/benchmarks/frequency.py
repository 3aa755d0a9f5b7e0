"""Coherence over frequency against the best peer at hand: `make bench` prints the table.

One run, one BLAS thread, alternating, medians of five; the peers' accuracy is checked beside ours. python-control is timed on 50
frequencies, its state space made beforehand (500 would take minutes; what it spends once a call is shared by 50), the dense peers
on few.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import resource
import time
import warnings
from statistics import median

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import stats

import coherence as co
from coherence.numerics.deviation import Deviation
from coherence.numerics.sparse import factorise
from coherence.theory.deviations import deviation_norms

REPEATS = 5


def alternating(jobs):
    """Median seconds of each callable, and what it returned; the jobs take turns."""
    times, results = {name: [] for name in jobs}, {}
    for _ in range(REPEATS):
        for name, job in jobs.items():
            start = time.perf_counter()
            results[name] = job()
            times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}, results


def random_network(n, *, density, seed=0):
    rng = np.random.default_rng(seed)
    upper = sp.random_array((n, n), density=density / 2, rng=rng, data_sampler=lambda size: rng.uniform(0.5, 2, size))
    upper = sp.triu(upper, 1) + sp.diags_array(np.ones(n - 1), offsets=1)
    weight = sp.csr_array(upper + upper.T)
    laplacian = sp.csr_array(sp.diags_array(np.asarray(weight.sum(axis=1)).ravel()) - weight)
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.5, 2, n),
        damping=rng.uniform(0.1, 0.3, n),
        inverse_droop=rng.uniform(0.5, 1.5, n),
        time_constant=rng.uniform(1, 5, n),
    )
    return nodes, laplacian


def kron_reduced(n, *, seed=1):
    """A dense network: a sparse one of 3 n nodes of which n have dynamics."""
    nodes, laplacian = random_network(3 * n, density=4 / (3 * n), seed=seed)
    return nodes.select(range(n)), co.kron_reduce(laplacian.toarray(), range(n))


def inverse_and_svd(network, w):
    """The obvious way with numpy: T by inversion, minus the mean, singular values."""
    out = []
    for omega in w:
        z = network.nodes.inverse(1j * omega)[0]
        t = np.linalg.inv(np.diag(z) + network.laplacian / (1j * omega))
        out.append(np.linalg.svd(t - 1 / z.sum(), compute_uv=False)[0])
    return np.array(out)


def with_control(network, system, w):
    """python-control: frequency response of the state space, minus the mean, singular values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        response = system(1j * w, squeeze=False)
    z = network.nodes.inverse(1j * w)
    return np.array([np.linalg.norm(response[:, :, i] - 1 / z[i].sum(), 2) for i in range(len(w))])


def line(what, target, ours, peer, peer_name, accuracy):
    return {
        "what": what,
        "ours [ms]": ours * 1e3,
        "peer": peer_name,
        "peer [ms]": peer * 1e3,
        "ratio": peer / ours,
        "asked": target,
        "largest difference": accuracy,
    }


def curve_against_control():
    nodes, laplacian = random_network(300, density=0.02)
    dense, sparse = co.Network(nodes, laplacian.toarray(), "1/s"), co.Network(nodes, laplacian, "1/s")
    w, few = np.geomspace(0.01, 100, 500), np.geomspace(0.01, 100, 50)
    system = dense.to_statespace()
    deviation_norms(sparse, 1j * few)
    times, results = alternating(
        {"ours": lambda: deviation_norms(sparse, 1j * w), "control": lambda: with_control(dense, system, few)}
    )
    error = np.abs(results["control"] / deviation_norms(sparse, 1j * few) - 1).max()
    return line("n = 300 sparse, curve, a frequency", ">= 100", times["ours"] / 500, times["control"] / 50, "python-control", error)


def dense_against_control_and_numpy():
    nodes, laplacian = kron_reduced(300)
    network = co.Network(nodes, laplacian, "1/s")
    w, few, one = np.geomspace(0.01, 100, 200), np.geomspace(0.01, 100, 20), np.geomspace(0.01, 100, 50)
    system = network.to_statespace()
    times, results = alternating(
        {
            "ours": lambda: deviation_norms(network, 1j * w),
            "numpy": lambda: inverse_and_svd(network, few),
            "control": lambda: with_control(network, system, one),
        }
    )
    ours = times["ours"] / 200
    errors = [
        np.abs(results[name] / deviation_norms(network, 1j * grid) - 1).max() for name, grid in (("control", one), ("numpy", few))
    ]
    return [
        line("n = 300 Kron-reduced, curve, a frequency", ">= 20", ours, times["control"] / 50, "python-control", errors[0]),
        line("n = 300 Kron-reduced, curve, a frequency", ">= 4", ours, times["numpy"] / 20, "numpy inv + svd", errors[1]),
    ]


def column_against_dense():
    nodes, laplacian = random_network(3000, density=0.001, seed=2)
    network, dense = co.Network(nodes, laplacian, "1/s"), laplacian.toarray()
    w, few = np.geomspace(0.01, 100, 500), np.geomspace(0.01, 100, 2)
    unit = np.eye(3000, 1)

    def peer():
        out = []
        for omega in few:
            z = nodes.inverse(1j * omega)[0]
            out.append(np.linalg.solve(np.diag(z) + dense / (1j * omega), unit)[:, 0] - 1 / z.sum())
        return np.array(out)

    label = network.labels[:1]
    co.column_incoherence(network, few, label)
    times, results = alternating({"ours": lambda: co.column_incoherence(network, w, label), "peer": peer})
    ours = co.column_incoherence(network, few, label).columns[:, :, 0]
    error = (np.abs(ours - results["peer"]).max(axis=1) / np.abs(ours).max(axis=1)).max()
    return line("n = 3000 sparse, one column, a frequency", ">= 50", times["ours"] / 500, times["peer"] / 2, "dense solve", error)


def european():
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = co.case_of_pandapower(pandapower.networks.case9241pegase(), name="europe")
        case = co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [4.0], "D_pu": [2.0], "R_pu": [0.05], "T_s": [5.0]}))
    network = co.linearize(case, co.power_flow(case, method="flat"), passive="keep")
    w = np.geomspace(1e-3, 100, 200)
    z = network.nodes.inverse(1j * w)

    def factors(laplacian, diagonal, ordering):
        for i in range(0, 200, 10):
            factorise(laplacian / (1j * w[i]) + sp.diags_array(diagonal[i]), ordering=ordering)

    Deviation(network.laplacian).norms(z[:1], 1 + 0 * z[:1, 0], 1j * w[:1])
    order = np.argsort(factorise(network.laplacian / 1j + sp.diags_array(z[0])).perm_c)
    ordered = sp.csr_array(network.laplacian[order][:, order])
    times, _ = alternating(
        {
            "ours": lambda: deviation_norms(network, 1j * w),
            "factorisation": lambda: factors(network.laplacian, z, "MMD_AT_PLUS_A"),
            "ordered": lambda: factors(ordered, z[:, order], "NATURAL"),
        }
    )
    found = line(
        "9216-node European grid, norm, a frequency",
        "<= 2 factorisations",
        times["ours"] / 200,
        times["factorisation"] / 20,
        "one sparse factorisation",
        np.nan,
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    ratio = times["ours"] / times["factorisation"] / 10
    again = times["ours"] / times["ordered"] / 10
    print(
        f"European grid: {ratio:.2f} factorisations a frequency, {again:.2f} of those that know the fill-reducing order; "
        f"largest memory so far {memory:.2f} GB"
    )
    return found


def lattice(n):
    rng = np.random.default_rng(0)
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.5, 2, n),
        damping=rng.uniform(0.1, 0.3, n),
        inverse_droop=rng.uniform(0.5, 1.5, n),
        time_constant=rng.uniform(1, 5, n),
    )
    return co.Network(nodes, co.lattice_graph(n, weight=stats.uniform(0.5, 1.5), random_state=rng), "1/s")


def against_size():
    """Seconds for one norm on square lattices, at frequencies below, among and above the modes, and one factorisation."""
    rows = []
    for n in (32**2, 100**2, 316**2):
        network = lattice(n)
        row = {"n": n}
        for w in (0.01, 1.0, 10.0, 100.0):
            s = np.array([1j * w])
            z = network.nodes.inverse(s)
            deviation = Deviation(network.laplacian)
            deviation.columns(z, s**0, s, np.array([0]))  # the fill-reducing order, once a network
            start = time.perf_counter()
            deviation.norms(z, s**0, s)
            row[f"{w:g} rad/s [s]"] = time.perf_counter() - start
        start = time.perf_counter()
        factorise(network.laplacian / s[0] + sp.diags_array(z[0]))
        row["one factorisation [s]"] = time.perf_counter() - start
        row["largest memory so far [GB]"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        rows.append(row)
    return pd.DataFrame(rows).set_index("n")


def certified():
    """Suprema over all frequencies, and what 500 frequencies from 1e-3 to 1e3 rad/s see of them."""
    rows = []
    iceland = co.linearize(co.load_case("iceland"))
    for name, network, gap in (
        ("Iceland, 35", iceland, 1e-3),
        ("lattice, 100", lattice(100), 0.01),
        ("lattice, 1024", lattice(1024), 0.1),
    ):
        start = time.perf_counter()
        found = co.supremum(network, gap=gap)
        seconds = time.perf_counter() - start
        grid = deviation_norms(network, 1j * np.geomspace(1e-3, 1e3, 500)).max()
        rows.append([name, gap, found.lower, found.upper, found.evaluations, seconds, grid / found.lower])
    columns = ["network", "gap asked", "at least", "at most", "evaluations", "seconds", "seen by the grid"]
    return pd.DataFrame(rows, columns=columns).set_index("network")


if __name__ == "__main__":
    rows = [european(), curve_against_control(), *dense_against_control_and_numpy(), column_against_dense()]
    print(certified().to_string(float_format=lambda x: f"{x:.6g}"))
    print(against_size().to_string(float_format=lambda x: f"{x:.3g}"))
    print(pd.DataFrame(rows).set_index("what").to_string(float_format=lambda x: f"{x:.3g}"))
