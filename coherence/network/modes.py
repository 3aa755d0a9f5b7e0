r"""Electromechanical modes: how swing-type nodes oscillate against each other, with shapes, damping and participations.

With angles delta, speeds w, the nodes' inner states x and, where a stiffness is not reduced, what follows at once (xi):

    delta' = w,   m w' = -d w - C x - K_kk delta - K_ke xi,   x' = A x + B w,   0 = K_ek delta + K_ee xi.

Dense (all modes) for small systems; shift-invert on this sparse descriptor form (the modes nearest to a frequency) for large
ones. K need not be symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg as sla
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from coherence.display import Page
from coherence.errors import InputError, ToleranceError
from coherence.graphs.partition import Partition
from coherence.nodes.nodes import Nodes
from coherence.numerics.sparse import schur_complement
from coherence.types import Complex, Real

NEAR_HZ = 0.5  # where areas swing against each other
SMALL_STATES = 60  # for which few modes are taken from all
DENSE_STATES = 2500  # about a minute for all modes
HALF = (
    0.5  # an electromechanical mode has more than half of its participations in angles and speeds, and of its energy in differences
)
NAMED = 0.1  # of the motion of the group that moves most: from here on a group is named
RESIDUAL = 1e-7  # |(A - lambda E) v| / (|A| |v|) that a mode must reach
EXTRA = 3  # modes sought beyond those asked, for governors reorder them
NEWTON = 30  # steps of a moving shift
REPEATED = 1e-7  # relative distance of eigenvalues that count as one
GROWTH = 4  # how much more of the spectrum is asked for where too few modes were electromechanical


@dataclass(frozen=True, eq=False, repr=False)
class Modes(Page):
    """Oscillatory modes in ascending frequency; see `modes`.

    Attributes
    ----------
    table : DataFrame
        mode (1, 2, ...) -> real, imag [1/s], frequency_hz, damping_ratio, rotor (share of angles and speeds in the
        participations), common (share of the kinetic energy in the motion that all share: 1 for the frequency of the system,
        near 0 between machines), largest (node that participates most), residual (relative, of the eigenvalue equation).
    shapes : DataFrame
        (node, mode), complex: speeds, the first of the largest of each mode being 1.
    unstable : complex array
        Eigenvalues with positive real part, oscillating or not [1/s]; where only some modes were sought, those among them.
    complete : bool
        Whether all eigenvalues were computed.
    inertia : (n,) float
        Of the nodes, in the order of the shapes.
    about : dict of str
        The convention, operating point and notes of the case.
    participations : DataFrame
        (node, mode): modulus of the sum of a node's participation factors w_i v_i, where those of all states sum to 1.
        Equal machines have equal eigenvalues: if not all of those are sought, theirs depend on which were found.

    Examples
    --------
    >>> from coherence import load_case, modes
    >>> found = modes(load_case("nets_nyps68"))
    >>> found.table["frequency_hz"].round(4).tolist()[:3]
    [0.3905, 0.5009, 0.6419]
    >>> found.participations[1].idxmax()
    'G13'
    """

    table: pd.DataFrame
    shapes: pd.DataFrame
    participations: pd.DataFrame
    unstable: Complex
    complete: bool
    inertia: Real
    about: dict[str, str] = field(default_factory=dict)

    @property
    def eigenvalues(self) -> Complex:
        """Lambda [1/s], (modes,), with positive imaginary parts."""
        return np.asarray(self.table["real"] + 1j * self.table["imag"], dtype=complex)

    def __repr__(self) -> str:
        if self.table.empty:
            return f"Modes(no oscillatory mode of {len(self.shapes)} nodes)"
        low, high = self.table["frequency_hz"].iloc[[0, -1]]
        return f"Modes({len(self.table)} of {len(self.shapes)} nodes, {low:.4g} to {high:.4g} Hz)"

    @property
    def facts(self) -> dict[str, str]:
        """Where they come from, and whether the system is stable."""
        if len(self.unstable):
            shown = ", ".join(f"{v.real:.4g}" + (f" ± {v.imag:.4g}j" if v.imag > 0 else "") for v in self.unstable[:4])
            verdict = f"not stable: {shown} 1/s; a real one is a machine that loses synchronism without oscillating"
        else:
            verdict = "no eigenvalue of positive real part" + ("" if self.complete else " among those sought")
        return {"stability": verdict, **self.about}

    def named(self, partition: Partition) -> pd.DataFrame:
        """What each mode separates: groups that swing against groups, or machines within one group.

        Parameters
        ----------
        partition : Partition
            Of the nodes of these modes.

        Returns
        -------
        DataFrame
            mode -> frequency_hz, damping_ratio, name ("west against east", or "within west") and between: the share of the
            kinetic energy, sum m |shape|^2, that is of the groups' centers of inertia. A mode is between groups where that is
            more than half; groups that move at least a tenth as far as the one that moves most are named.

        Raises
        ------
        InputError
            A partition of other nodes.
        """
        if sorted(partition.labels) != sorted(map(str, self.shapes.index)):
            raise InputError("the partition is of other nodes than these modes; build it from the labels of their shapes")
        order = [partition.labels.index(str(label)) for label in self.shapes.index]
        member = partition.indicator[order]
        total = np.maximum(self.inertia @ member, np.finfo(float).tiny)
        rows: dict[Any, tuple[str, float]] = {}
        for mode in self.table.index:
            shape = self.shapes[mode].to_numpy()
            energy = self.inertia * np.abs(shape) ** 2
            means = (self.inertia * shape) @ member / total
            between = float(total @ np.abs(means) ** 2 / energy.sum())
            within = partition.groups[int((energy @ member).argmax())]
            rows[mode] = (_opposed(partition.groups, means) if between > HALF else f"within {within}", between)
        found = self.table[["frequency_hz", "damping_ratio"]].copy()
        return found.assign(name=[rows[mode][0] for mode in found.index], between=[rows[mode][1] for mode in found.index])

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The modes, and the participations."""
        return {"modes": self.table, "participations": self.participations}


