"""Networks as JSON files (format "coherence-network", version 1): every number reloads to the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from coherence.errors import InputError
from coherence.network.network import Network, require_nodes
from coherence.nodes.nodes import Nodes, make_banks
from coherence.numerics.rational import Rational
from coherence.numerics.realization import Realization

FORMAT, VERSION = "coherence-network", 1


def network_to_dict(network: Network) -> dict[str, Any]:
    """The network as plain lists and numbers, nodes one by one."""
    require_nodes(network, "saving")
    network.nodes.require_rational("saving")
    if not isinstance(network.coupling, Rational):
        raise InputError("saving needs a rational coupling f; this one is known by its values only")
    nodes = []
    for i, label in enumerate(network.labels):
        sections = [
            {"a": bank.a[j].tolist(), "b": bank.b[j].tolist(), "c": bank.c[j].tolist()}
            for bank in network.nodes.banks
            for j in np.flatnonzero(bank.owner == i)
        ]
        nodes.append({"label": label, "polynomial": network.nodes.polynomial[:, i].tolist(), "sections": sections})
    return {
        "format": FORMAT,
        "version": VERSION,
        "meaning": "1/g(s) = sum_j polynomial[j] s^j + sum over sections of c (s - a)^-1 b; T = (1/G + f L)^-1",
        "coupling": {"num": list(network.coupling.num), "den": list(network.coupling.den)},
        "laplacian": network.dense_laplacian.tolist(),
        "nodes": nodes,
    }


def save_network(network: Network, path: str | Path) -> None:
    """Write a network to a JSON file (replaced only when complete).

    Parameters
    ----------
    network : Network
        Of nodes (not projected on a basis).
    path : str or Path
        Of a JSON file in a folder that exists.

    Returns
    -------
    None

    Raises
    ------
    InputError
        A projected network.
    OSError
        The file cannot be written; an older one stays as it was.

    Examples
    --------
    See `load_network`.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    part.write_text(json.dumps(network_to_dict(network), indent=1) + "\n", encoding="utf-8")
    part.replace(target)


def load_network(path: str | Path) -> Network:
    """Read a network written by `save_network`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Network
        Every number to the same bits.

    Raises
    ------
    InputError
        Not such a file, another version, or damaged; the message says what is missing.
    FileNotFoundError
        No such file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from coherence import linearize, load_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "five.json"
    ...     save_network(linearize(load_case("five_generators")), path)
    ...     load_network(path)
    Network(1 nodes, 6 states, coupling 1/s)
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a network file: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise InputError(f"{path} is not a {FORMAT} file of version {VERSION}; write one with save_network")
    try:
        labels = tuple(node["label"] for node in data["nodes"])
        polynomial = np.array([node["polynomial"] for node in data["nodes"]], dtype=float).T
        sections = []
        for i, node in enumerate(data["nodes"]):
            for s in node["sections"]:
                a, b, c = (np.array(s[key], dtype=float) for key in "abc")
                sections.append((i, Realization(a, b[:, None], c[None, :], np.zeros((1, 1)))))
        return Network(
            Nodes(labels, polynomial, make_banks(sections)),
            np.array(data["laplacian"], dtype=float),
            (data["coupling"]["num"], data["coupling"]["den"]),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__} {error}; write it again with save_network") from None
