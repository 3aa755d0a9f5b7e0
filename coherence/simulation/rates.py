r"""How fast an input may vary for the network to move as one: Theorem 3.5 for all t, by another proof.

With Delta(t) the step response of E = T - g_hat 11^T, an (n, n) matrix that dies out where f has a pole at 0, and u(t) = u0 s(t),
|u0| <= 1, partial integration gives e_i(t) = s(0) e_i'Delta(t) u0 + int_0^t s'(tau) e_i'Delta(t - tau) u0 dtau, so that

    |e_i(t)| <= |s(0)| sup |Delta_i| + min( sup |s'| int |Delta_i|, int |s'| sup |Delta_i| ),   |Delta_i| = ||e_i' Delta(t)||_2.

For sin(alpha t) and 1 - exp(-alpha t) sup |s'| = alpha: both deviate by at most epsilon where
alpha <= epsilon / max_i int |Delta_i|.

The integral from above. Delta = C e^{At} A^{-1} B by exact steps; a norm bends down no more than its function, so over a step h the
trapezoid is short by at most h^3/12 sup ||Delta_i''||, where sup ||Delta_i''|| <= the larger end + h/2 sup ||Delta_i'''||, and
with the observability gramian S S^T, |S^T A^k x(t)| = m_k the L2 norm of the k-th derivative from t on, ||Delta'''||^2 <= 2 m_3
m_4. The tail is int_t^inf |Delta_i| <= (2 eta)^{-1/2} |S_eta^T x(t)|, S_eta of A + eta I (Cauchy and Schwarz with the weight
e^{2 eta t}).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.linalg as sla

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network, require_nodes
from coherence.numerics.gramians import gramian_factor
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, difference, without_hidden
from coherence.simulation.steady import require_stable
from coherence.theory.coherent import coherent_dynamics
from coherence.types import Real

BLOCK = 32  # steps between two looks at the derivatives
HALF = 0.5  # of the slowest decay: the weight of the tail


@dataclass(frozen=True, eq=False, repr=False)
class SlowInputs(Page):
    """Bounds of the deviation by how an input varies; see `slow_inputs`.

    Attributes
    ----------
    frame : DataFrame
        Node -> integral and peak: bounds of int and sup of ||e_i' Delta(t)||_2 over t > 0.
    samples : int
        Of Delta.

    Examples
    --------
    >>> from coherence import Network, slow_inputs, swing
    >>> network = Network(swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], "1/s")
    >>> found = slow_inputs(network)
    >>> round(found.rate(0.1), 2), round(float(found.bound(slope=0.1)["1"]), 3)
    (0.28, 0.036)
    """

    frame: pd.DataFrame
    samples: int

    def rate(self, epsilon: float) -> float:
        """A rate alpha such that |u0| <= 1 times sin(alpha' t) or 1 - exp(-alpha' t), alpha' <= alpha, deviates by at most epsilon.

        Parameters
        ----------
        epsilon : float
            In units of the outputs, > 0.

        Returns
        -------
        float
            In rad/s and 1/s; the largest that this inequality gives.
        """
        if not (np.isfinite(epsilon) and epsilon > 0):
            raise InputError(f"epsilon = {epsilon}; give a deviation > 0")
        largest = float(self.frame["integral"].max())
        return float(epsilon / largest) if largest > 0 else np.inf

    def bound(self, *, start: float = 0.0, slope: float = np.inf, variation: float = np.inf) -> pd.Series:
        """A bound of |e_i(t)| for all t and any input u0 s(t), |u0| <= 1: one of slope and variation is needed.

        Parameters
        ----------
        start : float
            |s(0)|.
        slope : float
            sup |s'| after t = 0.
        variation : float
            int |s'|, jumps after t = 0 among it.

        Returns
        -------
        Series
            One value per node, in units of the outputs.
        """
        if not (start >= 0 and slope >= 0 and variation >= 0 and min(slope, variation) < np.inf and np.isfinite(start)):
            raise InputError("give start >= 0 and a finite slope >= 0 or variation >= 0")
        integral, peak = self.frame["integral"].to_numpy(), self.frame["peak"].to_numpy()
        moving = np.minimum(
            *(
                np.where(size < np.inf, size, 1.0) * by if size < np.inf else np.full(len(by), np.inf)
                for size, by in ((slope, integral), (variation, peak))
            )
        )
        return pd.Series(start * peak + moving, index=self.frame.index, name="bound")

    @property
    def facts(self) -> dict[str, str]:
        """What one line says."""
        worst = self.frame["integral"].idxmax()
        return {"rate": f"{self.rate(1.0):.4g} epsilon, by node {worst!r}", "samples": str(self.samples)}

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The bounds, node by node."""
        return {"step responses of the deviation": self.frame}

    def __repr__(self) -> str:
        return f"SlowInputs({len(self.frame)} nodes; inputs of rate up to {self.rate(1.0):.4g} epsilon deviate by at most epsilon)"


