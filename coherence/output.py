"""What studies and reductions leave in folders: complete, or not there at all."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coherence.errors import InputError

if TYPE_CHECKING:
    from coherence.grids.case import Case
    from coherence.grids.powerflow import OperatingPoint
    from coherence.reduction.smallest import Reduction
    from coherence.studies import Study

CONTENTS = "contents.txt"  # what was written into a folder
GRIDS = "grids"  # where reduced networks stand as cases, MATPOWER and PSS/E files


def write_study(result: Study, folder: Path) -> None:
    """Write the summary, tables, reduced models and pictures of a study into an existing folder."""
    from coherence import plots
    from coherence.formats.equivalents import write_equivalent
    from coherence.network.files import save_network

    remarks: list[str] = []
    result.errors.to_csv(folder / "errors.csv")
    result.generators.to_csv(folder / "generators.csv")
    result.stability.to_csv(folder / "stability.csv")
    result.partition.series.to_csv(folder / "groups.csv", index_label="node")
    result.responses["full"].frame.to_csv(folder / "responses.csv")
    for part, truncation in result.truncations.items():
        save_network(truncation.network, folder / f"reduced_{part}.json")
        remarks += write_equivalent(
            truncation.network, folder / GRIDS, f"reduced_{part}", result.case, result.operating_point, result.partition
        )
    for name, figure in plots.of_study(result).items():
        figure.savefig(folder / f"{name}.png", dpi=130)
    (folder / "summary.txt").write_text("\n".join([result.text(), *remarks]) + "\n", encoding="utf-8")
    (folder / CONTENTS).write_text("".join(f"{path.name}\n" for path in sorted(folder.iterdir())), encoding="utf-8")


def write_reduction(result: Reduction, folder: Path, case: Case | None, point: OperatingPoint | None) -> None:
    """Write the summary, groups, ledger, error over frequency and network of a reduction into an existing folder."""
    from coherence import plots
    from coherence.formats.equivalents import write_equivalent
    from coherence.network.files import save_network

    plots.reduction(result).savefig(folder / "error.png", dpi=130)
    result.ledger.to_csv(folder / "ledger.csv")
    result.partition.series.to_csv(folder / "groups.csv", index_label="node")
    save_network(result.network, folder / "reduced.json")
    remarks = write_equivalent(result.network, folder / GRIDS, "reduced", case, point, result.partition)
    (folder / "summary.txt").write_text("\n".join([result.text(), *remarks]) + "\n", encoding="utf-8")
    (folder / CONTENTS).write_text("".join(f"{path.name}\n" for path in sorted(folder.iterdir())), encoding="utf-8")


@contextmanager
def folder_for(out: Path | None) -> Iterator[Path | None]:
    """A folder beside `out` to write into, made before the work so that what cannot be written is known at once."""
    if out is None:
        yield None
        return
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for --out")
    if out.is_dir() and any(out.iterdir()) and not (out / CONTENTS).is_file():
        raise InputError(f"{out} holds other things; give a new folder, an empty one, or one that a study wrote")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".study-") as scratch:
        folder = Path(scratch) / "study"
        folder.mkdir()
        yield folder


def put_in_place(folder: Path, out: Path) -> None:
    """Exchange `out` for the new folder in one move; what is not an earlier study's moves along."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C must not leave half of it
    try:
        if out.exists():
            earlier = {CONTENTS, *((out / CONTENTS).read_text(encoding="utf-8").split("\n") if (out / CONTENTS).is_file() else [])}
            for path in out.iterdir():
                if path.name in earlier:
                    continue
                if (folder / path.name).exists():
                    raise InputError(f"{path} is not a study's and stands where it would write; move it away")
                if path.is_dir():
                    shutil.copytree(path, folder / path.name, symlinks=True)
                else:
                    shutil.copy2(path, folder / path.name, follow_symlinks=False)
            old = folder.with_name("old")
            out.rename(old)
            try:
                folder.rename(out)
            except OSError:
                old.rename(out)
                raise
        else:
            folder.rename(out)
    finally:
        signal.signal(signal.SIGINT, handler)
