r"""PSS/E DYR files: records of machines and governors for the generators of a case.

    BUS 'MODEL' ID value value ... /          over any number of lines; what follows a slash on its line is a comment

A machine gives H, D and x'd; a governor its record, which `nodes.governors` linearises. Every other record is skipped and listed
with its reason in `Case.records`: an unknown model never stops the reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pandas as pd

from coherence.errors import CaseError, InputError
from coherence.formats.dyr_models import GOVERNORS, MACHINES, purpose
from coherence.formats.raw import number
from coherence.formats.text import read_lines, shown
from coherence.grids.case import Case
from coherence.grids.topology import warn_of_units, with_unit_notes
from coherence.nodes.governors import governor

COLUMNS = ("line", "bus", "id", "model", "purpose", "used", "reason")
MOST = 10_000  # values that repeat counts of a record may stand for; the largest model has some hundred
ATTACHED = ("H_s", "D_pu", "xd_prime_pu", "machine_model", "governor", "R_pu", "T_s")


@dataclass
class Record:
    """One record: where it stands, whose it is, its values as texts, and what became of it."""

    line: int
    bus: str
    model: str
    id: str
    values: list[str]
    used: bool = False
    reason: str = ""  # why it is not used, or what of it is not

    @property
    def purpose(self) -> str:
        """What its model is for."""
        return purpose(self.model)

    @property
    def machine(self) -> tuple[float, str]:
        """Bus number and identifier of its machine."""
        return number(self.bus), self.id


Chosen = dict[int, tuple[Record, dict[str, float]]]  # row of a generator -> its record and the values by name


def add_dyr(case: Case, path: Path) -> Case:
    """The case with the machines and governors of a DYR file, and the table of its records.

    Parameters
    ----------
    case : Case
        Its generators are known by `bus` and `id` (the first at a bus is "1" where the case has no identifiers).
    path : Path

    Returns
    -------
    Case
        With H_s, D_pu, xd_prime_pu, machine_model and governor of the generators set anew (H_s empty: no machine record, a static
        source), `governors` and `records`.

    Raises
    ------
    CaseError
        A record that is cut off, too short, or given twice; a parameter out of range. File and line are named.
    """
    generators = case.grid[2].copy()
    at = {key: row for row, key in enumerate(zip(case.generator_buses, identifiers(case), strict=True))}
    own: dict[str, Chosen] = {"machine": {}, "governor": {}}
    earlier: dict[tuple[str, int], Record] = {}
    records = read_dyr(path)
    for record in records:
        what = purpose(record.model)
        if record.model not in MACHINES and record.model not in GOVERNORS:
            record.reason = _WHY_NOT.get(what, "not part of the model of speeds")
            continue
        row = at.get(record.machine)
        if row is None:
            record.reason = f"{_NOBODY} at bus {shown(record.bus)[1:-1]} has the identifier {shown(record.id)}"
            continue
        first = earlier.setdefault((what, row), record)
        if first is not record:
            raise CaseError(
                f"{path}, line {record.line}: {record.model} is a second {what} for {record.bus}|{record.id}, after "
                f"{first.model} in line {first.line}; remove one"
            )
        values, record.reason = _values(record, path)
        if record.reason:
            continue
        if values.get("H") == 0:
            record.reason = "H = 0 is an infinite bus, for which there is no node: the generator is a static source; give it an H"
            continue
        record.used = True
        idle = _GAIN.get(record.model)
        if idle is not None and values[idle] == 0:
            record.reason = f"{idle} = 0: the machine's power does not follow its speed"
            continue
        own[what][row] = (record, values)
    return _attached(case, generators, own, records, path)


_GAIN = {"IEESGO": "K1", "IEEEG1": "K", "WSIEG1": "K"}  # which parameter switches a governor off
_NOBODY = "no generator in service"
_WHY_NOT = {
    "governor": "this governor is not modelled: the machine has none",
    "machine": "this machine is not modelled: the generator is a static source",
    "unknown": "not known",
}


def read_dyr(path: Path) -> list[Record]:
    """The records of a DYR file in their order.

    Raises
    ------
    CaseError
        The file cannot be read, or a record does not end; the line is named.
    """
    records: list[Record] = []
    tokens: list[str] = []
    begun = 0
    for k, line in enumerate(read_lines(path), start=1):
        if line.lstrip().startswith(("//", "@!", "#", "!")):
            continue
        found = _TOKEN.findall(line)
        ends = "/" in found
        if ends:
            found = found[: found.index("/")]
        if "," in found:
            found = _without_commas(found)
        if found:
            if tokens and len(found) > 2 and _begins(found):
                raise CaseError(
                    f"{path}, line {begun}: the record of {_named(tokens)} does not end before line {k}; end it with '/'"
                )
            begun = begun if tokens else k
            tokens.extend(found)
        if ends and tokens:
            records.append(_record(tokens, begun, path))
            tokens = []
    if tokens:
        raise CaseError(f"{path}, line {begun}: the record of {_named(tokens)} does not end; the file is cut off")
    if not records:
        raise CaseError(f"{path} has no records; a DYR record is BUS 'MODEL' ID values /")
    return records


_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|/|,|[^\s,/'\"]+|['\"]")
_MODEL = re.compile(r"[A-Za-z][\w\- ]*")


def _without_commas(tokens: list[str]) -> list[str]:
    """Tokens between commas and blanks; between two commas stands an empty one, so that no value takes another's place."""
    pairs = zip(tokens, ["", *tokens], strict=False)
    return [token if token != "," else "" for token, before in pairs if token != "," or before == ","]


