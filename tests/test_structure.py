"""The rules of the layout: who may import whom, and how large a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = {"jets", "protein", "symbolic", "placement"}
# A part may import from itself, from the parts in its set, and from the base.
BASE = {
    "errors",
    "commands",
    "paths",
    "config",
    "device",
    "graph",
    "data",
    "train",
    "report",
    "weights",
    "launch",
}
MAY = {
    "nn": set(),
    "trunks": {"nn"},
    "objectives": {"nn", "trunks"},
    "rl": {"nn", "trunks", "objectives"},
    **{domain: {"nn", "trunks", "objectives", "rl"} for domain in DOMAINS},
}


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports anywhere, dotted."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return {name for name in names if name.split(".")[0] in ("sciml", "tasks")}


def parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.count(".")}


FILES = sorted((ROOT / "sciml").rglob("*.py"))


@pytest.mark.parametrize("part", sorted(MAY))
def test_data_flows_one_way(part):
    rooms = set(MAY) | BASE
    for path in (ROOT / "sciml" / part).rglob("*.py"):
        reached = parts(path) & rooms
        assert reached <= MAY[part] | BASE | {part}, f"{path.relative_to(ROOT)} imports {reached}"


def test_the_base_knows_no_science():
    for name in BASE:
        folder = ROOT / "sciml" / name
        for path in (
            [folder.with_suffix(".py")]
            if folder.with_suffix(".py").exists()
            else folder.rglob("*.py")
        ):
            assert not parts(path) & (DOMAINS | {"objectives", "rl"}), path


def test_the_package_never_imports_recipes_and_recipes_never_each_other():
    for path in FILES:
        assert not any(name.split(".")[0] == "tasks" for name in imports(path)), path
    names = {path.stem for path in (ROOT / "tasks").glob("*.py")}
    for path in (ROOT / "tasks").glob("*.py"):
        assert not {name.split(".")[-1] for name in imports(path)} & names, path


def test_there_are_no_import_circles():
    def module(path: Path) -> str:
        return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    graph = {}
    modules = {module(path) for path in FILES}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # Only what loads with the module: lazy imports inside functions make no circle.
        top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        names = set()
        for node in top:
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
            elif isinstance(node, ast.Import):
                names |= {a.name for a in node.names}
        graph[module(path)] = (names & modules) - {module(path)}

    done: set[str] = set()
    path_now: list[str] = []

    def visit(name: str) -> None:
        assert name not in path_now, f"a circle: {' -> '.join([*path_now, name])}"
        if name in done:
            return
        path_now.append(name)
        for other in graph[name]:
            # A package that re-exports its own modules is no circle.
            if not name.startswith(other + "."):
                visit(other)
        path_now.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_the_rooms_of_a_science_are_no_circle(domain):
    """What loads with a module, seen as packages: each is built on others, never in a ring."""
    root = ROOT / "sciml" / domain
    graph: dict[str, set[str]] = {}

    def room(parts: tuple[str, ...]) -> str:
        return parts[0].removesuffix(".py") if parts else "__init__"

    for path in root.rglob("*.py"):
        own_room = room(path.relative_to(root).parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in (f"{node.module}.{a.name}" for a in node.names):
                    if name.startswith(f"sciml.{domain}."):
                        graph.setdefault(own_room, set()).add(room(tuple(name.split(".")[2:])))
    left = {name: others - {name} for name, others in graph.items()}
    while left:
        built = [name for name, others in left.items() if not others & set(left)]
        assert built, f"a circle among {sorted(left)}"
        for name in built:
            del left[name]


def test_a_folder_can_be_overlooked():
    folders = {path.parent for path in FILES}
    many = {str(f.relative_to(ROOT)): n for f in folders if (n := len(list(f.glob("*.py")))) > 26}
    assert not many, f"folders of more than 25 files and an __init__: {many}"


def test_files_hold_one_idea():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*FILES, *(ROOT / "tasks").glob("*.py")]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long, f"files over 500 lines: {long}"


def test_every_module_says_what_it_is():
    silent = [p for p in FILES if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
    assert not silent


@pytest.mark.parametrize("forbidden", ["eval", "exec"])
def test_nothing_from_outside_is_evaluated(forbidden):
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != forbidden, f"{path}:{node.lineno}"


def test_nothing_is_unpickled():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
                # The name of what a safe load refuses; nothing of it may run.
                assert node.attr == "UnpicklingError", f"{path}:{node.lineno}"
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("pickle", "dill", "cloudpickle", "joblib"), path
            if isinstance(node, ast.Call):
                words = {k.arg: k.value for k in node.keywords}
                called = ast.unparse(node.func)
                if called == "torch.load":
                    assert ast.unparse(words["weights_only"]) == "True", f"{path}:{node.lineno}"
                if called in ("np.load", "numpy.load"):
                    allowed = words.get("allow_pickle")
                    assert allowed is None or ast.unparse(allowed) == "False", path
