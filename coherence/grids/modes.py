"""Electromechanical modes of a case or a network; the solver is in `network.modes`."""

from __future__ import annotations

from dataclasses import replace

from coherence.errors import InputError
from coherence.grids.case import Case, require_case
from coherence.grids.convention import Convention
from coherence.grids.linearize import placed_nodes
from coherence.grids.powerflow import OperatingPoint
from coherence.grids.synchronising import synchronising_matrix
from coherence.network.modes import Modes, oscillations
from coherence.network.network import Network


def modes(
    subject: Case | Network,
    operating_point: OperatingPoint | None = None,
    *,
    convention: str | Convention = "classical",
    governors: str = "rational",
    damping: float | None = None,
    load_damping: float | None = None,
    count: int | None = None,
    near_hz: float | None = None,
    all_oscillations: bool = False,
) -> Modes:
    """The electromechanical modes, with shapes, damping and participations.

    Of a case they come from its synchronising matrix K itself, asymmetric where the convention has conductances; a network
    has only the symmetrised one.

    Parameters
    ----------
    subject : Case or Network
        A network needs coupling 1/s and swing-type nodes.
    operating_point : OperatingPoint, optional
        Of a case, from `power_flow`; computed when not given.
    convention : "classical", "terminal", "flow" or Convention
        Of a case: where machines sit, and how voltages, losses and loads act.
    governors, damping, load_damping : see `linearize`
    count : int, optional
        How many modes, the nearest to `near_hz`, by sparse shift-invert; without it all, densely (up to 2500 states).
    near_hz : float, optional
        Frequency [Hz] around which `count` modes are sought; default 0.5, where areas swing against each other.
    all_oscillations : bool
        Those of governors and of the frequency that all share too; by default only modes in which machines swing against each
        other, of which n machines have n - 1: half of the participations in angles and speeds, half of the kinetic energy in
        differences.

    Returns
    -------
    Modes

    Raises
    ------
    CaseError
        Machine figures are missing (the classical convention needs xd_prime_pu).
    InputError
        Nodes or coupling of another kind, or too many states for all modes.
    ToleranceError
        A mode with too large a residual.

    References
    ----------
    P. Kundur, Power System Stability and Control (1994), Section 12.2 (participation factors).

    Examples
    --------
    >>> from coherence import load_case, modes
    >>> modes(load_case("two_area")).table["frequency_hz"].round(3).tolist()
    [0.548, 1.147, 1.156]
    """
    if isinstance(subject, Network):
        if operating_point is not None or damping is not None or load_damping is not None:
            raise InputError("an operating point and damping belong to a case; this is a network, whose nodes have their dynamics")
        if governors != "rational" or convention != "classical":
            raise InputError("convention and governors belong to a case; this is a network, which is already linearised")
        if subject.nodes.passive.any() and count is None:
            raise InputError("this network keeps passive nodes: give count, or eliminate them with network.kron_reduce()")
        if subject.basis is not None or subject.coupling.sentence != "1/s":
            raise InputError("modes need a network of nodes with coupling 1/s; the poles of others: network.poles()")
        nodes, stiffness, about = subject.nodes, subject.laplacian, {}
    else:
        require_case(subject)
        loads = subject.load_damping if load_damping is None else load_damping
        found = synchronising_matrix(subject, operating_point, convention=convention, load_damping=bool(loads))
        nodes = placed_nodes(subject, found, governors=governors, damping=damping, load_damping=load_damping)
        stiffness = found.stiffness if count is not None else found.matrix.to_numpy()
        about = {"convention": str(found.convention), "operating point": found.operating_point}
        about |= {f"note {i + 1}": note for i, note in enumerate(subject.notes)}
    found_modes = oscillations(nodes, stiffness, count=count, near_hz=near_hz, all_oscillations=all_oscillations)
    return replace(found_modes, about=about)
