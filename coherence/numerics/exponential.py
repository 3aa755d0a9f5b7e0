r"""Rational approximations of the exponential with simple poles: e^x is near R(x) = sum_i r_i / (x - z_i).

R is the Pade approximant of degrees (k - 1, k): R(x) - e^x = O(x^{2k}), |R| <= 1 in the left half plane and R -> 0 at infinity
(Ehle 1973), so that what is too fast for a step dies out instead of ringing. In partial fractions one step costs one solve with
hA - z_i for each pole, conjugates for nothing.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np

from coherence.types import Complex

NEWTON = 5  # steps that polish a pole


@lru_cache
def pade(poles: int) -> tuple[Complex, Complex]:
    """Poles z_i with Im z_i >= 0 and residues r_i of the approximant with that many poles; those off the axis count twice.

    e^x ~ sum over real z_i of r_i / (x - z_i) + 2 Re of the others' for real x.
    """
    k = poles
    top = [
        factorial(2 * k - 1 - j) * factorial(k - 1) / (factorial(2 * k - 1) * factorial(j) * factorial(k - 1 - j)) for j in range(k)
    ]
    below = [
        (-1) ** j * factorial(2 * k - 1 - j) * factorial(k) / (factorial(2 * k - 1) * factorial(j) * factorial(k - j))
        for j in range(k + 1)
    ]
    p, q = np.poly1d(top[::-1]), np.poly1d(below[::-1])
    slope = q.deriv()
    z = np.asarray(q.roots, dtype=complex)
    for _ in range(NEWTON):
        z = z - q(z) / slope(z)
    z = np.where(np.abs(z.imag) < 1e-9 * np.abs(z), z.real, z)
    z = z[z.imag >= 0]
    return z, np.asarray(p(z) / slope(z), dtype=complex)