def _named(tokens: list[str]) -> str:
    return shown(" ".join(text.strip("'\"").strip() for text in tokens[:3]))


def _begins(tokens: list[str]) -> bool:
    """Whether a line looks like the beginning of a record: a bus number and a model name that is known."""
    name = tokens[1].strip("'\" ").upper()
    return tokens[0].isdecimal() and _MODEL.fullmatch(name) is not None and purpose(name) != "unknown"


def _record(tokens: list[str], line: int, path: Path) -> Record:
    plain = [text.strip("'\"").strip() for text in tokens]
    if len(plain) < 3:
        raise CaseError(f"{path}, line {line}: {_named(tokens)} is no record; a DYR record is BUS 'MODEL' ID values /")
    bus, model, key, values = plain[0], plain[1].upper(), plain[2] or "1", plain[3:]
    if model.startswith("USR") and values:
        model, values = values[0].upper(), values[1:]
        model = model if model not in MACHINES and model not in GOVERNORS else f"USRMDL {model}"
    return Record(line, bus, model, key, _repeated(values, line, path))


def _repeated(values: list[str], line: int, path: Path) -> list[str]:
    """Fortran's `3*0.0` written out."""
    if not any("*" in text for text in values):
        return values
    pairs = [text.split("*", 1) if _REPEATED.match(text) else ["1", text] for text in values]
    if any(len(count) > 5 for count, _ in pairs) or sum(int(count) for count, _ in pairs) > MOST:
        raise CaseError(f"{path}, line {line}: repeat counts write more than {MOST} values; write those of the model out")
    return list(chain.from_iterable(repeat(text, int(count)) for count, text in pairs))


_REPEATED = re.compile(r"[0-9]+\*")


def _values(record: Record, path: Path) -> tuple[dict[str, float], str]:
    """The values of a known model by name, and a remark on fields that are too many."""
    names = (MACHINES | GOVERNORS)[record.model].split()
    where = f"{path}, line {record.line}: {record.model} of {record.bus}|{record.id}"
    if len(record.values) < len(names):
        raise CaseError(f"{where} has {len(record.values)} values; it needs {len(names)}: {', '.join(names)}")
    values = {name: number(text) for name, text in zip(names, record.values, strict=False)}
    for name, value in values.items():
        if not np.isfinite(value):
            raise CaseError(f"{where}: {name} = {shown(record.values[names.index(name)])} is not a finite number")
    if record.model in MACHINES:
        for name in ("H", "Xpd"):
            if values.get(name, 1.0) < 0 or (name == "Xpd" and values.get(name) == 0):
                raise CaseError(f"{where}: {name} = {values[name]:g}; it must be > 0")
    extra = len(record.values) - len(names)
    if extra and record.model in MACHINES:
        raise CaseError(
            f"{where} has {len(record.values)} values; it needs {len(names)}: {', '.join(names)} (are commas decimal points?)"
        )
    return values, f"it has {len(record.values)} values where {record.model} has {len(names)}" if extra else ""


def identifiers(case: Case) -> list[str]:
    """Which of its bus each generator is: its own `id`, or 1, 2, ... in their order."""
    generators = case.grid[2]
    if "id" in generators:
        return list(generators["id"])
    buses = case.generator_buses
    return [str(k + 1) for k in buses.groupby(buses).cumcount()]


