"""The command line: `coherence study | reduce | info | modes | convert | cases | new`."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from coherence.errors import CoherenceError, InputError, UnitsWarning

if TYPE_CHECKING:
    from coherence.display import Page
    from coherence.grids.case import Case
    from coherence.grids.convention import Convention
    from coherence.grids.powerflow import OperatingPoint

INTERRUPTED = 130  # the shells' code for Ctrl-C
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Coherent dynamics of large networks: how they move together, and what few generators can stand for many.",
)

CaseArgument = Annotated[
    str,
    typer.Argument(
        help="A shipped case (see `coherence cases`), a case folder, a MATPOWER file (.m, .mat), a PSS/E power flow (.raw), a "
        "pandapower network (.json), or a saved network (.json)."
    ),
]
Machines = Annotated[
    Optional[list[Path]],
    typer.Option(
        help="PSS/E dynamics (.dyr), or CSV table of machine figures: label or bus ('*' for all others), H_s [, D_pu, mbase_mva, "
        "xd_prime_pu, R_pu, T_s]. May be given several times."
    ),
]
Typical = Annotated[
    bool, typer.Option("--typical", help="Fill machine figures that are missing with typical ones, marked in the tables.")
]
Frequency = Annotated[Optional[float], typer.Option("--f-hz", help="Nominal frequency [Hz]; MATPOWER files do not state it.")]
ConventionName = Annotated[
    str,
    typer.Option(
        "--convention",
        help="terminal (machines at terminals, no losses), classical (behind x'd, impedance loads) or flow (power-flow Jacobian).",
    ),
]
PowerFlow = Annotated[str, typer.Option("--power-flow", help="auto, stored, ac, dc or flat.")]
Limits = Annotated[bool, typer.Option("--limits", help="Enforce reactive limits in the power flow.")]
Loads = Annotated[
    Optional[str], typer.Option(help="What loads keep constant where voltages are free: impedance, current or power.")
]
GOVERNORS = "Governor records: rational, one_lag or none."
DAMPING = "Declared damping [pu/pu, machine base] instead of the case's."
AsJson = Annotated[bool, typer.Option("--json", help="Print plain data (JSON) instead of tables.")]


@app.command()
def study(
    case: CaseArgument,
    groups: Annotated[str, typer.Option(help="Number of groups, or 'auto' for the largest eigengap.")] = "auto",
    method: Annotated[
        str,
        typer.Option(
            help="How groups are found: bach_jordan or normalised_cut (of the coupling graph), slow_coherency or "
            "reference_machines (of the machines' slow modes), and others; see coherent_groups."
        ),
    ] = "bach_jordan",
    order: Annotated[
        Optional[int], typer.Option(help="States per reduced generator: 2 for one turbine, 3 for two (default 3, or less).")
    ] = None,
    disturb: Annotated[Optional[str], typer.Option(help="Node that the power step hits (default: the first).")] = None,
    size: Annotated[float, typer.Option(help="Power step in pu of the system base; negative is a loss.")] = -0.1,
    part: Annotated[str, typer.Option(help="What is truncated: turbines or closed_loop.")] = "turbines",
    interconnection: Annotated[
        str, typer.Option(help="Laplacian between groups: auto (smaller step error), refined or quotient.")
    ] = "auto",
    convention: ConventionName = "terminal",
    loads: Loads = None,
    power_flow: PowerFlow = "auto",
    limits: Limits = False,
    governors: Annotated[str, typer.Option(help=GOVERNORS)] = "rational",
    damping: Annotated[Optional[float], typer.Option(help=DAMPING)] = None,
    machines: Machines = None,
    typical: Typical = False,
    f_hz: Frequency = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for summary, tables, reduced models and pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Reduce a grid or network to one low-order generator per group, with the error of every step."""
    from coherence.formats.read import open_case
    from coherence.network.files import load_network
    from coherence.network.network import Network
    from coherence.output import CONTENTS, folder_for, put_in_place, write_study
    from coherence.studies import study as run
    from coherence.terminal import bar

    with bar() as progress, folder_for(out) as folder:
        saved = _is_network(case)
        if saved:
            _refuse_case_options(typical=typical or None)
        subject = load_network(case) if saved else open_case(case, machines=machines, f_hz=f_hz, typical=typical)
        point = None if isinstance(subject, Network) else _point(subject, power_flow, limits)
        result = run(
            subject,
            groups=_whole_number(groups),
            method=method,
            order=order,
            disturb=disturb,
            size=size,
            part=part,
            interconnection=interconnection,
            operating_point=point,
            convention=_convention(convention, loads),
            governors=governors,
            damping=damping,
            machines=(machines or None) if saved else None,
            f_hz=f_hz if saved else None,
            progress=progress,
        )
        if folder is not None and out is not None:
            progress("writing", 1.0)
            write_study(result, folder)
            put_in_place(folder, out)
    _show(result, as_json)
    if out is not None and not as_json:
        typer.echo(f"\nwritten to {out}: {', '.join((out / CONTENTS).read_text(encoding='utf-8').split())}")