def slow_inputs(network: Network, *, gap: float = 0.05, most: int = 200_000) -> SlowInputs:
    """Bounds of the deviation from the coherent response by how an input varies, for all t and all shapes |u0| <= 1.

    Parameters
    ----------
    network : Network
        Connected, stable, with f that has a pole at 0 (else a step leaves a deviation, and no rate is slow enough).
    gap : float
        By which the integrals may exceed their samples' sum, relative, for the largest node; > 0.
    most : int
        Samples before it gives up.

    Returns
    -------
    SlowInputs
        `rate(epsilon)` is a proved lower bound on alpha_0 of Theorem 3.5.

    Raises
    ------
    InstabilityError
        T or g_hat is not stable.
    ToleranceError
        Hardly damped modes take more samples.
    InputError
        f without a pole at 0, or a gap that is none.
    DisconnectedError
        The network falls apart.

    References
    ----------
    H. Min, dissertation (2023), Theorem 3.5; the proof is in the module, and its constants are far larger.

    Examples
    --------
    >>> from coherence import Network, slow_inputs, swing
    >>> network = Network(swing(inertia=[1, 1], damping=[1, 1]), [[1, -1], [-1, 1]], "1/s")
    >>> round(slow_inputs(network).rate(0.1), 2)
    0.15
    """
    require_nodes(network, "a bound on the deviation")
    require_connected(network.laplacian, network.labels, "a bound on the deviation")
    network.nodes.require_rational("a bound on the deviation")
    if not (np.isfinite(gap) and gap > 0):
        raise InputError(f"gap = {gap}; give a number > 0")
    if not isinstance(network.coupling, Rational) or network.coupling.den[-1] != 0.0:
        raise InputError("f has no pole at 0, so a step leaves a deviation and no input is slow enough; ask deviation_guarantee")
    require_stable(network, "a rate for slow inputs")
    n = network.size
    if n == 1:
        return _result(network, np.zeros(1), np.zeros(1), 0)
    one = np.ones((n, 1))
    system = without_hidden(
        difference(network.realization, coherent_dynamics(network).realization.transformed(left=one, right=one.T))
    )
    return _result(network, *_summed(system, gap, most))


def _result(network: Network, integral: Real, peak: Real, samples: int) -> SlowInputs:
    return SlowInputs(pd.DataFrame({"integral": integral, "peak": peak}, index=pd.Index(network.labels, name="node")), samples)


def _summed(system: Realization, gap: float, most: int) -> tuple[Real, Real, int]:
    """Bounds of int and sup of ||e_i' Delta||_2, and the samples taken."""
    a, c = system.a, system.c
    x = np.linalg.solve(a, system.b)
    eta = -HALF * float(system.poles()[0].real)
    observe, weighted = gramian_factor(a.T, c.T).T, remainder(system, eta)
    c2 = c @ a @ a
    total, peak, t, samples = np.zeros(len(c)), np.zeros(len(c)), 0.0, 0
    spent, h, step = np.zeros(len(c)), 0.0, np.zeros_like(a)
    value, bent = _rows(c, x), _rows(c2, x)
    while True:
        chain = [x]
        for _ in range(4):
            chain.append(a @ chain[-1])
        m = [float(np.linalg.norm(observe @ y)) for y in chain]
        third = np.sqrt(2 * m[3] * m[4])
        tail = float(np.linalg.norm(weighted @ x))
        if samples and tail <= 0.25 * gap * total.max():
            return total + spent + tail, np.maximum(peak, np.sqrt(2 * m[0] * m[1])), samples
        if samples >= most:
            raise ToleranceError(
                f"after {samples} samples the integral lies below {(total + spent).max() + tail:.4g} (up to {t:.4g} s it is "
                f"{total.max():.4g}); allow more, or a larger gap: a mode is hardly damped"
            )
        # what a step may hide, over the step: h^2/12 (|x''| + h/2 |x'''|); the share of the sum that it may be
        level = 0.2 * float(total.max()) / t if t else 0.1 * np.sqrt(2 * m[0] * m[1])
        allowed = 0.5 * gap * max(float(value.max()), level)
        wanted = min(np.sqrt(6 * allowed / max(float(bent.max()), 1e-300)), np.cbrt(12 * allowed / max(third, 1e-300)), 1.0 / eta)
        if h == 0.0:
            h = wanted
            step = sla.expm(a * h)
        while 2 * h <= wanted:
            h, step = 2 * h, step @ step
        if h > 4 * wanted:
            h = wanted
            step = sla.expm(a * h)
        for _ in range(BLOCK):
            x = step @ x
            after, curved = _rows(c, x), _rows(c2, x)
            most_bent = np.maximum(bent, curved) + 0.5 * h * third
            total += 0.5 * h * (value + after)
            spent += h**3 / 12 * most_bent
            peak = np.maximum(peak, np.maximum(value, after) + h**2 / 8 * most_bent)
            value, bent = after, curved
        t, samples = t + BLOCK * h, samples + BLOCK


def remainder(system: Realization, eta: float) -> Real:
    """R with int_0^inf ||e_i' C e^{At} x||_2 dt <= ||R x||_F for every x and i, 0 < eta < the slowest decay."""
    factor = gramian_factor((system.a + eta * np.eye(system.order)).T, system.c.T).T
    return np.asarray(factor / np.sqrt(2 * eta))


def _rows(c: Real, x: Real) -> Real:
    return np.linalg.norm(c @ x, axis=1)
