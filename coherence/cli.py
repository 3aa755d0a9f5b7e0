"""The command line: `coherence study CASE` runs the whole path and writes what it found."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Optional

import typer

from coherence.errors import CoherenceError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Coherent dynamics of large networks."
)


@app.callback()
def _root() -> None:
    """Coherent dynamics of large networks."""


@app.command()
def study(
    case: Annotated[str, typer.Argument(help="A shipped case (iceland, five_generators) or the path of a case folder.")],
    groups: Annotated[str, typer.Option(help="Number of groups, or 'auto' for the largest eigengap.")] = "auto",
    order: Annotated[int, typer.Option(help="States per reduced generator: 2 for one turbine, 3 for two.")] = 3,
    disturb: Annotated[Optional[str], typer.Option(help="Generator that the power step hits (default: the first).")] = None,
    size: Annotated[float, typer.Option(help="Power step in pu of the system base; negative is a loss.")] = -0.1,
    part: Annotated[str, typer.Option(help="What is truncated: turbines or closed_loop.")] = "turbines",
    governors: Annotated[str, typer.Option(help="Governor records: rational, one_lag or none.")] = "rational",
    damping: Annotated[Optional[float], typer.Option(help="Declared damping [pu/pu, machine base] instead of the case's.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for summary, tables, reduced models and pictures.")] = None,
) -> None:
    """Reduce a case to one low-order generator per group, with the error of every step."""
    from coherence.studies import study as run

    result = run(
        case,
        groups=int(groups) if groups.isdigit() else groups,
        order=order,
        disturb=disturb,
        size=size,
        part=part,
        governors=governors,
        damping=damping,
    )
    typer.echo(result.summary())
    if out is not None:
        for path in write_study(result, out):
            typer.echo(f"wrote {path}")


def write_study(result: object, out: Path) -> list[Path]:
    """Write a Study into a folder: everything is made in a temporary folder first and moved when complete."""
    from coherence import plots
    from coherence.network.files import save_network
    from coherence.studies import Study

    assert isinstance(result, Study)
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch)
        (folder / "summary.txt").write_text(result.summary() + "\n", encoding="utf-8")
        result.errors.to_csv(folder / "errors.csv")
        result.generators.to_csv(folder / "generators.csv")
        result.partition.series.to_csv(folder / "groups.csv", index_label="node")
        for part, truncation in result.truncations.items():
            save_network(truncation.network, folder / f"reduced_{part}.json")
        figures = {"responses.png": plots.responses(result)}
        if result.incoherence is not None:
            figures["incoherence.png"] = plots.incoherence(result.incoherence, title=result.case.title)
        if result.case.buses is not None and {"x", "y"} <= set(result.case.buses.columns):
            figures["grid.png"] = plots.grid(result.case, result.partition)
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=130)
        out.mkdir(exist_ok=True)
        written = []
        for path in sorted(folder.iterdir()):
            shutil.move(path, out / path.name)
            written.append(out / path.name)
    return written


def main() -> None:
    """Entry point: errors of this library are one sentence on stderr and exit code 2, never a traceback."""
    try:
        app()
    except CoherenceError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
