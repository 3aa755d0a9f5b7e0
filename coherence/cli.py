"""The command line: `coherence study | info | cases | new`; what it writes is complete or not there at all."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from coherence.errors import CoherenceError, InputError

if TYPE_CHECKING:
    from coherence.display import Page
    from coherence.studies import Study

INTERRUPTED = 130  # the shells' code for Ctrl-C
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Coherent dynamics of large networks: how they move together, and what few generators can stand for many.",
)

CaseArgument = Annotated[
    str,
    typer.Argument(help="A shipped case (see `coherence cases`), a case folder, a MATPOWER file (.m), or a saved network (.json)."),
]
Machines = Annotated[
    Optional[Path],
    typer.Option(help="CSV table of machine figures: label or bus ('*' for all others), H_s [, D_pu, mbase_mva, R_pu, T_s]."),
]
Frequency = Annotated[Optional[float], typer.Option("--f-hz", help="Nominal frequency [Hz]; MATPOWER files do not state it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print plain data (JSON) instead of tables.")]


@app.command()
def study(
    case: CaseArgument,
    groups: Annotated[str, typer.Option(help="Number of groups, or 'auto' for the largest eigengap.")] = "auto",
    order: Annotated[int, typer.Option(help="States per reduced generator: 2 for one turbine, 3 for two.")] = 3,
    disturb: Annotated[Optional[str], typer.Option(help="Node that the power step hits (default: the first).")] = None,
    size: Annotated[float, typer.Option(help="Power step in pu of the system base; negative is a loss.")] = -0.1,
    part: Annotated[str, typer.Option(help="What is truncated: turbines or closed_loop.")] = "turbines",
    governors: Annotated[str, typer.Option(help="Governor records: rational, one_lag or none.")] = "rational",
    damping: Annotated[Optional[float], typer.Option(help="Declared damping [pu/pu, machine base] instead of the case's.")] = None,
    machines: Machines = None,
    f_hz: Frequency = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for summary, tables, reduced models and pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Reduce a grid or network to one low-order generator per group, with the error of every step."""
    from coherence.network.files import load_network
    from coherence.studies import study as run
    from coherence.terminal import bar

    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for --out")
    with bar() as progress:
        result = run(
            load_network(case) if case.endswith(".json") else case,
            groups=int(groups) if groups.lstrip("-").isdigit() else groups,
            order=order,
            disturb=disturb,
            size=size,
            part=part,
            governors=governors,
            damping=damping,
            machines=machines,
            f_hz=f_hz,
            progress=progress,
        )
        if out is not None:
            progress("writing", 1.0)
            write_study(result, out)
    _show(result, as_json)
    if out is not None and not as_json:
        typer.echo(f"\nwritten to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


@app.command()
def info(case: CaseArgument, machines: Machines = None, f_hz: Frequency = None, as_json: AsJson = False) -> None:
    """Say what is in a case: sizes, operating point, machines, connectivity, stability."""
    from coherence.description import describe
    from coherence.network.files import load_network

    subject = load_network(case) if case.endswith(".json") else case
    _show(describe(subject, machines=machines, f_hz=f_hz), as_json)


@app.command()
def cases(as_json: AsJson = False) -> None:
    """List the shipped cases."""
    from coherence.description import catalogue

    _show(catalogue(), as_json)


@app.command()
def new(folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist or be empty.")]) -> None:
    """Write a template case, small and complete, to fill in with your own grid."""
    from coherence.grids.template import write_template

    for path in write_template(folder):
        typer.echo(f"wrote {path}")
    typer.echo(f"edit the tables, then: coherence info {folder}; coherence study {folder}")


def _show(page: Page, as_json: bool) -> None:
    from coherence.terminal import show

    if as_json:
        typer.echo(json.dumps(page.to_dict(), indent=1, ensure_ascii=False))
    else:
        show(page)


def write_study(result: Study, out: Path) -> None:
    """Write a Study into a folder: all files are made in a folder beside it and put in place together."""
    from coherence import plots
    from coherence.network.files import save_network

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        (folder / "summary.txt").write_text(result.text() + "\n", encoding="utf-8")
        result.errors.to_csv(folder / "errors.csv")
        result.generators.to_csv(folder / "generators.csv")
        result.stability.to_csv(folder / "stability.csv")
        result.partition.series.to_csv(folder / "groups.csv", index_label="node")
        result.responses["full"].frame.to_csv(folder / "responses.csv")
        for part, truncation in result.truncations.items():
            save_network(truncation.network, folder / f"reduced_{part}.json")
        for name, figure in plots.of_study(result).items():
            figure.savefig(folder / f"{name}.png", dpi=130)
        with _uninterrupted():
            if not out.exists():
                folder.rename(out)
            else:
                for path in folder.iterdir():
                    path.replace(out / path.name)


class _uninterrupted:  # noqa: N801 (used as a statement)
    """Ctrl-C waits until the block is done."""

    def __enter__(self) -> None:
        self.handler = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.handler)


def main() -> NoReturn:
    """Entry point: a failure is one sentence on stderr and exit code 2, Ctrl-C is 130, never a traceback."""
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
