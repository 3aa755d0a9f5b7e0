"""Coherent groups against scikit-learn's SpectralClustering: `python tests/benchmarks/groups.py`.

A square lattice of 9216 nodes with weights drawn from [0.5, 1.5], and the European grid, also 9216 nodes, k = 3 to 10:
times and normalised cuts. One thread; the jobs take turns, medians of five; the peer gets its affinities made beforehand, with the
integer type it needs. Its eigensolver is arpack (lobpcg and, where it is installed, amg are tried first at k = 5), with each of its
three ways to labels. Then ours alone over n, with the peak memory of a process that does nothing else.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import subprocess
import sys
import time
import warnings
from statistics import median

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import stats
from scipy.spatial import Delaunay

import coherence as co
from coherence.graphs.cuts import normalised_cut

REPEATS = 5
LABELS = ("kmeans", "cluster_qr", "discretize")
OURS = ("normalised_cut", "shi_malik", "bach_jordan")


def of_laplacian(laplacian):
    n = laplacian.shape[0]
    return co.Network(co.swing(inertia=np.random.default_rng(1).uniform(0.5, 2, n), damping=1.0), laplacian, "1/s")


def lattice(n):
    return of_laplacian(co.lattice_graph(n, weight=stats.uniform(0.5, 1.0), random_state=0))


def irregular(n):
    """Triangles between random places, edges as strong as they are short: a mesh with degrees from 3 to some 15."""
    rng = np.random.default_rng(0)
    places = rng.random((n, 2))
    corners = Delaunay(places).simplices
    ends = np.unique(np.sort(np.vstack([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]]), axis=1), axis=0)
    weight = 1 / np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1)
    half = sp.coo_array((weight, ends.T), shape=(n, n))
    full = sp.csr_array(half + half.T)
    return of_laplacian(sp.csr_array(sp.diags_array(full.sum(axis=1)) - full))


def european():
    import pandapower.networks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = co.case_of_pandapower(pandapower.networks.case9241pegase(), name="europe")
        case = co.add_machines(case, pd.DataFrame({"label": ["*"], "H_s": [4.0], "D_pu": [2.0], "R_pu": [0.05], "T_s": [5.0]}))
    return co.linearize(case, co.power_flow(case, method="flat"), passive="keep")


def ours(network, k, method):
    return lambda: co.coherent_groups(network, k, method=method, allow_ties=True).assignment


def peer(network, k, labels, solver="arpack"):
    from sklearn.cluster import SpectralClustering

    laplacian = sp.csr_array(network.laplacian)
    affinity = sp.csr_matrix(sp.diags_array(laplacian.diagonal()) - laplacian)
    affinity.eliminate_zeros()
    affinity.indices, affinity.indptr = affinity.indices.astype(np.int32), affinity.indptr.astype(np.int32)

    def job():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            how = SpectralClustering(k, affinity="precomputed", eigen_solver=solver, assign_labels=labels, random_state=0)
            return how.fit(affinity).labels_

    return job


def timed(job):
    start = time.perf_counter()
    result = job()
    return time.perf_counter() - start, result


def solvers(name, network):
    """Each eigensolver of the peer once, k = 5."""
    for solver in ("arpack", "lobpcg", "amg"):
        try:
            seconds, found = timed(peer(network, 5, "kmeans", solver))
            print(f"{name}: scikit-learn, {solver}: {seconds:.3g} s, normalised cut {normalised_cut(network.laplacian, found):.5g}")
        except Exception as error:  # what a peer cannot do is a line of the table
            print(f"{name}: scikit-learn, {solver}: {type(error).__name__}: {str(error).splitlines()[0]}")


def against_peer(name, network):
    rows = []
    for k in range(3, 11):
        jobs = {("ours", method): ours(network, k, method) for method in OURS}
        jobs |= {("scikit-learn", labels): peer(network, k, labels) for labels in LABELS}
        times, cuts = {which: [] for which in jobs}, {}
        for job in jobs.values():
            job()
        for _ in range(REPEATS):
            for which, job in jobs.items():
                seconds, found = timed(job)
                times[which].append(seconds)
                cuts[which] = normalised_cut(network.laplacian, np.asarray(found))
        best = min((which for which in jobs if which[0] != "ours"), key=cuts.get)
        row = {"graph": name, "k": k}
        for which in jobs:
            short = which[1] if which[0] == "ours" else f"sklearn {which[1]}"
            row[f"{short} [ms]"], row[f"{short} cut"] = median(times[which]) * 1e3, cuts[which]
        row["cut / peer's least"] = cuts["ours", "normalised_cut"] / cuts[best]
        row["time / of that peer"] = median(times["ours", "normalised_cut"]) / median(times[best])
        row["shi_malik cut / sklearn kmeans"] = cuts["ours", "shi_malik"] / cuts["scikit-learn", "kmeans"]
        row["time / sklearn kmeans"] = median(times["ours", "shi_malik"]) / median(times["scikit-learn", "kmeans"])
        rows.append(row)
    return pd.DataFrame(rows).set_index(["graph", "k"])


def alone(kind, n, method):
    """One line over n: printed by a process that does nothing else."""
    network = {"lattice": lattice, "irregular": irregular}[kind](n)
    co.coherent_groups(lattice(900), 5, method=method)  # scikit-learn is loaded, as it is in the peer's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds, found = timed(ours(network, 10, method))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(seconds, before, memory, normalised_cut(network.laplacian, found))


def against_size():
    rows = []
    for kind in ("lattice", "irregular"):
        for n in (100**2, 316**2, 1000**2) if kind == "lattice" else (10**4, 10**5, 10**6):
            for method in (*OURS[:2], "slow_coherency", "reference_machines"):
                if n >= 10**6 and method != "normalised_cut":
                    continue
                arguments = [sys.executable, __file__, "alone", kind, str(n), method]
                done = subprocess.run(arguments, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{kind}, n = {n}, {method}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
                    continue
                rows.append([kind, n, method, *map(float, done.stdout.split())])
    columns = ["graph", "n", "method, k = 10", "seconds", "memory before [GB]", "peak memory [GB]", "normalised cut"]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    if sys.argv[1:2] == ["alone"]:
        alone(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        for name, network in (("lattice", lattice(9216)), ("European grid", european())):
            solvers(name, network)
            print(against_peer(name, network).T.to_string(float_format=lambda x: f"{x:.4g}"))
        print(against_size().to_string(index=False, float_format=lambda x: f"{x:.3g}"))