def _opposed(groups: tuple[str, ...], means: Complex) -> str:
    """Groups that swing with the one that moves most, against those that swing the other way."""
    most = means[int(np.abs(means).argmax())]
    along = (means / most).real
    sides = [", ".join(str(group) for group, x in zip(groups, along, strict=True) if sign * x >= NAMED) for sign in (1.0, -1.0)]
    return f"{sides[0]} against {sides[1] or 'the others'}"


def oscillations(
    nodes: Nodes, stiffness: Any, *, count: int | None = None, near_hz: float | None = None, all_oscillations: bool = False
) -> Modes:
    """Modes of nodes m s + d + h(s) coupled by a stiffness over s; parameters as in `coherence.modes`.

    `stiffness` (N, N) begins with the angles of the nodes, in order; further rows are algebraic.
    """
    if len(nodes.polynomial) > 2 and np.any(nodes.polynomial[2:]):
        label = nodes.labels[int(np.argmax(nodes.degree > 1))]
        raise InputError(f"node {label!r} is of relative degree > 1; modes are of swing-type nodes m s + d + h(s)")
    if count is not None and (not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1):
        raise InputError(f"count = {count!r}; give a whole number of modes >= 1, or leave it out for all")
    if near_hz is not None and not (isinstance(near_hz, (int, float, np.number)) and np.isfinite(near_hz) and near_hz > 0):
        raise InputError(f"near_hz = {near_hz!r}; give a frequency in Hz > 0")
    if near_hz is not None and count is None:
        raise InputError("near_hz needs count: how many modes near it")
    centre = NEAR_HZ if near_hz is None else float(near_hz)
    system = _descriptor(nodes, sp.csr_array(stiffness))
    states = system.size - system.algebraic
    if count is None or states <= SMALL_STATES:
        if states > DENSE_STATES:
            raise InputError(
                f"all modes of {states} states are too much dense work (at most {DENSE_STATES}); "
                "give count and near_hz for those nearest to a frequency"
            )
        values, right, left = _all(system)
    else:
        values, right, left = _nearest(system, int(count), centre, all_oscillations)
    modes = _collect(nodes, system, values, right, left, all_oscillations)
    if count is None:
        return replace(modes, complete=True)
    nearest = np.argsort(np.abs(modes.eigenvalues - 2j * np.pi * centre), kind="stable")[:count]
    return _select(modes, np.sort(nearest))


@dataclass(frozen=True)
class _System:
    """E z' = A z with z = (delta, w, x, xi); `owner` of each differential inner state, `k` nodes."""

    e: Real  # diagonal
    a: sp.csr_array
    k: int
    owner: Any
    algebraic: int

    @property
    def size(self) -> int:
        return len(self.e)


