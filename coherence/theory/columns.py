"""How far each node is from the coherent response, input by input: columns of T - g_hat 11^T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from coherence.display import Page
from coherence.errors import UnknownNameError
from coherence.graphs.laplacian import require_connected
from coherence.network.network import Network
from coherence.nodes.nodes import unknown_name
from coherence.numerics.deviation import Deviation
from coherence.theory.deviations import evaluated
from coherence.types import ArrayLike, Complex, Real, frequencies


@dataclass(frozen=True, eq=False, repr=False)
class ColumnIncoherence(Page):
    """Deviation from coherence for single inputs; see `column_incoherence`.

    Attributes
    ----------
    omega : (F,) float
    columns : (F, n, m) complex
        (T - g_hat 11') e_j for the m inputs.
    labels, inputs : tuple of str

    Examples
    --------
    >>> from coherence import Network, column_incoherence, swing
    >>> network = Network(swing(inertia=[1, 3], damping=1, labels=["a", "b"]), [[9, -9], [-9, 9]], "1/s")
    >>> column_incoherence(network, [0.1, 1.0], ["b"]).norms.shape
    (2, 1)
    """

    omega: Real
    columns: Complex
    labels: tuple[str, ...]
    inputs: tuple[str, ...]

    def __repr__(self) -> str:
        return f"ColumnIncoherence({len(self.inputs)} inputs of {len(self.labels)} nodes at {len(self.omega)} frequencies)"

    @property
    def norms(self) -> pd.DataFrame:
        """Omega -> ||(T - g_hat 11') e_j||_2 per input: all nodes together."""
        return pd.DataFrame(np.linalg.norm(self.columns, axis=1), index=self._index, columns=pd.Index(self.inputs))

    def nodes(self, label: str) -> pd.DataFrame:
        """Omega -> |T_ij - g_hat| of each node i for the input `label`."""
        if label not in self.inputs:
            raise UnknownNameError(unknown_name("input", label, self.inputs))
        values = np.abs(self.columns[:, :, self.inputs.index(label)])
        return pd.DataFrame(values, index=self._index, columns=pd.Index(self.labels))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The norms at up to ten frequencies."""
        picks = np.unique(np.linspace(0, len(self.omega) - 1, 10).astype(int))
        return {"deviation per input": self.norms.iloc[picks]}

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.omega, name="omega [rad/s]")


def column_incoherence(network: Network, omega: ArrayLike, inputs: Sequence[str] | str) -> ColumnIncoherence:
    """How far each node is from the coherent response, for single inputs: columns of T - g_hat 11'.

    Parameters
    ----------
    network : Network
        Connected; a sparse one may keep its passive nodes.
    omega : (F,) float
        Frequencies [rad/s], >= 0 and ascending.
    inputs : sequence of str, or one str
        Labels of the nodes that are disturbed.

    Returns
    -------
    ColumnIncoherence
        One solve a frequency, whatever the number of inputs; T is never formed.

    Raises
    ------
    UnknownNameError
        No such node.
    DisconnectedError
        The network falls apart.
    PoleError
        A frequency is a pole of T.

    Examples
    --------
    >>> from coherence import column_incoherence, linearize, load_case
    >>> found = column_incoherence(linearize(load_case("iceland")), [0.1, 1.0], ["Blanda 1"])
    >>> found.nodes("Blanda 1").shape
    (2, 35)
    """
    require_connected(network.laplacian, network.labels, "incoherence")
    labels = [inputs] if isinstance(inputs, str) else list(inputs)
    picked = np.array([network.index(label) for label in labels], dtype=int)
    w = frequencies(omega)
    z, p, q = evaluated(network, 1j * w, "incoherence")
    columns = np.zeros((len(w), network.size, len(picked)), dtype=complex)
    if network.size > 1:
        here = q != 0  # at a pole of f the deviation vanishes
        columns[here] = Deviation(network.laplacian).columns(z[here], p[here], q[here], picked)
    return ColumnIncoherence(w, columns, network.labels, tuple(network.labels[i] for i in picked))