@app.command("reduce")
def reduce_(
    case: CaseArgument,
    tolerance: Annotated[float, typer.Option(help="Largest error over the band, relative to ||T|| at the same frequency.")],
    to_hz: Annotated[float, typer.Option("--to-hz", help="High end of the band [Hz].")] = 1.0,
    from_hz: Annotated[float, typer.Option("--from-hz", help="Low end of the band [Hz].")] = 0.0,
    groups: Annotated[Optional[int], typer.Option(help="Number of groups (default: what gives the fewest states).")] = None,
    outputs: Annotated[
        str, typer.Option(help="Groups stand for each of their nodes (nodes) or for their centers of inertia (groups).")
    ] = "nodes",
    decay: Annotated[
        float, typer.Option(help="Errors of responses times e^(-decay t) [1/s]; undamped networks need it > 0.")
    ] = 0.0,
    convention: ConventionName = "terminal",
    loads: Loads = None,
    power_flow: PowerFlow = "auto",
    limits: Limits = False,
    governors: Annotated[str, typer.Option(help=GOVERNORS)] = "rational",
    damping: Annotated[Optional[float], typer.Option(help=DAMPING)] = None,
    machines: Machines = None,
    typical: Typical = False,
    f_hz: Frequency = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for summary, groups, ledger and the reduced network.")] = None,
    as_json: AsJson = False,
) -> None:
    """The smallest reduced network whose error over a band is certified to be within a tolerance."""
    from coherence.formats.read import open_case
    from coherence.grids.linearize import linearize
    from coherence.network.files import load_network
    from coherence.output import CONTENTS, folder_for, put_in_place, write_reduction
    from coherence.reduction.smallest import reduce
    from coherence.terminal import bar

    with bar() as progress, folder_for(out) as folder:
        if _is_network(case):
            _refuse_case_options(
                machines=machines,
                typical=typical or None,
                f_hz=f_hz,
                damping=damping,
                convention=None if convention == "terminal" else convention,
            )
            network, opened, point = load_network(case), None, None
        else:
            opened = open_case(case, machines=machines, f_hz=f_hz, typical=typical)
            point = _point(opened, power_flow, limits)
            network = linearize(opened, point, convention=_convention(convention, loads), governors=governors, damping=damping)
        result = reduce(
            network,
            band=(2 * pi * from_hz, 2 * pi * to_hz),
            tolerance=tolerance,
            groups=groups,
            outputs=outputs,
            decay=decay,
            progress=progress,
        )
        if folder is not None and out is not None:
            write_reduction(result, folder, opened, point)
            put_in_place(folder, out)
    _show(result, as_json)
    if out is not None and not as_json:
        typer.echo(f"\nwritten to {out}: {', '.join((out / CONTENTS).read_text(encoding='utf-8').split())}")


