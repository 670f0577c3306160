"""No declaration, no registration: what every installed mechanism must say of itself."""

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

from lingqu.kinds.mechanism import Declaration, installed

DECLARATIONS = list(installed().declarations.values())


def by_name(declaration: Declaration) -> str:
    return declaration.name


def test_a_mechanism_is_installed_beside_its_ideal_twin() -> None:
    assert {declaration.ideal for declaration in DECLARATIONS} == {True, False}


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=by_name)
def test_a_declaration_is_complete(declaration: Declaration) -> None:
    assert declaration.name
    assert declaration.title
    assert declaration.source
    assert declaration.operations
    assert declaration.threat.assumption
    assert declaration.threat.parties >= 1
    assert 0 <= declaration.threat.corruptions <= declaration.threat.parties
    for name, operation in declaration.operations.items():
        assert operation.name == name
        assert operation.source


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=by_name)
def test_only_what_computes_in_the_clear_is_ideal(declaration: Declaration) -> None:
    assert declaration.ideal == declaration.name.endswith("plain")


def test_no_code_knows_a_mechanism_by_name(root: Path) -> None:
    """A new mechanism touches no switch: its name stands in its own folder and among the entry points only."""
    found = []
    for point in entry_points(group="lingqu.mechanisms"):
        home = root / "src" / point.module.replace(".", "/")
        name = point.load().name
        for path in (root / "src" / "lingqu").rglob("*.py"):
            own = home in path.parents or path == home.with_suffix(".py")
            if not own and name in path.read_text(encoding="utf-8"):
                found.append(f"{path.relative_to(root)}: {name}")
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    path = Path(__file__).parents[2] / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_page_names_every_mechanism_and_operation(generate: ModuleType) -> None:
    page: str = generate.page(DECLARATIONS)
    for declaration in DECLARATIONS:
        assert f"| `{declaration.name}`" in page
        if not declaration.ideal:
            for name in declaration.operations:
                assert f"| `{name}` | " in page
    assert "ideal: tests only" in page
    table = page.split("### Secret sharing: every operation of every protocol")[1].split("###")[0]
    protocols = [d for d in DECLARATIONS if d.name.startswith("share.") and not d.ideal]
    assert all(f"`{declaration.name}`" in table for declaration in protocols)
    for name in {name for declaration in protocols for name in declaration.operations}:
        row = next(line for line in table.splitlines() if line.startswith(f"| `{name}` | "))
        assert row.count(" | ") == len(protocols)
        assert row.count("not offered") == sum(name not in declaration.operations for declaration in protocols)
    # A dash would mean that an operation needs a size that the page's examples leave out.
    assert " – " not in page
    for row in page.splitlines():
        if row.startswith("|"):
            assert row.endswith("|")
