"""A small complete case to fill in: two areas, three generators, six buses. It studies as it stands."""

from __future__ import annotations

import tempfile
from pathlib import Path

from coherence.errors import InputError

FILES = {
    "case.toml": """\
# A case of coherence, format 1. Replace the rows of the tables by your own; the columns stay.
#   buses.csv       bus number, kV, load and shunt in MW/Mvar at 1 pu (optional: vm_pu, va_deg solved voltages; x, y for drawing)
#   branches.csv    series r, x and charging b in pu of base_mva; tap ratio at from_bus (1: none), shift in degrees
#   generators.csv  machine figures on machine base: H_s [s] (empty: no machine), D_pu [pu power/pu speed], xd_prime_pu,
#                   R_pu droop and T_s [s] of a one-lag turbine
#                   (leave R_pu and T_s empty for a machine without governor; or name a model in a column `governor` and put its
#                   parameters into governors/MODEL.csv); exactly one generator is of kind slack, the others are pv
format = 1
name = "{name}"
title = "Two areas, three generators (template)"
base_mva = 100.0
f_hz = 50.0

[damping]            # added to every machine, on machine base
at = "machines"
pu_on_machine_base = 1.0
""",
    "buses.csv": """\
bus,kv,p_load_mw,q_load_mvar,g_shunt_mw,b_shunt_mvar,x,y
1,11,0,0,0,0,0,1
2,11,0,0,0,0,0,0
3,220,60,15,0,0,1,0.5
4,220,90,20,0,10,3,0.5
5,11,0,0,0,0,4,0.5
6,220,20,5,0,0,2,0.2
""",
    "branches.csv": """\
from_bus,to_bus,r_pu,x_pu,b_pu,tap,shift_deg
1,3,0,0.08,0,1,0
2,3,0,0.08,0,1,0
3,4,0.02,0.30,0.05,1,0
3,6,0.01,0.20,0.03,1,0
6,4,0.01,0.20,0.03,1,0
5,4,0,0.06,0,1,0
""",
    "generators.csv": """\
label,bus,kind,p_mw,v_pu,mbase_mva,H_s,D_pu,xd_prime_pu,R_pu,T_s
West 1,1,slack,60,1.02,80,4.0,0,0.3,0.05,6.0
West 2,2,pv,40,1.02,60,3.5,0,0.3,0.05,0.5
East,5,pv,70,1.02,100,5.0,0,0.25,,
""",
}


def write_template(folder: Path) -> list[Path]:
    """Write the template into a folder that does not exist or is empty; the paths of its files.

    Raises
    ------
    InputError
        The folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "case"
        made.mkdir()
        for name, content in FILES.items():
            (made / name).write_text(content.replace("{name}", folder.name.replace('"', "")), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
    return [folder / name for name in FILES]
