"""The architecture as a test: imports run downstairs only, and slow third parties stay in their one module."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import coherence

PACKAGE = Path(coherence.__file__).parent
FLOOR = {
    "errors": 0,
    "types": 0,
    "progress": 0,
    "parallel": 0,
    "display": 0,
    "numerics": 1.0,
    "nodes": 1.5,
    "graphs": 1.5,
    "network": 2,
    "theory": 3,
    "groups": 3,
    "reduction": 4,
    "simulation": 4,
    "grids": 4,
    "compare": 5,
    "formats": 5,
    "design": 5,
    "gradient_flow": 1.5,
    "description": 6,
    "ensembles": 6,
    "studies": 6,
    "terminal": 7,
    "output": 7,
    "cli": 7,
    "plots": 7,
    "__main__": 8,
}
#: rooms on one floor that know each other, with the reason
ALLOWED = {
    ("types", "errors"),
    ("parallel", "errors"),
    ("parallel", "progress"),
    ("cli", "plots"),
    ("cli", "terminal"),
    ("cli", "output"),
    ("output", "plots"),
}
ONE_MODULE = {
    "control": {"nodes/systems.py"},
    "sklearn": {"graphs/clustering.py"},
    "pandapower": {"grids/pandapower.py", "formats/pandapower.py"},
    "joblib": {"parallel.py"},
    "distributed": {"parallel.py"},
    "matplotlib": {
        "plots/__init__.py",
        "plots/style.py",
        "plots/design.py",
        "plots/frequency.py",
        "plots/graphs.py",
        "plots/responses.py",
    },
    "typer": {"cli.py"},
    "rich": {"terminal.py"},
}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if "cases" not in path.parts)


def imports(path):
    """(module, at top level?) of every import in the file, function bodies included; TYPE_CHECKING blocks do not run."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    inside = {id(child) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for child in ast.walk(f)}
    top = {id(node) for node in ast.walk(tree)} - inside
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name != "coherence", f"{path}: import the room, not the whole house"
                assert alias.name != "importlib" or path == PACKAGE / "__init__.py", f"{path}: importlib hides what it imports"
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module != "importlib" or path.name == "__init__.py", f"{path}: importlib hides what it imports"
            if node.module == "coherence":
                for alias in node.names:
                    yield f"coherence.{alias.name}", id(node) in top
            else:
                yield node.module, id(node) in top


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downstairs_only(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{here} has no floor; give it one"
    for module, _ in imports(path):
        if not module.startswith("coherence."):
            continue
        there = module.split(".")[1]
        if there == here:
            continue
        down = FLOOR[there] < FLOOR[here] or (here, there) in ALLOWED
        assert down, f"{path.relative_to(PACKAGE)} (floor {FLOOR[here]}) imports {module} (floor {FLOOR[there]})"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_slow_third_parties_stay_in_their_one_module(path):
    name = str(path.relative_to(PACKAGE))
    for module, at_top in imports(path):
        root = module.split(".")[0]
        if root in ONE_MODULE:
            assert name in ONE_MODULE[root], f"{name} imports {module}"
        if root in ("control", "sklearn", "pandapower", "joblib", "distributed"):
            assert not at_top, f"{name} imports {module} at the top; it is slow"


def copied(tmp_path, keep):
    """The package with some of its rooms only."""
    target = tmp_path / "coherence"
    target.mkdir()
    for path in PACKAGE.iterdir():
        if path.name in keep or (path.suffix in (".py", ".typed") and path.stem in keep):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, target / path.name)
    return tmp_path


def test_training_dynamics_work_with_the_network_half_deleted_and_without_pandas(tmp_path):
    here = copied(tmp_path, {"__init__", "errors", "types", "display", "progress", "numerics", "gradient_flow"})
    code = (
        "import sys\n"
        "for name in 'pandas networkx control sklearn matplotlib joblib typer rich'.split(): sys.modules[name] = None\n"
        "from coherence import gradient_flow as gf\n"
        "found = gf.gradient_flow(gf.gaussian((3, 8, 2), random_state=0), gf.squared_loss([[1, 0], [0, 1], [1, 1]]), 5.0)\n"
        "print(found.text(), gf.__file__)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 0, done.stderr
    assert str(here) in done.stdout


def test_networks_work_with_training_dynamics_deleted(tmp_path):
    here = copied(tmp_path, {path.stem for path in PACKAGE.iterdir()} - {"gradient_flow", "plots", "cases", "__pycache__"})
    code = (
        "import coherence as co\n"
        "print(co.Network(co.swing(inertia=[1, 3], damping=[1, 1]), [[9, -9], [-9, 9]], '1/s'), co.__file__)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 0, done.stderr
    assert str(here) in done.stdout


def test_only_pictures_know_of_training_dynamics():
    for path in modules():
        if room(path) not in ("gradient_flow", "plots"):
            assert not any(module.startswith("coherence.gradient_flow") for module, _ in imports(path)), path


def test_no_room_is_a_drawer():
    names = {path.stem for path in modules()} | {path.parent.name for path in modules()}
    assert not names & {"utils", "helpers", "common", "misc", "core"}


def test_importing_coherence_loads_no_slow_third_party():
    code = (
        "import sys, coherence; bad = {'control', 'sklearn', 'matplotlib', 'pandapower', 'joblib', 'distributed'} "
        "& set(sys.modules); "
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_resolves():
    for name in coherence.__all__:
        assert getattr(coherence, name) is not None
        assert not (PACKAGE / name).exists(), f"{name} is also a room; importing the room would hide the name"
        assert not (PACKAGE / f"{name}.py").exists(), f"{name} is also a module; importing the module would hide the name"
    assert set(coherence.__all__) <= set(dir(coherence))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = coherence.nonsense