def _descriptor(nodes: Nodes, stiffness: sp.csr_array) -> _System:
    k, total = len(nodes), stiffness.shape[0]
    inner: list[tuple[Any, ...]] = []
    ports: list[tuple[Any, ...]] = []
    start = 0
    for bank in nodes.banks:
        count, order = len(bank.owner), bank.order
        states = start + np.arange(count * order).reshape(count, order)
        inner.append((np.repeat(states, order, axis=1).ravel(), np.tile(states, (1, order)).ravel(), bank.a.ravel()))
        ports.append((states.ravel(), np.repeat(bank.owner, order), bank.b.ravel(), bank.c.ravel()))
        start += count * order
    rows, columns, values = _joined(inner, 3)
    states, owner, b, c = _joined(ports, 4)
    owner = owner.astype(int)
    a_h = sp.csr_array((values, (rows.astype(int), columns.astype(int))), shape=(start, start))
    b_h = sp.csr_array((b, (states.astype(int), owner)), shape=(start, k))
    c_h = sp.csr_array((c, (owner, states.astype(int))), shape=(k, start))
    rest = total - k
    m = nodes.inertia
    a = sp.block_array(
        [
            [sp.csr_array((k, k)), sp.eye_array(k), None, None],
            [-stiffness[:k][:, :k], -sp.diags_array(nodes.damping), -c_h, -stiffness[:k][:, k:]],
            [sp.csr_array((start, k)), b_h, a_h, sp.csr_array((start, rest))],
            [stiffness[k:][:, :k], sp.csr_array((rest, k)), sp.csr_array((rest, start)), stiffness[k:][:, k:]],
        ],
        format="csr",
    )
    e = np.concatenate([np.ones(k), m, np.ones(start), np.zeros(rest)])
    return _System(e, sp.csr_array(a), k, owner, rest + int((m == 0).sum()))


def _joined(parts: list[tuple[Any, ...]], width: int) -> list[Any]:
    return [np.concatenate([part[i] for part in parts]) if parts else np.zeros(0) for i in range(width)]


def _all(system: _System) -> tuple[Complex, Complex, Complex]:
    """All eigenvalues and vectors of the system with its algebraic part eliminated; vectors on the differential states."""
    kept = np.flatnonzero(system.e != 0)
    a = schur_complement(system.a, kept).toarray() / system.e[kept, None]
    values, left, right = sla.eig(a, left=True, right=True)
    whole = np.zeros((2, system.size, len(values)), dtype=complex)
    whole[0, kept], whole[1, kept] = right, left.conj() / system.e[kept, None]
    gone = np.flatnonzero(system.e == 0)
    if gone.size:
        lu = spla.splu(sp.csc_array(system.a[gone][:, gone]))
        from_kept = system.a[gone][:, kept]
        whole[0, gone] = -(lu.solve((from_kept @ right).real) + 1j * lu.solve((from_kept @ right).imag))
    return values, whole[0], whole[1]


def _nearest(system: _System, count: int, near_hz: float, everything: bool) -> tuple[Complex, Complex, Complex]:
    """Eigenpairs nearest to 2 pi j near_hz, enough of them to hold `count` electromechanical ones.

    Governors crowd the spectrum with real eigenvalues, so the modes of the machines without their inner states are found
    first and led to those of the system; shift-invert on the whole system is left for what that does not find.
    """
    if len(system.owner) and not everything:
        found = _led(system, count, near_hz)
        if found is not None:
            return found
    return _shift_inverted(system, count, near_hz, everything)


def _led(system: _System, count: int, near_hz: float) -> tuple[Complex, Complex, Complex] | None:
    """Modes without inner states, by shift-invert, each refined by Newton steps on the whole system; None if two meet in one."""
    k, inner = system.k, len(system.owner)
    kept = np.concatenate([np.arange(2 * k), np.arange(2 * k + inner, system.size)])
    plain = _System(system.e[kept], sp.csr_array(system.a[kept][:, kept]), k, system.owner[:0], system.algebraic)
    values, right, _ = _shift_inverted(plain, count + EXTRA, near_hz, False)
    starts = np.zeros((system.size, len(values)), dtype=complex)
    starts[kept] = right
    found = [_refined(system, complex(value), starts[:, i]) for i, value in enumerate(values)]
    if any(pair is None for pair in found):
        return None
    pairs = [pair for pair in found if pair is not None]
    values = np.array([pair[0] for pair in pairs])
    apart = np.abs(values[:, None] - values[None, :]) + np.eye(len(values)) * np.abs(values).max(initial=0.0)
    if (apart < 1e-9 * np.abs(values).max()).any():
        return None
    right = np.column_stack([pair[1] for pair in pairs])
    return values, right, _left(system, values)


