"""PSS/E RAW and DYR text from figures, for every version that is read."""

RATES = {32: 3, 33: 3, 34: 12, 35: 12}
SECTIONS = (
    *("BUS", "LOAD", "FIXED SHUNT", "GENERATOR", "BRANCH", "SYSTEM SWITCHING DEVICE", "TRANSFORMER", "AREA", "TWO-TERMINAL DC"),
    *("VSC DC LINE", "IMPEDANCE CORRECTION", "MULTI-TERMINAL DC", "MULTI-SECTION LINE", "ZONE", "INTER-AREA TRANSFER", "OWNER"),
    *("FACTS DEVICE", "SWITCHED SHUNT", "GNE", "INDUCTION MACHINE", "SUBSTATION"),
)


def row(*values):
    """One line of fields parted by commas; texts in quotes."""
    return ", ".join(f"'{value}'" if isinstance(value, str) else repr(value) for value in values)


def bus(number, kind=1, *, name="", kv=110.0, vm=1.0, va=0.0):
    return row(number, name or f"B{number}", kv, kind, 1, 1, 1, vm, va, 1.1, 0.9, 1.1, 0.9)


def load(version, number, p=0.0, q=0.0, *, status=1, ip=0.0, iq=0.0, yp=0.0, yq=0.0, generation=(0.0, 0.0, 0)):
    more = [*generation, "load"][: {34: 3, 35: 4}.get(version, 0)]
    return row(number, "1", status, 1, 1, p, q, ip, iq, yp, yq, 1, 1, *([] if version == 32 else [0]), *more)


def generator(version, number, *, id="1", p=0.0, vs=1.0, remote=0, mbase=100.0, zx=0.2, stat=1, xt=0.0, limits=(999.0, -999.0)):
    node = [0] if version == 35 else []
    return row(number, id, p, 0.0, *limits, vs, remote, *node, mbase, 0.0, zx, 0.0, xt, 1.0, stat, 100.0, 999.0, 0.0, 1, 1.0)


def branch(version, i, j, r=0.0, x=0.1, b=0.0, *, ckt="1", ends=(0.0, 0.0, 0.0, 0.0), st=1):
    name = [""] if version >= 34 else []
    return row(i, j, ckt, r, x, b, *name, *[0.0] * RATES[version], *ends, st, 1, 0.0, 1, 1.0)


def device(i, j, x=1e-4, *, stat=1):
    return row(i, j, "1", x, *[0.0] * 12, stat, 1, 0, 2, "switch")


def winding(version, windv=1.0, nomv=0.0, ang=0.0, *, table=0):
    node = [0] if version == 35 else []
    return row(windv, nomv, ang, *[0.0] * RATES[version], 0, 0, *node, 1.1, 0.9, 1.1, 0.9, 33, table, 0.0, 0.0, 0.0)


def transformer(version, ends, windings, pairs, *, codes=(1, 1, 1), mag=(0.0, 0.0), stat=1, star=(1.0, 0.0), table=0):
    """Two or three ends, windings (WINDV, NOMV, ANG) and pairs (R, X, SBASE)."""
    three = len(ends) == 3
    cells = [cell for pair in pairs for cell in pair] + (list(star) if three else [])
    lines = [row(*ends, *([] if three else [0]), "1", *codes, *mag, 2, "T", stat, 1, 1.0), row(*cells)]
    lines += [winding(version, *w, table=table) for w in (windings if three else windings[:1])]
    return "\n".join(lines if three else [*lines, row(*windings[1][:2])])


def switched(version, number, binit, *, status=1):
    key, node = (["1"], [0]) if version == 35 else ([], [])
    return row(number, *key, 1, 0, status, 1.1, 0.9, 0, *node, 100.0, "", binit, 1, binit)


