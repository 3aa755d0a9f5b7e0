r"""Whether a network, or a network under feedback, is stable, and how that is known.

    passivity     every node output strictly passive with index eps, f positive real, and of a closed loop: measured where it acts
                  (F = W^T, no flows) at nodes with dynamics, and He(-K) >= -eps / (2 ||W||^2) on the axis. Then on Re s > 0
                  Re y^* (G^{-1} + f L - W K W^T) y >= eps/2 |y|^2, whatever L.
    eigenvalues   of up to 3000 states (passive buses eliminated): some ten seconds

Larger systems that are not passive are left undecided: counting turns of a determinant over sampled frequencies misses narrow
resonances, and a few eigenvalues near a shift prove nothing of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla

from coherence.display import Page
from coherence.errors import InputError
from coherence.network.feedback import ClosedLoop
from coherence.network.network import Network, require_nodes
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization, pole_text, without_hidden
from coherence.theory.passivity import passivity_indices
from coherence.types import Complex

COLLOCATED = 1e-12  # of the largest share: F and W^T that differ by less are equal
STATES = 3000  # of which all eigenvalues are computed
CERTAIN = 1e-10  # of the largest |K|: a slack below it is rounding


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Page):
    """What is known about the stability of a network or closed loop; see `stability`.

    Attributes
    ----------
    stable : bool or None
        None: not decided.
    by : str
        "passivity", "eigenvalues" or "undecided".
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
    index = _index(network)
    if index and (isinstance(system, Network) or _collocated(system, index)):
        return Stability(True, "passivity", f"stable by passivity{_of(system)}: the least index is {index:.4g}")
    if system.order <= STATES:
        try:
            return _eigenvalues(system.kron_reduce() if network.nodes.passive.any() else system)
        except InputError as error:
            if isinstance(system, Network):
                raise
            return Stability(None, "undecided", f"not decided: {error}")
    why = "its feedback is not collocated and passive" if index else "not all nodes are output strictly passive"
    most = f"too many for all eigenvalues (at most {STATES})"
    return Stability(None, "undecided", f"not decided: {why}, and {system.order} states are {most}")


def _index(network: Network) -> float:
    """The least index of output strict passivity, where every node has one and f is positive real; else 0."""
    assert isinstance(network.coupling, Rational)
    moving = network.nodes.select(np.flatnonzero(~network.nodes.passive).tolist())
    if not network.coupling.is_positive_real():
        return 0.0
    table = passivity_indices(moving)
    return float(table["index"].min()) if bool(table["passive"].all()) else 0.0


def _of(system: Network | ClosedLoop) -> str:
    return " of its nodes, for every Laplacian" if isinstance(system, Network) else " of its nodes and of its feedback"


def _collocated(loop: ClosedLoop, index: float) -> bool:
    """Whether the feedback is measured where it acts, at nodes with dynamics, and lacks no more passivity than half of theirs."""
    f = loop.feedback
    if f.flows.any() or f.outputs.shape != f.actuators.T.shape or f.actuators[loop.network.nodes.passive].any():
        return False
    if np.abs(f.outputs - f.actuators.T).max(initial=0.0) > COLLOCATED * np.abs(f.actuators).max(initial=0.0):
        return False
    k, size = f.controller, float(np.linalg.norm(f.actuators, 2))
    return not size or least_real_part_above(Realization(k.a, k.b, -k.c, -k.d), -0.5 * index / size**2)


def least_real_part_above(system: Realization, level: float) -> bool:
    """Whether a square system is stable and the Hermitian part (G + G^*)/2 is at least `level` < 0 on the whole axis.

    It crosses the level only at eigenvalues on the axis of a pencil, which is regular for D = 0, too; between neighbouring
    candidates it does not, so that their middles decide. A level below rounding of the largest |G| is never certified.
    """
    at_once = float(np.linalg.eigvalsh(0.5 * (system.d + system.d.T)).min(initial=0.0))
    if at_once < level:
        return False
    if not system.order:
        return True
    if not system.is_stable():
        return False
    n, m = system.b.shape
    left, right = np.zeros((2 * n + m, 2 * n + m)), np.zeros((2 * n + m, 2 * n + m))
    left[:n, :n], left[n : 2 * n, n : 2 * n] = system.a, -system.a.T
    left[:n, 2 * n :], left[n : 2 * n, 2 * n :] = system.b, -system.c.T
    left[2 * n :, :n], left[2 * n :, n : 2 * n] = system.c, system.b.T
    left[2 * n :, 2 * n :] = system.d + system.d.T - 2 * level * np.eye(m)
    right[: 2 * n, : 2 * n] = np.eye(2 * n)
    zeros = sla.eigvals(left, right, check_finite=False)
    zeros = np.concatenate([zeros[np.isfinite(zeros)], system.poles()])
    w = np.unique(np.concatenate([[0.0], np.abs(zeros.imag), np.abs(zeros)]))
    values = system(1j * np.concatenate([w, 0.5 * (w[1:] + w[:-1]), [2.0 * w[-1]]]))
    return -level > CERTAIN * float(np.abs(values).max()) and _least(values) >= level


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
    sentence = mode_sentence(first, node)
    if first == 0:
        held = isinstance(system, Network) or not system.feedback.controller.order
        why = "neither damping nor droop" if held else "neither damping nor droop, or integrators that act on one signal"
        sentence += f" (a motion that nothing holds: {why})"
    return Stability(False, "eigenvalues", f"not stable: {sentence}", first, node)


def mode_node(system: Realization, pole: complex, labels: tuple[str, ...]) -> str:
    """The output that moves most in a mode."""
    values, vectors = np.linalg.eig(system.a)
    shape: Complex = system.c @ vectors[:, int(np.abs(values - pole).argmin())]
    return labels[int(np.abs(shape).argmax())]


def mode_sentence(pole: complex, node: str) -> str:
    """The pole in words, with the node that moves most in it."""
    swing = f"oscillates at {abs(pole.imag) / (2 * np.pi):.4g} Hz and " if abs(pole.imag) > 1e-9 * abs(pole) else ""
    grows = f"grows at {pole.real:.3g} 1/s" if pole.real > 0 else "does not die out"
    return f"its mode at {pole_text(pole)} 1/s {swing}{grows}, most at node {node!r}"