def _refined(system: _System, value: complex, vector: Complex) -> tuple[complex, Complex] | None:
    """The eigenpair that inverse iteration with a moving shift leads to; None where it leaves the neighbourhood."""
    first, moving = value, system.e != 0
    for _ in range(NEWTON):
        lu = spla.splu(sp.csc_array(system.a - value * (1 + 1e-12) * sp.diags_array(system.e)))
        new = lu.solve(system.e * vector)
        change = np.vdot(vector[moving], vector[moving]) / np.vdot(vector[moving], new[moving])
        vector = new / np.linalg.norm(new)
        value = value + complex(change)
        if abs(value - first) > 0.3 * abs(first):
            return None
        if abs(change) <= 1e-13 * abs(value):
            return value, vector
    return None


def _shift_inverted(system: _System, count: int, near_hz: float, everything: bool) -> tuple[Complex, Complex, Complex]:
    """Eigenpairs nearest to 2 pi j near_hz, more and more of them until `count` are electromechanical."""
    shift = 2j * np.pi * near_hz
    e = sp.diags_array(system.e)
    lu = spla.splu(sp.csc_array(system.a - shift * e))
    size, most = system.size, system.size - system.algebraic - 2
    operator = spla.LinearOperator((size, size), matvec=lambda z: lu.solve(system.e * z), dtype=complex)
    start = np.random.default_rng(0).standard_normal(size) * (system.e != 0)
    asked = min(2 * count + 4, most)
    while True:
        inverse, right = spla.eigs(operator, k=asked, v0=lu.solve(start.astype(complex)), tol=1e-12)
        values = shift + 1.0 / inverse
        near = np.argsort(np.abs(inverse))[::-1]
        values, right = values[near], right[:, near]
        oscillating = values.imag > _zero(system)
        values, right = values[oscillating], right[:, oscillating]
        left = _left(system, values)
        good = len(values) if everything else int(_electromechanical(_rotor(system, right, left), _common(system, right)).sum())
        if good >= count or asked >= most:
            return values, right, left
        asked = min(GROWTH * asked, most)


def _left(system: _System, values: Complex) -> Complex:
    """Left eigenvectors w^T (A - lambda E) = 0, by inverse iteration; as many per cluster of equal eigenvalues as there are."""
    out = np.zeros((system.size, len(values)), dtype=complex)
    rng = np.random.default_rng(1)
    for cluster in _clusters(values):
        lu = spla.splu(sp.csc_array(system.a - values[cluster[0]] * (1 + 1e-10) * sp.diags_array(system.e)))
        w = rng.standard_normal((system.size, len(cluster))).astype(complex)
        for _ in range(3):
            w = np.linalg.qr(lu.solve(system.e[:, None] * w, trans="T"))[0]
        out[:, cluster] = w
    return out


def _clusters(values: Complex) -> list[Any]:
    """Positions of eigenvalues that are equal but for rounding."""
    left, found = list(range(len(values))), []
    while left:
        near = [i for i in left if abs(values[i] - values[left[0]]) <= REPEATED * abs(values[left[0]])]
        found.append(np.array(near))
        left = [i for i in left if i not in near]
    return found


def _biorthogonal(system: _System, values: Complex, right: Complex, left: Complex) -> tuple[Complex, Complex]:
    """Right vectors orthogonal in the kinetic energy and left ones with w_i^T E v_j = 1 or 0, within each cluster.

    Equal machines have equal eigenvalues; any basis of their space is one of modes, this one has participations that sum to one.
    """
    right, left = right.copy(), left.copy()
    speed = slice(system.k, 2 * system.k)
    weight = np.sqrt(np.maximum(system.e[speed], 0.0))[:, None]
    for cluster in _clusters(values):
        if len(cluster) > 1:
            factor: Any = np.linalg.qr(weight * right[speed, cluster], mode="r")
            right[:, cluster] = np.linalg.solve(factor.T, right[:, cluster].T).T
        gram = left[:, cluster].T @ (system.e[:, None] * right[:, cluster])
        left[:, cluster] = np.linalg.solve(gram, left[:, cluster].T).T
    return right, left


