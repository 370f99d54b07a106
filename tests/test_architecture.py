"""The walls between the project's parts, read off the imports of every file."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "rllib_integration"
SERVER = "minicarla"
EXAMPLES = ("dqn_example", "ppo_example", "rl_example")
PACKAGES = (LIBRARY, SERVER, *EXAMPLES, "aws", "benchmarks")
FOLDERS = (LIBRARY, SERVER, *EXAMPLES, "aws", "benchmarks", "tests")
TOOLS = {"checked_files", "kernels", "labels", "parent_death", "startup_messages"}
MAY_IMPORT = {
    **{tool: set() for tool in TOOLS},
    "kernels": {"checked_files"},
    "protocol": set(),
    "physics": TOOLS,
    "town": {*TOOLS, "physics"},
    "sensing": {*TOOLS, "physics"},
    "world": {*TOOLS, "physics", "protocol", "sensing", "town"},
    "rpc": {*TOOLS, "physics", "protocol", "sensing", "town", "world"},
}
"""What each part of the embedded server may import beside itself: all arrows point one way."""


def name_of(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[str]:
    """Dotted names that a file imports, those of functions and for type checkers alone included."""
    folder = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


@pytest.fixture(scope="module")
def arrows() -> list[tuple[str, str]]:
    """(module, what it imports), for every file of the repository."""
    files = [*ROOT.glob("*.py"), *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))]
    return [(name_of(file), name) for file in files for name in imports_of(file)]


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.fixture(scope="module")
def arrows_between_modules(arrows: list[tuple[str, str]]) -> dict[str, set[str]]:
    """For every module the modules of the repository that it imports: those of functions and types included."""
    modules = {module for module, _ in arrows}
    found: dict[str, set[str]] = {module: set() for module in modules}
    for module, name in arrows:
        target = next((part for part in (name, name.rpartition(".")[0]) if part in modules), module)
        if target != module:
            found[module].add(target)
    return found


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of names that import each other in a loop."""

    def reached_from(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            new = arrows.get(ahead.pop(), set()) - found
            found |= new
            ahead += new
        return found

    reached = {name: reached_from(name) for name in arrows}
    looped = {name for name in arrows if name in reached[name]}
    groups = {frozenset(other for other in reached[name] if name in reached.get(other, ())) for name in looped}
    return sorted(sorted(group) for group in groups)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(arrows_between_modules: dict[str, set[str]], package: str) -> None:
    inside = {module: {to for to in names if is_in(to, package)} for module, names in arrows_between_modules.items()}
    assert circles({module: names for module, names in inside.items() if is_in(module, package)}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_stands_on_a_floor_of_its_own(arrows_between_modules: dict[str, set[str]], package: str) -> None:
    """Folders and files directly in a package have floors, each above all that it imports: no arrow runs back up."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    # A package's own `__init__` hands names on: it stands above what it imports, and nothing below needs it.
    rooms: dict[str, set[str]] = {room(module): set() for module in arrows_between_modules if is_in(module, package)}
    for module, names in arrows_between_modules.items():
        if is_in(module, package):
            rooms[room(module)] |= {room(to) for to in names if is_in(to, package)} - {room(module)}
    assert circles(rooms) == []


def test_nothing_but_the_wire_joins_library_and_embedded_server(arrows: list[tuple[str, str]]) -> None:
    crossing = [
        (module, name)
        for module, name in arrows
        if (is_in(module, LIBRARY) and is_in(name, SERVER)) or (is_in(module, SERVER) and is_in(name, LIBRARY))
    ]
    assert crossing == []


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_arrows_inside_the_embedded_server_point_one_way(arrows: list[tuple[str, str]], part: str) -> None:
    against = [
        (module, name)
        for module, name in arrows
        if is_in(module, f"{SERVER}.{part}") and name.startswith(f"{SERVER}.")
        if name.split(".")[1] not in {part, *MAY_IMPORT[part]}
    ]
    assert against == []


def test_the_world_knows_neither_bytes_nor_streams(arrows: list[tuple[str, str]]) -> None:
    allowed = (f"{SERVER}.protocol.version", f"{SERVER}.protocol.values")
    against = [
        (module, name)
        for module, name in arrows
        if is_in(module, f"{SERVER}.world") and is_in(name, f"{SERVER}.protocol")
        if not any(is_in(name, one) for one in allowed)
    ]
    assert against == []


def test_library_and_example_know_the_public_names_below_them_only(arrows: list[tuple[str, str]]) -> None:
    below = {
        LIBRARY: (LIBRARY,),
        "dqn_example": (LIBRARY, "dqn_example"),
        "ppo_example": (LIBRARY, "ppo_example"),
        "rl_example": (LIBRARY, "rl_example"),
        "aws": ("aws",),
    }
    upwards = [
        (module, name)
        for module, name in arrows
        if (home := module.split(".")[0]) in below and name.split(".")[0] in FOLDERS
        if name.split(".")[0] not in below[home]
    ]
    private = [
        (module, name)
        for module, name in arrows
        if module.partition(".")[0] in EXAMPLES and is_in(name, LIBRARY)
        if any(part[0] == "_" for part in name.split("."))
    ]
    assert (upwards, private) == ([], [])


def test_what_drives_policies_does_without_what_trains_them(arrows: list[tuple[str, str]]) -> None:
    driving, training = f"{LIBRARY}.driving", f"{LIBRARY}.training"
    assert [(module, name) for module, name in arrows if is_in(module, driving) and is_in(name, training)] == []


def test_every_module_of_this_project_that_is_imported_exists(arrows: list[tuple[str, str]]) -> None:
    modules = {name_of(file) for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")} | set(FOLDERS)
    missing = [
        (module, name)
        for module, name in arrows
        if name.split(".")[0] in FOLDERS and name not in modules and name.rpartition(".")[0] not in modules
    ]
    assert missing == []


def test_nothing_but_its_command_needs_the_viewer(arrows: list[tuple[str, str]]) -> None:
    viewer, command = f"{LIBRARY}.viewer", f"{LIBRARY}.cli.view"
    from_outside = [
        (module, name)
        for module, name in arrows
        if is_in(name, viewer) and not is_in(module, viewer) and is_in(module, LIBRARY) and module != command
    ]
    assert from_outside == []


def test_every_file_of_the_repository_goes_into_the_source_distribution() -> None:
    """That is checked in full where the distributions are built; here, that MANIFEST.in names each folder and kind."""
    words = [line.split() for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()]
    grafted = {folder for command, *folders in filter(None, words) if command == "graft" for folder in folders}
    included = [pattern for command, *patterns in filter(None, words) if command == "include" for pattern in patterns]
    always = ("MANIFEST.in", "pyproject.toml", "LICENSE")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")[:-1]
    forgotten = {
        name
        for file in listed
        if (name := file.partition("/")[0]) not in {*grafted, *always} and not file.startswith(".")
        if "/" in file or not any(fnmatch(name, pattern) for pattern in included)
    }
    assert forgotten == set()


def test_few_values_are_of_any_type() -> None:
    files = (file for package in (LIBRARY, SERVER, *EXAMPLES) for file in (ROOT / package).rglob("*.py"))
    count = sum(len(re.findall(r"\bAny\b", file.read_text(encoding="utf-8"))) for file in files)
    assert count < 250, "say what a value is, by a type or an alias of `annotations`"
