"""Random networks for property tests, and the slow, obvious twins of the fast paths."""

import itertools

import mpmath as mp
import numpy as np
from hypothesis import strategies as st

import coherence as co
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.realization import Realization

COUPLINGS = ("1", "1/s", 2.5, ([1.0, 1.0], [1.0, 0.3]), ([1.0, 2.0], [1.0, 1.0, 0.0]), ([1.0, 0.0], [1.0, 1.0]))


def random_nodes(rng, n, *, passive=False, degrees=(0, 1, 2)):
    """Inverse dynamics of orders 1 to 4: random polynomial part and up to two stable sections of order 1 or 2."""
    degree = rng.choice([d for d in degrees if not passive or d == 1], size=n)
    polynomial = np.zeros((3, n))
    polynomial[0] = rng.uniform(0.1, 1, n)
    for i in range(n):
        for j in range(1, degree[i] + 1):
            polynomial[j, i] = rng.uniform(0.1, 2)
    sections = []
    for i in range(n):
        for _ in range(rng.integers(0, 3)):
            if passive or rng.random() < 0.6:
                tau, gain = rng.uniform(0.2, 10), rng.uniform(0.05, 2) * (1 if passive else rng.choice([-0.2, 1, 1]))
                sections.append(
                    (i, Realization(np.array([[-1 / tau]]), np.array([[1 / tau]]), np.array([[gain]]), np.zeros((1, 1))))
                )
            else:
                w, zeta = rng.uniform(0.3, 3), rng.uniform(0.2, 1.2)
                a = np.array([[0.0, 1.0], [-w * w, -2 * zeta * w]])
                sections.append((i, Realization(a, np.array([[0.0], [1.0]]), rng.uniform(-0.5, 1, (1, 2)), np.zeros((1, 1)))))
    return Nodes(tuple(f"n{i}" for i in range(n)), polynomial, make_banks(sections))


def random_laplacian(rng, n, density=0.4):
    """A connected weighted graph: a random spanning path plus random edges."""
    a = np.triu(rng.uniform(0.1, 3, (n, n)) * (rng.random((n, n)) < density), 1)
    order = rng.permutation(n)
    for i, j in itertools.pairwise(order):
        a[min(i, j), max(i, j)] = rng.uniform(0.1, 3)
    a = a + a.T
    return np.diag(a.sum(axis=1)) - a


@st.composite
def networks(draw, *, least=2, most=12, passive=False, couplings=COUPLINGS, degrees=(0, 1, 2), strengths=(0.1, 1.0, 10.0, 100.0)):
    """A connected network of `least` to `most` nodes."""
    n = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    strength = draw(st.sampled_from(strengths))
    return co.Network(
        random_nodes(rng, n, passive=passive, degrees=degrees),
        strength * random_laplacian(rng, n),
        draw(st.sampled_from(couplings)),
    )


def exact_inverse_nodes(nodes, s):
    """g_i^{-1}(s) in mpmath, straight from the definition."""
    z = [mp.mpc(0)] * len(nodes)
    for i in range(len(nodes)):
        for j, coefficient in enumerate(nodes.polynomial[:, i]):
            z[i] += mp.mpf(float(coefficient)) * s**j
    for bank in nodes.banks:
        for owner, a, b, c in zip(bank.owner, bank.a, bank.b, bank.c, strict=True):
            shifted = s * mp.eye(len(b)) - mp.matrix(a.tolist())
            x = mp.lu_solve(shifted, mp.matrix(b.tolist()))
            z[owner] += sum(mp.mpf(float(ci)) * xi for ci, xi in zip(c, x, strict=True))
    return z


def exact_transfer_matrix(network, s):
    """T(s) by inverting Y(s) in mpmath."""
    z = exact_inverse_nodes(network.nodes, s)
    p, q = (sum(mp.mpf(x) * s**j for j, x in enumerate(reversed(c))) for c in (network.coupling.num, network.coupling.den))
    f = p / q
    y = f * mp.matrix(network.laplacian.tolist())
    for i in range(network.size):
        y[i, i] += z[i]
    # the float Laplacian has row sums of rounding size; the theorem is about exact ones
    for i in range(network.size):
        y[i, i] -= f * sum(mp.mpf(float(x)) for x in network.laplacian[i])
    return mp.inverse(y), z


def to_numpy(matrix):
    """Round an mpmath matrix to complex doubles."""
    return np.array([[complex(matrix[i, j]) for j in range(matrix.cols)] for i in range(matrix.rows)])


def norm2(matrices):
    """Spectral norm over the last two axes."""
    return np.linalg.norm(matrices, 2, axis=(-2, -1))


def block_example(seed=7):
    """The 80-node weighted stochastic block model (3.41) with second-order random nodes, 20/40/20."""
    rng = np.random.default_rng(seed)
    block = np.repeat([0, 1, 2], [20, 40, 20])
    q = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    w = np.array([[20, 0.4, 0.8], [0.4, 20, 0.7], [0.8, 0.7, 20]])
    upper = np.triu(rng.random((80, 80)) < q[np.ix_(block, block)], 1)
    a = upper * w[np.ix_(block, block)]
    a = a + a.T
    nodes = co.swing_turbine(
        inertia=rng.uniform(0.05, 0.15, 80),
        damping=rng.uniform(0.1, 0.3, 80),
        inverse_droop=rng.uniform(0.5, 1.5, 80),
        time_constant=rng.uniform(1, 5, 80),
    )
    return co.Network(nodes, np.diag(a.sum(axis=1)) - a, "1/s"), co.Partition.of(block, labels=nodes.labels)