def raw(version, sections, *, comments=True, last="Q", header=True, base=100.0, f_hz=60.0):
    """A whole file; `sections`: name -> lines. Sections that a version lacks are left out."""
    lines = ["@!IC,SBASE,REV,XFRRAT,NXFRAT,BASFRQ"] if version >= 35 and header else []
    lines += [f"0, {base!r}, {version}, 0, 1, {f_hz!r} / a comment, with 'quotes", "a title", "its second line"]
    names = [n for n in SECTIONS if version >= 34 or n not in ("SYSTEM SWITCHING DEVICE", "SUBSTATION")]
    if version >= 34:
        lines += ["GENERAL, THRSHZ=0.0001, PQBRAK=0.7, BLOWUP=5.0", "GAUSS, ITMX=100", "RATING, 1, 'RATE1', 'first'"]
        lines.append("0 / END OF SYSTEM-WIDE DATA, BEGIN BUS DATA" if comments else "0")
    for k, name in enumerate(names):
        if version >= 35 and header:
            lines.append("@! names of columns, which are no data")
        for record in sections.get(name, ()):
            lines += record.split("\n")
        following = f", BEGIN {names[k + 1]} DATA" if k + 1 < len(names) else ""
        lines.append(f"0 / END OF {name} DATA{following}" if comments else "0")
    return "\n".join([*lines, *([last] if last else [])]) + "\n"


def small(version):
    """Four buses, two generators, a two- and a three-winding transformer: the file that the others damage."""
    sections = {
        "BUS": [
            bus(1, 3, name="SWING", kv=20.0, vm=1.02),
            bus(2, 1, name="O'BRIEN, A/B", vm=1.0, va=-2.0),
            bus(3, 2, name="GEN", vm=1.01, va=1.0),
            bus(4, 1, name="LOW", kv=10.0, vm=0.99, va=-4.0),
        ],
        "LOAD": [load(version, 2, 50.0, 10.0), load(version, 4, 20.0, 5.0, ip=1.0, yp=1.0, yq=-1.0)],
        "FIXED SHUNT": [row(2, "1", 1, 0.5, 5.0)],
        "GENERATOR": [generator(version, 1, p=30.0, vs=1.02), generator(version, 3, p=41.0, vs=1.01, mbase=60.0)],
        "BRANCH": [branch(version, 2, 3, 0.01, 0.1, 0.02)],
        "TRANSFORMER": [
            transformer(version, (1, 2), [(20.0, 20.0, 0.0), (110.0, 110.0)], [(0.005, 0.1, 80.0)], codes=(2, 2, 1)),
            transformer(
                version,
                (2, 3, 4),
                [(1.0, 0.0, 0.0), (1.02, 0.0, 0.0), (0.98, 0.0, 30.0)],
                [(0.0, 0.1, 100.0), (0.0, 0.12, 100.0), (0.0, 0.14, 100.0)],
                mag=(0.001, -0.01),
            ),
        ],
        "SWITCHED SHUNT": [switched(version, 4, 3.0)],
        "SYSTEM SWITCHING DEVICE": [],
        "AREA": [row(1, 1, 0.0, 5.0, "area")],
        "ZONE": [row(1, "zone")],
    }
    return raw(version, sections)


SMALL_DYR = """// a comment
1 'GENROU' 1  8.0 0.03 0.4 0.05  4.5 0.0  1.8 1.7 0.3 0.55 0.25 0.2 0.0 0.0 /
1 'IEEEG1' 1  0 0  20.0 0.0 0.0 0.1 0.1 -0.1 1.0 0.0
   0.3 0.3 0.0 7.0 0.3 0.0 0.5 0.4 0.0 3*0.0 /
3 'GENSAL' 1, 5.0, 0.05, 0.06, 3.0, 1.0, 1.1, 0.7, 0.3, 0.2, 0.15, 0.1, 0.3 / hydro
3 'HYGOV' 1  0.05 0.3 5.0 0.05 0.2 0.2 1.0 0.0 1.5 1.2 0.1 0.08 /
3 'SEXS' 1  0.1 10.0 100.0 0.05 -4.0 4.0 /
"""
