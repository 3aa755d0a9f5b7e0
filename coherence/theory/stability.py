r"""Whether a network, or a network under feedback, is stable, and how that is known.

passivity     every node output strictly passive, f positive real, and of a closed loop: measured where it acts (F = W^T, no
flows) and -K positive real. Then Re y^* (G^{-1} + f L - W K W^T) y >= eps |y|^2 on Re s > 0, whatever L.
eigenvalues   of up to 1500 states (passive buses eliminated)
Nyquist       larger closed loops on a network that passivity proves stable, under stable controllers: by
det(I - K C T W), a p x p determinant whose turns around 0 count the unstable poles of the loop; one sparse
factorisation a frequency. Between the frequencies nothing is proved: they are refined until the determinant turns
by less than an eighth between any two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network, require_nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, pole_text, without_hidden
from coherence.theory.passivity import DENSE_STATES, passivity_indices
from coherence.types import Complex, Real

COLLOCATED = 1e-12  # of the largest share: F and W^T that differ by less are equal
TURN = np.pi / 4  # of the determinant between two frequencies
GRID = np.geomspace(1e-6, 1e6, 241)  # rad/s, to begin with
FREQUENCIES = 20_000  # of a Nyquist curve at most
MOST = f"at most {DENSE_STATES}"
CROSSED = 1e-9  # relative distance from the axis of a generalised eigenvalue that lies on it


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Page):
    """What is known about the stability of a network or closed loop; see `stability`.

    Attributes
    ----------
    stable : bool or None
        None: not decided.
    by : str
        "passivity", "eigenvalues", "Nyquist" or "undecided".
    sentence : str
    mode : complex or None
        The pole with the largest real part [1/s], where poles were computed.
    node : str or None
        The node that moves most in it.

    Examples
    --------
    >>> from coherence import Network, stability, swing
    >>> stability(Network(swing(inertia=[1, 2], damping=[0.5, 2]), [[1, -1], [-1, 1]], "1/s")).by
    'passivity'
    """

    stable: bool | None
    by: str
    sentence: str
    mode: complex | None = None
    node: str | None = None

    def __repr__(self) -> str:
        return f"Stability({self.sentence})"

    def __bool__(self) -> bool:
        return bool(self.stable)


def stability(system: Network | ClosedLoop) -> Stability:
    """Whether a network or a closed loop is stable: by passivity where it decides, else by eigenvalues.

    Parameters
    ----------
    system : Network or ClosedLoop
        Of rational nodes and coupling. The angle all share is no mode.

    Returns
    -------
    Stability
        An unstable one is a result, with its mode. True in a condition only where it is known to be stable.

    Raises
    ------
    InputError
        Nodes or a coupling known by their responses.

    Notes
    -----
    Derived in the module. Eigenvalues within rounding of the axis count as not stable: the mode "does not die out".

    Examples
    --------
    >>> from coherence import linearize, load_case, stability
    >>> stability(linearize(load_case("iceland")))
    Stability(stable by its eigenvalues, the largest real part is -0.001053 1/s)
    """
    network = system.network if isinstance(system, ClosedLoop) else system
    require_nodes(network, "stability")
    network.nodes.require_rational("stability")
    if not isinstance(network.coupling, Rational):
        raise InputError("stability needs a rational coupling f; this one is known by its values only")
    passive = _passive(network)
    if passive and (isinstance(system, Network) or _collocated(system)):
        return Stability(True, "passivity", f"stable by passivity{_of(system)}: the least index is {passive:.4g}")
    if system.order <= DENSE_STATES:
        return _eigenvalues(system.kron_reduce() if network.nodes.passive.any() else system)
    if isinstance(system, ClosedLoop) and passive:
        return _nyquist(system)
    why = "not all nodes are output strictly passive" if not passive else "its feedback is not collocated and passive"
    return Stability(
        None,
        "undecided",
        f"not decided: {why}, and {system.order} states are too many for all eigenvalues (at most {DENSE_STATES})",
    )


def _passive(network: Network) -> float:
    """The least index of output strict passivity, where every node has one and f is positive real; else 0."""
    assert isinstance(network.coupling, Rational)
    moving = network.nodes.select(np.flatnonzero(~network.nodes.passive).tolist())
    if not network.coupling.is_positive_real():
        return 0.0
    table = passivity_indices(moving)
    return float(table["index"].min()) if bool(table["passive"].all()) else 0.0


def _of(system: Network | ClosedLoop) -> str:
    return " of its nodes, for every Laplacian" if isinstance(system, Network) else " of its nodes and of its feedback"


def _collocated(loop: ClosedLoop) -> bool:
    """Whether the feedback is measured where it acts, and -K is positive real."""
    f = loop.feedback
    if f.flows.any() or f.outputs.shape != f.actuators.T.shape:
        return False
    if np.abs(f.outputs - f.actuators.T).max(initial=0.0) > COLLOCATED * np.abs(f.actuators).max(initial=0.0):
        return False
    k = f.controller
    return is_positive_real(Realization(k.a, k.b, -k.c, -k.d))


def is_positive_real(system: Realization) -> bool:
    """Whether a stable square system has G + G^* >= 0 on the axis, to 1e-9 of its size.

    Zeros of G + G^* - 2 l, l just below 0, on the axis are generalised eigenvalues of a pencil, which is regular for D = 0, too;
    where there are none the sign is that of any one frequency.
    """
    if not system.order:
        return bool(np.linalg.eigvalsh(system.d + system.d.T).min(initial=0.0) >= -1e-12 * np.abs(system.d).max(initial=0.0))
    if not system.is_stable():
        return False
    n, m = system.b.shape
    size = np.abs(system.poles())
    around = np.concatenate([[0.0], np.geomspace(size.min() / 100, size.max() * 100, 200)])
    values = system(1j * around)
    level = -1e-9 * float(np.abs(values).max())
    if _least(values) < level or np.linalg.eigvalsh(system.d + system.d.T).min() < 2 * level:
        return False
    left, right = np.zeros((2 * n + m, 2 * n + m)), np.zeros((2 * n + m, 2 * n + m))
    left[:n, :n], left[n : 2 * n, n : 2 * n] = system.a, -system.a.T
    left[:n, 2 * n :], left[n : 2 * n, 2 * n :] = system.b, -system.c.T
    left[2 * n :, :n], left[2 * n :, n : 2 * n] = system.c, system.b.T
    left[2 * n :, 2 * n :] = system.d + system.d.T - 2 * level * np.eye(m)
    right[: 2 * n, : 2 * n] = np.eye(2 * n)
    zeros = sla.eigvals(left, right, check_finite=False)
    zeros = zeros[np.isfinite(zeros)]
    w = np.unique(np.abs(zeros.imag[np.abs(zeros.real) <= CROSSED * np.maximum(np.abs(zeros), size.min())]))
    if not w.size:
        return True
    between = np.concatenate([w, 0.5 * (w[1:] + w[:-1]), [0.5 * w[0], 2.0 * w[-1] + size.max()]])
    return _least(system(1j * between)) >= 1.001 * level


def _least(values: Complex) -> float:
    """The least eigenvalue of the Hermitian parts."""
    return float(np.linalg.eigvalsh(0.5 * (values + values.conj().swapaxes(1, 2))).min())


def _eigenvalues(system: Network | ClosedLoop) -> Stability:
    found = without_hidden(system.realization)  # integrators of nodes and of the coupling may repeat each other
    poles = found.poles()
    if not poles.size:
        return Stability(True, "eigenvalues", "stable: it has no poles")
    first = complex(poles[0])
    node = mode_node(found, first, system.labels)
    if first.real < -found.rounding:
        return Stability(
            True, "eigenvalues", f"stable by its eigenvalues, the largest real part is {first.real:.4g} 1/s", first, node
        )
    if abs(first.real) <= found.rounding:
        first = complex(0.0, first.imag if abs(first.imag) > found.rounding else 0.0)
    return Stability(False, "eigenvalues", f"not stable: {mode_sentence(first, node)}", first, node)


def mode_node(system: Realization, pole: complex, labels: tuple[str, ...]) -> str:
    """The output that moves most in a mode."""
    values, vectors = np.linalg.eig(system.a)
    shape: Complex = system.c @ vectors[:, int(np.abs(values - pole).argmin())]
    return labels[int(np.abs(shape).argmax())]


def mode_sentence(pole: complex, node: str) -> str:
    """The pole in words, with the node that moves most in it."""
    swing = f"oscillates at {abs(pole.imag) / (2 * np.pi):.4g} Hz and " if abs(pole.imag) > 1e-9 * abs(pole) else ""
    common = " (a motion that nothing holds: neither damping nor droop)" if pole == 0 else ""
    grows = f"grows at {pole.real:.3g} 1/s" if pole.real > 0 else "does not die out"
    return f"its mode at {pole_text(pole)} 1/s {swing}{grows}, most at node {node!r}{common}"


def _nyquist(loop: ClosedLoop) -> Stability:
    """By the turns of det(I - K C T W) around 0."""
    f = loop.feedback
    if f.controller.order and not f.controller.is_stable():
        why = "a controller that is not stable (integral action) leaves the Nyquist criterion without a beginning"
        return Stability(None, "undecided", f"not decided: {loop.order} states are too many for all poles ({MOST}), and {why}")
    omega = GRID
    values = _determinant(loop, omega)
    while len(omega) < FREQUENCIES:
        turn = np.abs(np.angle(values[1:] / values[:-1]))
        wide = np.flatnonzero(turn > TURN)
        if not wide.size:
            break
        between = np.sqrt(omega[wide] * omega[wide + 1])
        fresh = _determinant(loop, between)
        order = np.argsort(np.concatenate([omega, between]), kind="stable")
        omega, values = np.concatenate([omega, between])[order], np.concatenate([values, fresh])[order]
    else:
        raise ToleranceError(
            f"the Nyquist curve of the closed loop turns too fast for {FREQUENCIES} frequencies: a pole is next to the axis"
        )
    ends = [np.angle(values[0] / values[0].real), np.angle(values[-1] / values[-1].real)]  # at 0 and infinity it is real
    half = float(np.angle(values[1:] / values[:-1]).sum()) + ends[0] - ends[1]
    unstable = round(-half / np.pi)
    how = f"by the Nyquist criterion at {len(omega)} frequencies (not proved between them)"
    if unstable == 0:
        return Stability(True, "Nyquist", f"stable {how}")
    return Stability(False, "Nyquist", f"not stable: {unstable} poles in Re s > 0 {how}")


def _determinant(loop: ClosedLoop, omega: Real) -> Complex:
    points, f = 1j * omega, loop.feedback
    seen = loop.measured(points, loop.network.transfer_of(points, f.actuators))
    return np.asarray(np.linalg.det(np.eye(len(f.powers)) - f.controller(points) @ seen))
