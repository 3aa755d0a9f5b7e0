r"""The power and energy that storage gives while it moves with the grid: one scalar signal through its control law.

    p = -k(s) v,   v = sum_i w_i y_i,   k = m_v s + d_v + C (sI - A)^{-1} B

v is piecewise the cubic of the response (its outputs and their exact derivatives at the samples), and of a cubic nothing below is
approximated: x, the states of k, and their integral follow from one exponential in which v and its derivatives are states.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg as sla

from coherence.nodes.nodes import Nodes
from coherence.simulation.response import Curve, Knots
from coherence.types import Real

SAME = 1e-9  # relative: steps that are one


class Delivered(NamedTuple):
    """Power and energy over time, with their extremes: signed, positive is given to the grid."""

    power: Real  # (K,) just after each knot
    energy: Real  # (K,) since t = 0
    peak: float  # power of largest size
    most: float  # energy of largest size


def delivered(control: Nodes, knots: Knots, weights: Real) -> Delivered:
    """What storage under `control` (one node, k) gives along a response, weighted by its shares.

    Parameters
    ----------
    control : Nodes
        One node, whose inverse is k; of degree at most 1.
    knots : Knots
        Of the response.
    weights : (n,) array
        Shares of the nodes, summing to 1.
    """
    idle = np.zeros(knots.value.shape[1] - len(weights))  # the center of inertia is beside the nodes
    v = knots.weighted(np.concatenate([weights, idle])[:, None])
    polynomial = np.pad(control.polynomial[:, 0], (0, max(0, 2 - len(control.polynomial))))
    droop, inertia = float(polynomial[0]), float(polynomial[1])
    law, _ = control.proper_part()
    x, integral = _driven(law.a, law.b[:, 0], v)
    left, slope = v.left
    y, rate = v.value[:, 0], v.rate[:, 0]
    c = law.c[0]
    power = -(inertia * rate + droop * y + x @ c)
    earlier = -(inertia * slope[:, 0] + droop * left[:, 0] + x @ c)
    energy = -(inertia * integral[:, 0] + droop * integral[:, 1] + integral[:, 2:] @ c)
    # the derivative of the power has jumps at every knot: v'' of the cubics has
    bend_right, bend_left = _bends(v)
    drive = law.b[:, 0]
    rise = -(inertia * bend_right + droop * rate + (x @ law.a.T + np.outer(y, drive)) @ c)
    fall = -(inertia * bend_left + droop * slope[:, 0] + (x @ law.a.T + np.outer(left[:, 0], drive)) @ c)
    inner = np.arange(1, len(y))
    powers = Knots(v.time, power[:, None], rise[:, None], inner, earlier[inner, None], fall[inner, None])
    energies = Knots(v.time, energy[:, None], power[:, None], inner, energy[inner, None], earlier[inner, None])
    peak, most = (float(Curve(one).extremes()[0][0]) for one in (powers, energies))
    return Delivered(power, energy, peak, most)


def _bends(v: Knots) -> tuple[Real, Real]:
    """Second derivatives of the cubics at the knots, from the right and from the left."""
    _, _, square, cube = Curve(v).coefficients
    a, b = 2 * square[:, 0], 6 * cube[:, 0]
    wide = np.diff(v.time) ** 2
    return np.append(a / wide, (a[-1] + b[-1]) / wide[-1]), np.append(a[0] / wide[0], (a + b) / wide)


def _driven(a: Real, b: Real, v: Knots) -> tuple[Real, Real]:
    """States of x' = a x + b v at the knots, where they do not jump, and integrals of v', v and x, (K, 2 + N).

    v' is integrated piece by piece: an impulse of a jump of v is no part of it.
    """
    n, pieces = len(a), np.stack(Curve(v).coefficients)[:, :, 0]  # (4, K - 1): v at x = (t - t_k)/wide
    generator = np.zeros((2 * n + 5, 2 * n + 5))  # x, v v' v'' v''' in time, int v, int x
    generator[:n, :n], generator[:n, n] = a, b
    generator[[n, n + 1, n + 2], [n + 1, n + 2, n + 3]] = 1.0
    generator[n + 4, n] = 1.0
    generator[n + 5 :, :n] = np.eye(n)
    state: Real = np.zeros(2 * n + 5)
    known: dict[float, Real] = {}
    states, integral = np.zeros((len(v.time), n)), np.zeros((len(v.time), n + 2))
    for k, wide in enumerate(np.diff(v.time)):
        step = next((h for h in known if abs(h - wide) <= SAME * wide), None)
        if step is None:
            step = float(wide)
            known[step] = sla.expm(generator * step)
        state[n : n + 4] = pieces[:, k] * np.array([1.0, 1.0, 2.0, 6.0]) / wide ** np.arange(4)
        begin = state[n]
        state = known[step] @ state
        states[k + 1] = state[:n]
        integral[k + 1] = np.concatenate([[integral[k, 0] + state[n] - begin], state[n + 4 :]])
    return states, integral
