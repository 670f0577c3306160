"""Documentation is checked: links, commands, the two languages, and what must not stand in a repository."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
import yaml

from lingqu.cli.app import app

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^ *```([\w-]*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
GENERATED = {"docs/reference/mechanisms.md"}


def pages(files: list[Path], root: Path) -> list[Path]:
    """Every Markdown file."""
    return [path for path in files if path.suffix == ".md"]


def prose(path: Path) -> str:
    """A page without its code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text(encoding="utf-8")))


def headings(path: Path) -> list[str]:
    """The headings' marks and texts, code blocks left out."""
    return re.findall(r"^#{1,6} .+$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that a heading gets."""
    text = re.sub(r"[`*]", "", heading.lstrip("# ").strip().lower())
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text)).strip("-")


def test_relative_links_lead_somewhere(files: list[Path], root: Path) -> None:
    found = []
    for page in pages(files, root):
        for target in LINK.findall(prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = unquote(target).partition("#")
            place = (page.parent / name).resolve() if name else page
            if str(place.relative_to(root)) in GENERATED:
                continue
            if not place.exists():
                found.append(f"{page.relative_to(root)}: {target}")
            elif fragment and place.suffix == ".md" and fragment not in map(anchor, headings(place)):
                found.append(f"{page.relative_to(root)}: {target}: no such heading")
    assert not found, "\n".join(found)


def commands(page: Path) -> Iterator[list[str]]:
    """The shell commands of a page, one list of words each."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in {"sh", "bash", "console", "shell"}:
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    yield words


def targets(root: Path) -> set[str]:
    """The Makefile's tasks."""
    return set(re.findall(r"^([a-z-]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE))


def parse(command: Any, words: list[str], context: Any = None) -> None:
    """Let the command line's own parser read the words of a documented command; it raises what a user would see."""
    context = command.context_class(command, parent=context, info_name=command.name)
    if not hasattr(command, "commands"):
        command.make_parser(context).parse_args(list(words))
        return
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    if rest:
        assert rest[0] in command.commands, f"no command {rest[0]}"
        parse(command.commands[rest[0]], rest[1:], context)


def test_documented_commands_exist(files: list[Path], root: Path) -> None:
    program = typer.main.get_command(app)
    found = []
    for page in pages(files, root):
        for words in commands(page):
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            words = words[: next((i for i, word in enumerate(words) if word in {"|", ">", "&", "&&", "<"}), None)]
            try:
                if words[:1] == ["make"]:
                    unknown = {word for word in words[1:] if "=" not in word} - targets(root)
                    assert not unknown, f"no task {', '.join(unknown)}"
                elif words and words[0].rpartition("/")[2] == "lingqu":
                    parse(program, words[1:])
            except Exception as error:
                found.append(f"{page.relative_to(root)}: {shlex.join(words)}: {str(error).splitlines()[0]}")
    assert not found, "\n".join(found)


def test_tasks_of_the_readme_stand_in_make_help(root: Path) -> None:
    assert {"help", "demo", "test", "lint", "types", "imports", "rust", "docs", "bench", "clean"} <= targets(root)


def without_comments(page: Path) -> list[tuple[str, str]]:
    """A page's code blocks; comments may be in the page's own language."""
    return [
        (language, re.sub(r"(^|\s)#.*$", "", block, flags=re.MULTILINE).strip())
        for language, block in FENCE.findall(page.read_text(encoding="utf-8"))
        if language not in {"", "text"}
    ]


def pairs(root: Path) -> list[tuple[Path, Path]]:
    """Pages that stand in both languages."""
    guide = root / "docs" / "guide"
    return [
        (root / "README.md", root / "README.zh-CN.md"),
        (root / "docs" / "index.md", root / "docs" / "index.zh-CN.md"),
        *((page, root / "docs" / "guide.zh-CN" / page.name) for page in sorted(guide.glob("*.md"))),
    ]


def test_both_languages_say_the_same(root: Path) -> None:
    for english, chinese in pairs(root):
        assert chinese.exists(), f"{chinese.relative_to(root)} is missing"
        levels = [[heading.split(" ")[0] for heading in headings(page)] for page in (english, chinese)]
        assert levels[0] == levels[1], f"{english.relative_to(root)}: the sections differ"
        assert without_comments(english) == without_comments(chinese), f"{english.relative_to(root)}: the code differs"
    english_names = {page.name for page in (root / "docs" / "guide").glob("*.md")}
    assert {page.name for page in (root / "docs" / "guide.zh-CN").glob("*.md")} == english_names


def linked(entry: Any) -> Iterator[str]:
    """The files that a navigation entry names."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for inner in entry.values():
            yield from linked(inner)
    else:
        for inner in entry:
            yield from linked(inner)


def test_every_page_is_in_the_navigation(files: list[Path], root: Path) -> None:
    navigation = set(linked(yaml.safe_load((root / "mkdocs.yml").read_text())["nav"]))
    present = {str(page.relative_to(root / "docs")) for page in pages(files, root) if root / "docs" in page.parents}
    generated = {name.removeprefix("docs/") for name in GENERATED}
    assert navigation - generated == present - generated


def test_every_room_has_a_page(files: list[Path], root: Path) -> None:
    package = root / "src" / "lingqu"
    rooms = {path.relative_to(package).parts[0] for path in files if package in path.parents and path.parent != package}
    pages_of_rooms = {page.stem for page in (root / "docs" / "rooms").glob("*.md")}
    # The words have their reference, generated from the docstrings; both faces have the guide.
    elsewhere = {"kinds", "cli", "client"}
    assert rooms - pages_of_rooms <= elsewhere
    assert pages_of_rooms <= rooms


HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "static.crates" + ".io",
    "registry.npm" + "js.org",
    "deb.deb" + "ian.org",
]
PLACES = ["/wo" + "rk/", "/fa" + "rm/", r"\.lib" + "rary", r"/root/\w", r"/home/\w", r"/Users/\w"]


@pytest.mark.parametrize("pattern", [*map(re.escape, HOSTS), *PLACES])
def test_nothing_names_a_registry_or_a_place_on_one_machine(pattern: str, files: list[Path], root: Path) -> None:
    found = []
    for path in files:
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            text = data.decode("utf-8")
            found += [f"{path.relative_to(root)}: {match.group()}" for match in re.finditer(pattern, text)]
    assert not found, "\n".join(found)


def python_of(page: Path) -> str:
    """A page's Python samples, one after the other."""
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    return "\n".join(block for language, block in blocks if language in {"python", "py"})


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "rooms").glob("*.md")), ids=lambda page: page.stem)
def test_samples_of_the_rooms_run(page: Path, tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(python_of(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", sample], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_other_samples_are_python(files: list[Path], root: Path) -> None:
    for page in pages(files, root):
        ast.parse(python_of(page), str(page.relative_to(root)))