def _participation(system: _System, right: Complex, left: Complex) -> Complex:
    factors = left * system.e[:, None] * right
    return np.asarray(factors / factors.sum(axis=0))


def _rotor(system: _System, right: Complex, left: Complex) -> Real:
    size = np.abs(_participation(system, right, left))
    return np.asarray(size[: 2 * system.k].sum(axis=0) / size.sum(axis=0))


def _common(system: _System, right: Complex) -> Real:
    """|sum m w|^2 / (sum m  sum m |w|^2): the share of the uniform motion in the kinetic energy."""
    m, speed = system.e[system.k : 2 * system.k], right[system.k : 2 * system.k]
    energy = m.sum() * (m @ np.abs(speed) ** 2)
    return np.asarray(np.abs(m @ speed) ** 2 / np.where(energy > 0, energy, 1.0))


def _electromechanical(rotor: Real, common: Real) -> NDArray[np.bool_]:
    return np.asarray((rotor >= HALF) & (common <= HALF))


def _zero(system: _System) -> float:
    """Frequencies below it are rounding of the zero eigenvalues: 1e-5 of a typical swing frequency sqrt(K_ii / m_i)."""
    k = system.k
    m, stiffness = system.e[k : 2 * k], np.abs(system.a[k : 2 * k][:, :k].diagonal())
    swing = np.sqrt(stiffness[m > 0] / m[m > 0])
    swing = swing[swing > 0]
    return 1e-5 * float(np.median(swing)) if swing.size else 1e-9


def _collect(nodes: Nodes, system: _System, values: Complex, right: Complex, left: Complex, everything: bool) -> Modes:
    unstable = values[(values.real > _zero(system)) & (values.imag >= 0)]
    unstable = unstable[np.argsort(-unstable.real, kind="stable")]
    oscillating = np.flatnonzero(values.imag > _zero(system))
    values, right, left = values[oscillating], right[:, oscillating], left[:, oscillating]
    right, left = _biorthogonal(system, values, right, left)
    rotor, common = _rotor(system, right, left), _common(system, right)
    chosen = np.flatnonzero(_electromechanical(rotor, common) | everything)
    chosen = chosen[np.argsort(values[chosen].imag, kind="stable")]
    values, right, left = values[chosen], right[:, chosen], left[:, chosen]
    rotor, common = rotor[chosen], common[chosen]
    residual = np.linalg.norm(system.a @ right - system.e[:, None] * right * values, axis=0)
    residual /= spla.norm(system.a) * np.linalg.norm(right, axis=0)
    if residual.size and residual.max() > RESIDUAL:
        raise ToleranceError(
            f"a mode at {values[residual.argmax()]:.5g} 1/s has relative residual {residual.max():.1e} (needed {RESIDUAL:g})"
        )
    k, names = system.k, pd.Index(nodes.labels, name="node")
    speeds = right[k : 2 * k]
    size = np.abs(speeds)
    first = (size >= (1 - 1e-6) * size.max(axis=0, initial=0.0)).argmax(
        axis=0
    )  # of equal machines the first, whatever rounding says
    shapes = speeds / speeds[first, np.arange(speeds.shape[1])]
    factors = _participation(system, right, left)
    by_node = factors[:k] + factors[k : 2 * k]
    np.add.at(by_node, system.owner, factors[2 * k : 2 * k + len(system.owner)])
    shares = np.abs(by_node)
    index = pd.RangeIndex(1, len(values) + 1, name="mode")
    table = pd.DataFrame(
        {
            "real": values.real,
            "imag": values.imag,
            "frequency_hz": values.imag / (2 * np.pi),
            "damping_ratio": -values.real / np.abs(values),
            "rotor": rotor,
            "common": common,
            "largest": [nodes.labels[i] for i in shares.argmax(axis=0)] if values.size else [],
            "residual": residual,
        },
        index=index,
    )
    return Modes(table, pd.DataFrame(shapes, names, index), pd.DataFrame(shares, names, index), unstable, False, nodes.inertia)


def _select(modes: Modes, rows: Any) -> Modes:
    index = pd.RangeIndex(1, len(rows) + 1, name="mode")
    pick = [frame.iloc[:, rows].set_axis(index, axis=1) for frame in (modes.shapes, modes.participations)]
    return replace(modes, table=modes.table.iloc[rows].set_axis(index, axis=0), shapes=pick[0], participations=pick[1])
