"""Fields of PSS/E dynamic model records in their order, and what the other models of a DYR file are for."""

from __future__ import annotations

_TURBINE = "K T1 T2 T3 UO UC PMAX PMIN T4 K1 K2 T5 K3 K4 T6 K5 K6 T7 K7 K8"
_GGOV1 = (
    "Rselect Flag R Tpelec maxerr minerr Kpgov Kigov Kdgov Tdgov Vmax Vmin Tact Kturb Wfnl Tb Tc Teng Tfload Kpload Kiload Ldref "
    "Dm Ropen Rclose Kimw Aset Ka Ta Trate db Tsa Tsb Rup Rdown"
)
#: machine model -> fields; H [s], D [pu/pu] and x'd [pu] on machine base are what a case holds
MACHINES = {
    "GENCLS": "H D",
    "GENROU": "Tpd0 Tppd0 Tpq0 Tppq0 H D Xd Xq Xpd Xpq Xppd Xl S1 S12",
    "GENROE": "Tpd0 Tppd0 Tpq0 Tppq0 H D Xd Xq Xpd Xpq Xppd Xl S1 S12",
    "GENSAL": "Tpd0 Tppd0 Tppq0 H D Xd Xq Xpd Xppd Xl S1 S12",
    "GENSAE": "Tpd0 Tppd0 Tppq0 H D Xd Xq Xpd Xppd Xl S1 S12",
}
#: governor model -> fields; `nodes.governors` says what they mean
GOVERNORS = {
    "TGOV1": "R T1 VMAX VMIN T2 T3 Dt",
    "IEESGO": "T1 T2 T3 T4 T5 T6 K1 K2 K3 PMAX PMIN",
    "HYGOV": "R r Tr Tf Tg VELM GMAX GMIN TW At Dturb qNL",
    "IEEEG1": f"JBUS M {_TURBINE}",
    "WSIEG1": f"JBUS M {_TURBINE} DB1 ERR DB2 GV1 PGV1 GV2 PGV2 GV3 PGV3 GV4 PGV4 GV5 PGV5 IBLOCK",
    "GAST": "R T1 T2 T3 AT KT VMAX VMIN Dturb",
    "GGOV1": _GGOV1,
}
#: what other models are for: beginnings of their names, the longest that fits
OTHERS = {
    "governor": "TGOV IEEEG WSIEG WESGOV WEHGOV WPIDHY WSHYGP WSHYDD GAST GGOV HYGOV DEGOV PIDGOV CRCMGV BBGOV IVOGO TURCZT URGS3T "
    "UCBGT SHAF25 H6 HYG3 HYST GOVCT GOVHYDRO HYPID PWTBD1 LCFB1",
    "machine": "GENTRA GENTP GENQEC GENDCO CGEN1 FRECHG",
    "stabilizer": "PSS STAB IEEEST IEE2ST ST2CUT BEPSST IVOST OSTB CHAAUT",
    "excitation system": "EX ES AC DC ST IEEET IEEEX IEET SEXS SCRX BBSEX BUDCZT CELIN EMAC1T IVOEX OEX3T REXS URST5T URHIDT IEEE",
    "compensator or limiter": "IEEEVC COMP REMCMP CCOMP MAXEX MNLEX UEL OEL MINEX OPOEL",
    "converter or storage": "REGC REEC REPC REGF WT W2 W3 W4 PVGU PVEU PANEL IRRAD CBEST GEWT VSM DER_A PVD1 CMFGEN EPCGEN PVDG",
    "load": "CLOD CIM IEEL LDFR CMLD CMPLD ACMT LDSH LDS UVLS DLSH LVSH",
    "relay, shunt or dc line": "FRQ VTG DISTR RXR SCG GPDIS TIOCR CIROS SLNOS LOEXR CSVGN CSTAT CDC CEEL CHV SVSMO SVC VSC MDC "
    "PDC SWCAP SWSHN TCSC RUNBK CAPRELAY SATS SAT2 UELS OLTC VFT TSA STATCOM DCLINE",
}


def purpose(model: str) -> str:
    """What a model is for, as far as its name tells; "unknown" otherwise.

    Examples
    --------
    >>> purpose("ESST1A"), purpose("GGOV2"), purpose("NONSENSE")
    ('excitation system', 'governor', 'unknown')
    """
    if model in MACHINES:
        return "machine"
    if model in GOVERNORS:
        return "governor"
    known = [(len(start), what) for what, starts in OTHERS.items() for start in starts.split() if model.startswith(start)]
    return max(known, default=(0, "unknown"))[1]
