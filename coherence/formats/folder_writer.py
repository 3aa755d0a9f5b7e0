"""A case written into a folder that `read_case` reads again: every number reloads to the same bits."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from coherence.errors import InputError
from coherence.formats.folder import USED
from coherence.grids.case import REQUIRED, Case, require_case

_NUMBERS = {"bus", "from_bus", "to_bus", "own_bus"}


def write_case(case: Case, folder: str | Path) -> list[Path]:
    """Write a case into a folder that does not exist or is empty.

    Parameters
    ----------
    case : Case
        From any source; what it says in `notes` stands as comments in case.toml. Its `records` are not written.
    folder : str or Path

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        The folder holds something already, or the case does not state its frequency.

    Examples
    --------
    >>> import tempfile
    >>> from coherence import load_case, read_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_case(load_case("two_area"), folder)
    ...     read_case(folder)
    Case('two_area': 13 buses, 14 branches, 5 generators, 60 Hz, 100 MVA)
    """
    require_case(case)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder; name a new one")
    if case.nodes is None and case.f_hz is None:
        raise InputError(f"case {case.name!r} does not state its frequency, which a case folder needs; read it with f_hz=50 or 60")
    files = {"case.toml": _toml(case)}
    if case.nodes is not None:
        files["nodes.csv"] = _csv(case.nodes, list(case.nodes.columns))
    else:
        buses, branches, generators = case.grid
        for name, table in (("buses", buses), ("branches", branches), ("generators", generators)):
            more = {"H_s", "D_pu"} if name == "generators" else set()
            known = [*REQUIRED[name], *sorted((USED[name] | more) - {*REQUIRED[name], "in_service"})]
            table = table.assign(**{column: float("nan") for column in more if column not in table})
            files[f"{name}.csv"] = _csv(table, [column for column in known if column in table])
        for model, records in case.governors.items():
            files[f"governors/{model}.csv"] = _csv(records, list(records.columns))
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}-") as scratch:
        made = Path(scratch) / "case"
        for name, content in files.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(content, encoding="utf-8")
        if target.exists():
            target.rmdir()
        shutil.move(made, target)
    return [target / name for name in files]


def _csv(table: pd.DataFrame, columns: list[str]) -> str:
    shown = table[columns].copy()
    for column in columns:
        if column in _NUMBERS and (shown[column] == shown[column].round()).all():
            shown[column] = shown[column].astype("int64")
    return shown.to_csv(index=False, lineterminator="\n")


def _toml(case: Case) -> str:
    lines = [f"# {' '.join(note.split())}" for note in case.notes]
    lines += ["format = 1", f"name = {_text(case.name)}", f"title = {_text(case.title)}", f"base_mva = {float(case.base_mva)!r}"]
    if case.f_hz is not None:
        lines.append(f"f_hz = {float(case.f_hz)!r}")
    places = [word for word, value in (("machines", case.damping), ("loads", case.load_damping)) if value]
    if places:
        lines += ["", "[damping]", f"at = {_text(' and '.join(places))}"]
        lines += [f"pu_on_machine_base = {float(case.damping)!r}"] if case.damping else []
        lines += [f"pu_on_load = {float(case.load_damping)!r}"] if case.load_damping else []
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A TOML string; JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
