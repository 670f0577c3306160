"""Rules of CONTRIBUTING.md that a program can check: sizes, banned calls, the ladder."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

LINES = 500
FUNCTION_LINES = 60
# Path or path:function, and why it may be longer.
LONGER: dict[str, str] = {
    "src/lingqu/node/store/migrations/versions/0001_first_tables.py:upgrade": "a list of tables, no logic",
}
# Banned calls that one place needs, and why.
EXCUSED = {
    ("src/lingqu/identity/tls.py", "CERT_NONE"): "who joins by an invitation has no pin yet: check_peer compares first",
}

EVERYWHERE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# Shipped code takes randomness from `secrets`, and waits on events with a time limit.
SHIPPED = EVERYWHERE | {"random"}


def python(files: list[Path], root: Path, *folders: str) -> list[Path]:
    """The Python files under these folders."""
    return [path for path in files if path.suffix == ".py" and path.relative_to(root).parts[0] in folders]


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def is_constant(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def banned_anywhere(node: ast.AST) -> Iterator[str]:
    """What no file of this repository does."""
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        if name in {"eval", "exec", "yaml.load", "os.system", "__import__"}:
            yield name
        for keyword in node.keywords:
            if keyword.arg == "shell" and is_constant(keyword.value, True):
                yield "shell=True"
            if keyword.arg == "verify" and is_constant(keyword.value, False):
                yield "verify=False"
            if keyword.arg == "allow_pickle" and is_constant(keyword.value, True):
                yield "allow_pickle=True"


def banned_in_shipped_code(node: ast.AST) -> Iterator[str]:
    """What the installed package does not do either."""
    if isinstance(node, ast.Attribute):
        name = dotted(node)
        if name == "time.sleep" or re.match(r"(np|numpy)\.random\b", name):
            yield name
        if node.attr in {"CERT_NONE", "_create_unverified_context"}:
            yield node.attr
    if isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names):
        yield "time.sleep"
    if isinstance(node, ast.ImportFrom) and node.module == "numpy" and any(a.name == "random" for a in node.names):
        yield "numpy.random"


def imported(node: ast.AST) -> Iterator[str]:
    """Top-level names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module.split(".")[0]


def test_banned_calls(files: list[Path], root: Path) -> None:
    found: list[tuple[str, str, int]] = []
    for path in python(files, root, "src", "docs", "tests", "scenarios", "benchmarks"):
        shipped = path.relative_to(root).parts[0] in {"src", "docs"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [*banned_anywhere(node), *(set(imported(node)) & (SHIPPED if shipped else EVERYWHERE))]
            if shipped:
                names += banned_in_shipped_code(node)
            found += [(str(path.relative_to(root)), name, getattr(node, "lineno", 0)) for name in names]
    places = {(path, name) for path, name, _ in found}
    assert places >= EXCUSED.keys(), "an exception is needed no longer"
    assert not (places - EXCUSED.keys()), "\n".join(f"{path}:{line}: {name}" for path, name, line in found)


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "yaml.load(x)",
        "run(x, shell=True)",
        "get(x, verify=False)",
        "time.sleep(1)",
        "from time import sleep",
        "np.random.default_rng()",
        "numpy.random.seed(1)",
        "c.verify_mode = ssl.CERT_NONE",
    ],
)
def test_the_checker_sees_what_is_banned(code: str) -> None:
    nodes = list(ast.walk(ast.parse(code)))
    assert any([*banned_anywhere(node), *banned_in_shipped_code(node)] for node in nodes)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring apart."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_sizes(files: list[Path], root: Path) -> None:
    found = []
    for path in files:
        name = str(path.relative_to(root))
        if path.suffix not in {".py", ".rs"}:
            continue
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LINES and name not in LONGER:
            found.append(f"{name}: {lines} lines")
        if path.suffix == ".py" and name.startswith("src/"):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    long = length(node)
                    if long > FUNCTION_LINES and f"{name}:{node.name}" not in LONGER:
                        found.append(f"{name}:{node.lineno}: {node.name} has {long} lines")
    assert not found, "\n".join(found)


def test_exceptions_to_sizes_are_still_needed(root: Path) -> None:
    for place, reason in LONGER.items():
        path = root / place.split(":")[0]
        assert reason
        text = path.read_text(encoding="utf-8")
        if ":" not in place:
            assert text.count("\n") > LINES, f"{place} has become short enough"
            continue
        functions = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == place.split(":")[1]
        ]
        assert any(length(node) > FUNCTION_LINES for node in functions), f"{place} has become short enough"


def ladder(root: Path) -> set[str]:
    """The rooms on the ladder of pyproject.toml."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {room.strip(" ()") for layer in layers for room in layer.split("|")}


def rooms(files: list[Path], root: Path) -> set[str]:
    """The subpackages of lingqu."""
    package = root / "src" / "lingqu"
    return {path.relative_to(package).parts[0] for path in files if path.parent != package and package in path.parents}


def test_every_room_stands_on_the_ladder_and_none_is_empty(files: list[Path], root: Path) -> None:
    assert rooms(files, root) | {"_core"} == ladder(root)


def test_no_folder_holds_one_init_alone(files: list[Path], root: Path) -> None:
    inits = [path for path in files if path.name == "__init__.py"]
    empty = [path for path in inits if not path.read_text(encoding="utf-8").strip()]
    assert not empty, [str(path.relative_to(root)) for path in empty]


def test_no_work_is_left_marked_as_undone(files: list[Path], root: Path) -> None:
    words = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error"]) + r")\b")
    found = [
        f"{path.relative_to(root)}: {match.group()}"
        for path in files
        if path.suffix in {".py", ".rs", ".md", ".toml"}
        for match in words.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_results_leave_by_one_exit(files: list[Path], root: Path) -> None:
    """Protocols open masked values within `share`; nothing else opens anything but `engine/release.py`."""
    openers, builders = set(), set()
    for path in python(files, root, "src"):
        name = path.relative_to(root / "src" / "lingqu").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = dotted(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if called in {"reveal", "reveal_bits", "reveal_real"} and not name.startswith("share/"):
                openers.add(name)
            if called == "Release":
                builders.add(name)
    assert openers == {"engine/release.py"}
    assert builders == {"engine/release.py"}
