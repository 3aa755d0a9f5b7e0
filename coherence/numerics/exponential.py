r"""Rational approximations of the exponential with simple poles: e^x is near R(x) = sum_i r_i / (x - z_i).

R is the Pade approximant of degrees (k - 1, k): R(x) - e^x = O(x^{2k}), |R| <= 1 in the left half plane and R -> 0 at infinity
(Ehle 1973), so that what is too fast for a step dies out instead of ringing. In partial fractions one step costs one solve with
hA - z_i for each pole, conjugates for nothing. Many poles pay: on the imaginary axis four are as good as 1e-3 up to |x| = 3, eight
up to 8.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial

import numpy as np

from coherence.errors import InputError
from coherence.types import Complex

NEWTON = 6  # steps that polish a pole, in extended precision where there is one
MOST = 10  # poles; residues grow fivefold with each, and cost digits


@lru_cache
def pade(poles: int) -> tuple[Complex, Complex]:
    """Poles z_i in the upper half plane and residues r_i of the approximant with that many poles: e^x ~ 2 Re sum r_i / (x - z_i).

    Parameters
    ----------
    poles : int
        Even, 2 to 10; half as many are returned.
    """
    k = poles
    if k % 2 or not 2 <= k <= MOST:
        raise InputError(f"poles = {poles}; give an even number from 2 to {MOST}")
    # both times (2k - 1)! / (k - 1)!: whole numbers, which extended precision holds
    top = [comb(k - 1, j) * factorial(2 * k - 1 - j) // factorial(k - 1) for j in range(k)]
    below = [(-1) ** j * comb(k, j) * factorial(2 * k - 1 - j) // factorial(k - 1) for j in range(k + 1)]
    z = np.roots(np.array(below[::-1], dtype=float)).astype(np.clongdouble)
    numerator, denominator = (np.array(c[::-1], dtype=np.longdouble) for c in (top, below))
    slope = np.polyder(denominator)
    for _ in range(NEWTON):
        z = z - np.polyval(denominator, z) / np.polyval(slope, z)
    z = z[z.imag > 0]
    return z.astype(complex), (np.polyval(numerator, z) / np.polyval(slope, z)).astype(complex)
