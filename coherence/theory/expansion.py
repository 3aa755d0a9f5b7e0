r"""The response of a network over an interval of frequencies: value, slope, and a bound on what is left.

With zeta = diag G^{-1} / f the coupling is out of U = T f = (diag zeta + L)^{-1}: only a diagonal changes along a line
Re s = decay. Around s_0, with |zeta(s) - zeta(s_0)| <= d = r |zeta'| + r^2/2 b, b a bound on |zeta''|,

    U(s) = U_0 - (s - s_0) U_0 diag(zeta') U_0 + R,   ||R|| <= r^2/2 ||U_0 b^{1/2}||^2 + ||U_0 d^{1/2}||^2 q / (1 - q),
    ||U(s) - U_0|| <= ||U_0 d^{1/2}||^2 / (1 - q),    q = ||d^{1/2} U_0 d^{1/2}|| < 1.

Values and slopes are held as U = 11^T/a + D, a the sum of zeta, D by elimination; D zeta = 0, so that D zeta' is D applied to
what of zeta' is not along zeta. A reduced network is lifted to all nodes: P U_k P^T has the norms of N^{1/2} U_k N^{1/2}, N the
group sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coherence.network.network import Network
from coherence.nodes.enclosures import balanced, enclosure
from coherence.nodes.nodes import Nodes
from coherence.numerics.deflation import uniform_deviation
from coherence.numerics.rational import Rational
from coherence.types import Complex, Real


@dataclass(frozen=True)
class Expansion:
    """U = 11'/a + D around the middles of I intervals, its slope U zeta' U in the same parts, and bounds over the interval."""

    zeta: Complex  # (I, m)
    total: Complex  # a, its sum, (I,)
    deviation: Complex  # D, (I, m, m)
    slope: Complex  # (1' zeta') / a^2, (I,)
    side: Complex  # D zeta' / a, (I, m)
    inside: Complex  # D zeta' D, (I, m, m)
    size: Real  # ||U||, lifted
    rest: Real  # bound on what is left of the lifted expansion
    change: Real  # bound on ||U - U_0||, lifted


class LiftedResponse:
    """U = (diag zeta + L)^{-1} of one network, lifted: zeta/sizes and N^{-1/2} L N^{-1/2}."""

    def __init__(self, network: Network, sizes: Real, decay: float) -> None:
        self.decay = decay
        self.nodes: Nodes = balanced(network.nodes)
        assert isinstance(network.coupling, Rational)
        self.coupling = network.coupling
        self.sizes = sizes
        self.laplacian = network.dense_laplacian
        self.share = sizes / sizes.sum()
        root = np.sqrt(sizes)
        values = np.linalg.eigvalsh(self.laplacian / np.outer(root, root))
        self.connectivity = float(values[1] - len(sizes) * np.finfo(float).eps * values[-1]) if len(sizes) > 1 else np.inf

    def parts(self, w: Real) -> tuple[Complex, Complex, Complex]:
        """Zeta (F, m), its sum a (F,) and D = U - 11'/a (F, m, m), by elimination so that nothing cancels at low frequency."""
        s = self.decay + 1j * w
        zeta = self.nodes.inverse(s) / self.coupling(s)[:, None]
        return zeta, zeta.sum(axis=1), uncoupled_deviation(zeta, self.laplacian)

    def lifted(self, total: Complex, deviation: Complex) -> Complex:
        """N^{1/2} U N^{1/2}, whose norm is that of P U P'."""
        root = np.sqrt(self.sizes)
        return np.asarray(root[:, None] * (deviation + 1.0 / total[:, None, None]) * root)

    def expand(self, w: Real, r: Real) -> Expansion:
        """The module's expansion around w with radius r, (I,) each."""
        z, slope, bend = enclosure(self.nodes, w, r, shift=self.decay)
        psi, psi1, psi2, top, top1 = self._reciprocal(w, r)
        zeta, zeta1 = z * psi[:, None], slope * psi[:, None] + z * psi1[:, None]
        total, deviation = zeta.sum(axis=1), uncoupled_deviation(zeta, self.laplacian)
        along = zeta1.sum(axis=1) / total  # D zeta = 0
        side = np.einsum("iab,ib->ia", deviation, zeta1 - along[:, None] * zeta) / total[:, None]
        inside = (deviation * zeta1[:, None, :]) @ deviation
        u = self.lifted(total, deviation)
        with np.errstate(all="ignore"):  # bounds are infinite where an interval is too wide for its enclosure
            steep = np.abs(slope) + r[:, None] * bend
            most = np.abs(z) + r[:, None] * steep
            b = (bend * top[:, None] + 2 * steep * top1[:, None] + most * psi2[:, None]) / self.sizes
            d = r[:, None] * np.abs(zeta1) / self.sizes + 0.5 * r[:, None] ** 2 * b
            known = np.asarray(np.isfinite(b).all(axis=1))
            b, d = np.where(known[:, None], b, 0.0), np.where(known[:, None], d, 0.0)
            half = u * np.sqrt(d)[:, None, :]
            q = norm_bound(np.sqrt(d)[:, :, None] * half)
            room = known & (q < 1)
            series = np.where(room, norm_bound(half) ** 2 / (1 - q), np.inf)
            rest = 0.5 * r**2 * norm_bound(u * np.sqrt(b)[:, None, :]) ** 2 + series * q
        rest = np.where(room, rest, np.inf)
        return Expansion(zeta, total, deviation, along / total, side, inside, norms(u), rest, series)

    def _reciprocal(self, w: Real, r: Real) -> tuple[Complex, Complex, Real, Real, Real]:
        """1/f and its derivative at the middles, and bounds over the interval on its second derivative, its size and its slope."""
        s = self.decay + 1j * w
        far = np.abs(s) + r
        den, num = np.array(self.coupling.den), np.array(self.coupling.num)
        p, p1, p2 = np.polyval(den, s), np.polyval(np.polyder(den), s), np.polyval(np.abs(np.polyder(den, 2)), far)
        p1_most = np.abs(p1) + r * p2
        p_most = np.abs(p) + r * p1_most
        # 1/num = prod 1/(s - root): logarithmic derivative phi, |phi| and |phi'| over the interval
        inverse, phi = 1.0 / np.polyval(num, s), np.zeros(len(s), dtype=complex)
        change = np.zeros(len(s))
        for root in np.roots(num):
            phi -= 1.0 / (s - root)
            off = np.maximum(np.abs(w - root.imag) - r, 0.0)
            change += 1.0 / ((self.decay - root.real) ** 2 + off**2)
        with np.errstate(all="ignore"):  # infinite, or none, where an interval reaches a zero of f
            steep = np.abs(phi) + r * change
            i_most = np.abs(inverse) * np.exp(r * steep)
            i1, i1_most, i2_most = phi * inverse, steep * i_most, (steep**2 + change) * i_most
            second = p2 * i_most + 2 * p1_most * i1_most + p_most * i2_most
            top, top1 = p_most * i_most, p1_most * i_most + p_most * i1_most
        return p * inverse, p1 * inverse + p * i1, second, top, top1

    def low(self, w: float) -> tuple[float, float, float]:
        """Over [0, w]: a bound on ||T - g_hat 11'||, and bounds on |sum z| from below and above."""
        middle = np.array([0.5 * w])
        z, slope, bend = (found[0] / self.sizes for found in enclosure(self.nodes, middle, middle))
        r = 0.5 * w
        mean, mean1, mean2 = (float(abs(self.share @ x)) for x in (z, slope, bend))
        off = np.abs(z - self.share @ z) + r * (np.abs(slope - self.share @ slope) + r * (bend + mean2))
        least, most = mean - r * (mean1 + r * mean2), mean + r * (mean1 + r * mean2)
        if not (np.isfinite(most) and least > 0):
            return np.inf, 0.0, np.inf
        variance = float(self.share @ off**2)
        largest = float((np.abs(z) + r * (np.abs(slope) + r * bend)).max())
        powers_p, powers_q = np.array(self.coupling.num)[::-1], np.array(self.coupling.den)[::-1]
        p = abs(powers_p[0]) - float(np.sum(np.abs(powers_p[1:]) * w ** np.arange(1, len(powers_p))))
        q = float(np.sum(np.abs(powers_q[1:]) * w ** np.arange(1, len(powers_q))))
        reach = max(p, 0.0) / q * self.connectivity - largest - variance / least
        bound = 0.0 if len(z) == 1 else (1 + variance / least**2) / reach if reach > 0 else np.inf
        return bound, least * self.sizes.sum(), most * self.sizes.sum()


def uncoupled_deviation(zeta: Complex, laplacian: Real) -> Complex:
    """D = (diag zeta + L)^{-1} - 11'/sum(zeta), (F, m, m)."""
    one = np.ones(len(zeta), dtype=complex)
    return uniform_deviation(zeta, one, one, laplacian)


def norms(matrices: Complex) -> Real:
    """Spectral norms, (I,)."""
    return np.asarray(np.linalg.norm(matrices, 2, axis=(1, 2)))


def norm_bound(matrices: Complex) -> Real:
    """||A||_2 from above, within n^{1/8} and mostly a few per cent: the root of ||A^H A A^H A||_F."""
    scale = np.abs(matrices).max(axis=(1, 2))
    a = matrices / np.where(scale > 0, scale, 1.0)[:, None, None]
    gram = a.conj().swapaxes(1, 2) @ a
    return np.asarray(scale * np.linalg.norm(gram @ gram, axis=(1, 2)) ** 0.25)