def _attached(case: Case, generators: pd.DataFrame, own: dict[str, Chosen], records: list[Record], path: Path) -> Case:
    machines = own["machine"]
    if not machines:
        raise CaseError(
            f"{path} has no machine record ({', '.join(MACHINES)}) for a generator of case {case.name!r}; is it another grid's?"
        )
    n, labels = len(generators), list(generators["label"])
    columns = {name: np.full(n, np.nan) for name in ("H_s", "D_pu", "xd_prime_pu")}
    kinds, models = [""] * n, [""] * n
    source = generators["zx_pu"].to_numpy() if "zx_pu" in generators else np.full(n, np.nan)
    for row, (record, values) in machines.items():
        columns["H_s"][row], columns["D_pu"][row], kinds[row] = values["H"], values["D"], record.model
        reactance = values.get("Xpd", source[row])
        columns["xd_prime_pu"][row] = reactance if reactance > 0 else np.nan
    tables: dict[str, dict[str, dict[str, float]]] = {}
    fine: set[tuple[object, ...]] = set()  # machines of a kind have the same record
    rated = generators["mbase_mva"].to_numpy()
    for row, (record, values) in own["governor"].items():
        record.used = row in machines
        if not record.used:
            record.reason = "its generator has no machine record"
            continue
        machine = {"H_s": columns["H_s"][row], "D_pu": columns["D_pu"][row], "mbase_mva": rated[row]}
        alike = (record.model, *values.values(), *(machine.values() if "Trate" in values else ()))
        try:
            if alike not in fine:
                with np.errstate(over="raise", invalid="raise", divide="raise"):
                    governor(record.model, values, **machine)
        except InputError as error:
            record.used, record.reason = False, str(error)
            continue
        except ArithmeticError:
            record.used, record.reason = False, "its figures are too large or too small to be linearised"
            continue
        fine.add(alike)
        record.reason = _unheard(values)
        models[row] = record.model
        tables.setdefault(record.model, {})[labels[row]] = values
    kept = generators.drop(columns=[name for name in ATTACHED if name in generators])
    listed = pd.DataFrame([{name: getattr(record, name) for name in COLUMNS} for record in records])
    result = replace(
        case,
        generators=kept.assign(**columns, machine_model=kinds, governor=models),
        governors={
            model: pd.DataFrame.from_dict(table, orient="index").rename_axis("label").reset_index()
            for model, table in sorted(tables.items())
        },
        records=listed,
        notes=(*case.notes, *_summary(listed, path.name), *_unattended(generators, machines)),
    )
    return warn_of_units(with_unit_notes(result))


def _unheard(values: dict[str, float]) -> str:
    """What of a governor that is used has no place in the network."""
    if values.get("JBUS") and any(values[name] for name in ("K2", "K4", "K6", "K8")):
        return f"K2, K4, K6, K8 drive the machine at bus {values['JBUS']:g} and are left out"
    if "qNL" in values and values["Dturb"]:
        return "Dturb depends on the gate opening and is left to the declared damping"
    return ""


def _summary(records: pd.DataFrame, name: str) -> list[str]:
    """Notes on what a file holds and what of it was not used although it belongs to machines and governors."""
    of = {what: records.loc[records["purpose"] == what, "used"] for what in ("machine", "governor")}
    used = [f"{int(own.sum())} of {len(own)} {what}s" for what, own in of.items() if len(own)]
    notes = [f"{name}: {len(records)} records, of which {' and '.join(used)} are used"]
    known = records[records["model"].isin(MACHINES)]
    strange = int((known["reason"].str.startswith(_NOBODY)).sum())
    if strange * 5 > len(known):
        notes.append(
            f"{name}: {strange} of {len(known)} machines are at buses where this grid has no such generator; is it another grid's?"
        )
    missed = records[~records["used"] & records["purpose"].isin(["machine", "governor", "unknown"])]
    for (model, reason), own in missed.groupby(["model", "reason"], sort=False):
        first = own.iloc[0]
        more = f" and {len(own) - 1} more" if len(own) > 1 else ""
        notes.append(f"{name}, line {first['line']}: {model} of {first['bus']}|{first['id']}{more} skipped: {reason}")
    return notes


def _unattended(generators: pd.DataFrame, machines: Chosen) -> list[str]:
    idle = [label for row, label in enumerate(generators["label"]) if row not in machines]
    if not idle:
        return []
    shown = ", ".join(idle[:4]) + (f" and {len(idle) - 4} more" if len(idle) > 4 else "")
    return [f"{len(idle)} generators have no machine record and are static sources: {shown}"]