@app.command()
def info(
    case: CaseArgument,
    convention: ConventionName = "terminal",
    loads: Loads = None,
    power_flow: PowerFlow = "auto",
    limits: Limits = False,
    machines: Machines = None,
    typical: Typical = False,
    f_hz: Frequency = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a case: sizes, operating point, machines, connectivity, stability."""
    from coherence.description import describe
    from coherence.formats.read import open_case
    from coherence.network.files import load_network

    if _is_network(case):
        _refuse_case_options(
            machines=machines, typical=typical or None, f_hz=f_hz, convention=None if convention == "terminal" else convention
        )
        shown = describe(load_network(case))
    else:
        opened = open_case(case, machines=machines, f_hz=f_hz, typical=typical)
        shown = describe(opened, operating_point=_point(opened, power_flow, limits), convention=_convention(convention, loads))
    _show(shown, as_json)


@app.command()
def modes(
    case: CaseArgument,
    convention: ConventionName = "classical",
    loads: Loads = None,
    power_flow: PowerFlow = "auto",
    limits: Limits = False,
    governors: Annotated[str, typer.Option(help=GOVERNORS)] = "rational",
    damping: Annotated[Optional[float], typer.Option(help=DAMPING)] = None,
    count: Annotated[Optional[int], typer.Option(help="How many modes (default all), nearest to --near-hz.")] = None,
    near_hz: Annotated[
        Optional[float], typer.Option("--near-hz", help="Frequency [Hz] near which --count modes are sought.")
    ] = None,
    machines: Machines = None,
    typical: Typical = False,
    f_hz: Frequency = None,
    as_json: AsJson = False,
) -> None:
    """Electromechanical modes: frequency, damping, and how much each machine participates."""
    from coherence.formats.read import open_case
    from coherence.grids.modes import modes as run
    from coherence.network.files import load_network

    if _is_network(case):
        _refuse_case_options(machines=machines, typical=typical or None, f_hz=f_hz, damping=damping)
        found = run(load_network(case), convention=convention, governors=governors, count=count, near_hz=near_hz)
    else:
        opened = open_case(case, machines=machines, f_hz=f_hz, typical=typical)
        point = _point(opened, power_flow, limits)
        how = _convention(convention, loads)
        found = run(opened, point, convention=how, governors=governors, damping=damping, count=count, near_hz=near_hz)
    _show(found, as_json)


@app.command()
def convert(
    case: CaseArgument,
    out: Annotated[
        Path,
        typer.Argument(help="What to write: a new case folder, a MATPOWER file (.m), PSS/E power flow (.raw) or dynamics (.dyr)."),
    ],
    machines: Machines = None,
    typical: Typical = False,
    f_hz: Frequency = None,
) -> None:
    """Write a case in another format: a case folder, MATPOWER with a machine table beside it, PSS/E power flow or dynamics."""
    from coherence.formats.dyr_writer import write_dyr
    from coherence.formats.folder_writer import write_case
    from coherence.formats.matpower_writer import write_matpower
    from coherence.formats.raw_writer import write_raw
    from coherence.formats.read import open_case

    if _is_network(case):
        raise InputError(f"{case} is a saved network; only cases are converted (in Python: case_of_network)")
    opened = open_case(case, machines=machines, f_hz=f_hz, typical=typical)
    ending = out.suffix.lower()
    if ending == ".m":
        _show(write_matpower(opened, out), False)
    elif ending == ".dyr":
        _show(write_dyr(opened, out), False)
    elif ending == ".raw":
        typer.echo("\n".join([*write_raw(opened, out), f"wrote {out}"]))
    elif ending:
        raise InputError(
            f"{out}: cases are written as folders, .m, .raw or .dyr; give a name with one of these endings, or without one"
        )
    else:
        typer.echo(f"wrote {', '.join(str(path) for path in write_case(opened, out))}")


@app.command()
def cases(as_json: AsJson = False) -> None:
    """List the shipped cases."""
    from coherence.description import catalogue

    _show(catalogue(), as_json)


@app.command()
def new(folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist or be empty.")]) -> None:
    """Write a template case, small and complete, to fill in with your own grid."""
    from coherence.formats.template import write_template

    for path in write_template(folder):
        typer.echo(f"wrote {path}")
    typer.echo(f"edit the tables, then: coherence info {folder}; coherence study {folder}")


def _show(page: Page, as_json: bool) -> None:
    from coherence.terminal import show

    if as_json:
        typer.echo(json.dumps(page.to_dict(), indent=1, ensure_ascii=False))
    else:
        show(page)


def _convention(name: str, loads: str | None) -> str | Convention:
    """The convention by its name, with other loads where they are given."""
    from coherence.grids.convention import named_convention

    return name if loads is None else replace(named_convention(name), loads=loads)


def _point(case: Case, method: str, limits: bool) -> OperatingPoint | None:
    """The operating point asked for; none where nothing was asked, or the case has no grid."""
    from coherence.grids.powerflow import power_flow

    if case.nodes is not None or (method == "auto" and not limits):
        return None
    return power_flow(case, method=method, enforce_limits=limits)


def _refuse_case_options(**options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} belongs to a case; this is a saved network, whose nodes have their dynamics"
        )


def _is_network(text: str) -> bool:
    """Whether an argument is a file of a saved network; other JSON files are cases."""
    from coherence.formats.read import file_kind

    path = Path(text)
    return path.suffix.lower() == ".json" and (not path.is_file() or file_kind(path) == "network")


def _whole_number(text: str) -> int | str:
    try:
        return int(text) if text.isascii() else text
    except ValueError:
        return text


def main() -> NoReturn:
    """Entry point: a failure is one sentence on stderr and exit code 2, Ctrl-C is 130, never a traceback."""
    warnings.simplefilter("ignore", UnitsWarning)  # the notes of what is printed say it
    try:
        app()
    except CoherenceError as error:
        _leave(str(error), 2)
    except OSError as error:
        _leave(f"{error.filename or 'the output'}: {error.strerror or error}", 2)
    except KeyboardInterrupt:
        _leave("interrupted; nothing was written", INTERRUPTED)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            _leave("interrupted; nothing was written", INTERRUPTED)
        raise
    sys.exit(0)


def _leave(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
