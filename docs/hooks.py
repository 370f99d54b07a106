"""Pages that MkDocs makes from the code, and links that lead out of the documentation.

The code is read, not imported, so that the site can be built without the project's own requirements.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "rllib_integration"
EXAMPLES = ("dqn_example", "ppo_example", "rl_example")
_MADE = re.compile(r"<!-- made from: (\S+) -->")
_MEMBER = re.compile(r"^::: (\w+)$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made from the code, and turn links to files that are no pages into plain text."""
    whole = _MADE.sub(lambda mark: _made_from(mark[1]), markdown)
    whole = _MEMBER.sub(lambda name: f"::: {qualified(name[1])}", whole)
    return _LINK.sub(lambda link: _link_within(link, Path(page.file.src_uri).parent), whole)


def _made_from(what: str) -> str:
    makers = {"configuration": configuration_tables, "sensors": sensor_sections}
    if what in makers:
        return makers[what]()
    # A file of the repository's root, whose links into `docs/` become links between pages.
    return (ROOT / what).read_text(encoding="utf-8").replace("](docs/", "](")


def _link_within(link: re.Match[str], folder: Path) -> str:
    mark, text, target = link.groups()
    path = target.split("#")[0]
    if mark or "://" in target or not path.startswith(".."):
        return link[0]
    place = (ROOT / "docs" / folder / path).resolve()
    if place.is_relative_to(ROOT / "docs") or not place.exists():
        return link[0]  # MkDocs itself tells where it leads to nothing
    name = place.relative_to(ROOT).as_posix()
    return text if text.strip("`") == name else f"{text} (`{name}`)"


def qualified(name: str) -> str:
    """Where a public class or function of the library is defined, as `package.module.name`.

    Raises:
        LookupError: No module of the library defines it.
    """
    for file, tree in _modules(LIBRARY, name):
        if any(getattr(node, "name", None) == name for node in tree.body):
            return ".".join([*file.relative_to(ROOT).with_suffix("").parts, name])
    raise LookupError(f"No module of the library defines {name}, which the API reference names.")


def _modules(folder: Path, word: str) -> Iterator[tuple[Path, ast.Module]]:
    """The modules in a folder, and below it, in which a word occurs."""
    for file in sorted(folder.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        if word in source:
            yield file, ast.parse(source)


# Configuration


class Setting(NamedTuple):
    """One setting: dotted path, default as it stands in the code, and what the comment beside it says."""

    path: str
    default: str
    meaning: str


def configuration_tables() -> str:
    """All settings, from the defaults in the code and the comments beside them."""
    text = ""
    sections = [
        ("env_config.carla", "Simulator and world.", settings_of("BASE_CORE_CONFIG", "env_config.carla")),
        (
            "env_config.carla.server",
            "One of the kinds, or a mapping of the following. See [Simulators](../simulators.md).",
            server_settings(),
        ),
        ("env_config.experiment", "The task.", settings_of("BASE_EXPERIMENT_CONFIG", "env_config.experiment")),
        (
            "env_config.experiment.scenarios",
            "Situations on the hero's way. See [Scenarios](../guide.md#scenarios).",
            settings_of("SCENARIOS_CONFIG", "env_config.experiment.scenarios"),
        ),
        (
            "env_config.agents",
            "Several heroes. See [Several agents](../multi_agent.md).",
            settings_of("AGENTS_CONFIG", "env_config.agents"),
        ),
    ]
    for title, summary, settings in sections:
        text += f"\n## {title}\n\n{summary}\n\n{_table(settings)}"
    text += "\n## env_config.experiment.others of the examples\n\nAn experiment's own settings.\n"
    for example in EXAMPLES:
        for name, settings in _others_of(example):
            text += f"\n### {name}\n\n{_table(settings)}"
    return text


def _table(settings: list[Setting]) -> str:
    rows = [f"| `{path}` | `{default}` | {_cell(meaning)} |" for path, default, meaning in settings]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def settings_of(name: str, where: str) -> list[Setting]:
    """The settings of a dictionary of defaults in the library.

    Args:
        name: The dictionary's name, whichever module it stands in.
        where: Path that the settings' paths begin with in the documentation; it is left out of them.

    Raises:
        LookupError: No module of the library defines the name.
    """
    found = _dictionary(name)
    if found is None:
        raise LookupError(f"No module of the library defines {name}, whose settings stand under {where}.")
    return list(_settings(*found))


def _dictionary(name: str) -> tuple[ast.Dict, str] | None:
    """A dictionary by the name that a module of the library or of an example gives it, and that module's source."""
    for folder in (LIBRARY, *(ROOT / example for example in EXAMPLES)):
        for file, tree in _modules(folder, name):
            for node in tree.body:
                value = getattr(node, "value", None)
                if _assigned(node) == name and isinstance(value, ast.Dict):
                    return value, file.read_text(encoding="utf-8")
    return None


def _assigned(node: ast.AST) -> str | None:
    """The name that a statement assigns to, if that is what it does."""
    if isinstance(node, ast.Assign):
        target: ast.expr | None = node.targets[0]
    else:
        target = node.target if isinstance(node, ast.AnnAssign) else None
    return target.id if isinstance(target, ast.Name) else None


def _settings(node: ast.Dict, source: str, below: str = "") -> Iterator[Setting]:
    comments, lines = _comments(source), source.splitlines()
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant):  # **another dictionary
            whole = _inner(value, source)
            yield from _settings(*whole, below) if whole is not None else ()
            continue
        path = f"{below}.{key.value}" if below else str(key.value)
        inner = _inner(value, source)
        if inner is not None:
            yield from _settings(*inner, path)
        else:
            yield Setting(path, _written(value), _comment_at(key.lineno, lines, comments))


def _inner(value: ast.expr, source: str) -> tuple[ast.Dict, str] | None:
    """The settings that a default consists of, where it does, and the source that they stand in."""
    if isinstance(value, ast.Dict):
        return (value, source) if value.keys else None
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    return _dictionary(name) if name.isupper() and not name.endswith("_CONFIG") else None


def _written(value: ast.expr) -> str:
    """A default as YAML would have it; of another dictionary, that it has a section of its own."""
    try:
        content = ast.literal_eval(value)
    except ValueError:
        text = ast.unparse(value)
        kind, _, name = text.partition(".")
        if kind == "ServerSettings":  # the same default stands there
            return next(setting.default for setting in _server_fields() if setting.path == name)
        return "its own section" if text.endswith("_CONFIG") else text
    if content is None:
        return "null"
    if content == "":
        return '""'
    return str(content).lower() if isinstance(content, bool) else str(content)


def _comment_at(number: int, lines: list[str], comments: dict[int, str]) -> str:
    """The comment at the end of a line, after those that stand alone above it."""
    first = number
    while lines[first - 2].strip().startswith("#"):
        first -= 1
    return " ".join(comments[line] for line in range(first, number + 1) if line in comments)


def _comments(source: str) -> dict[int, str]:
    """Line number -> the comment on it, also where it stands alone."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def server_settings() -> list[Setting]:
    """The settings of `env_config.carla.server`: the fields of `ServerSettings` but for those of `env_config.carla`."""
    found = _dictionary("BASE_CORE_CONFIG")
    assert found is not None
    beside = {ast.unparse(default) for default in found[0].values}
    return [setting for setting in _server_fields() if f"ServerSettings.{setting.path}" not in beside]


def _server_fields() -> list[Setting]:
    """The fields of `ServerSettings` with their defaults, explained by its docstring."""
    kind = _class_of(LIBRARY, "ServerSettings")
    meanings = _attributes(ast.get_docstring(kind) or "")
    fields = [node for node in kind.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return [
        Setting(node.target.id, _written(node.value), meanings.get(node.target.id, ""))  # type: ignore[union-attr]
        for node in fields
        if node.value is not None
    ]


def _class_of(folder: Path, name: str) -> ast.ClassDef:
    for _, tree in _modules(folder, f"class {name}"):
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return node
    raise LookupError(f"No module under {folder.name} defines the class {name}.")


def _attributes(docstring: str) -> dict[str, str]:
    """Name -> text of a docstring's section `Attributes`."""
    section = docstring.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _others_of(example: str) -> Iterator[tuple[str, list[Setting]]]:
    """The settings under `others` of an example's experiments: where `OTHERS` stands, and what it holds."""
    for file in sorted((ROOT / example).glob("*.py")):
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source)
        scopes = {f"{file.stem}:{kind.name}": kind.body for kind in tree.body if isinstance(kind, ast.ClassDef)}
        for scope, body in {file.stem: tree.body, **scopes}.items():
            for node in body:
                value = getattr(node, "value", None)
                if _assigned(node) == "OTHERS" and isinstance(value, ast.Dict) and value.keys:
                    yield f"{example}.{scope}", list(_settings(value, source))


# Sensors


def sensor_sections() -> str:
    """A section for each sensor, from its class."""
    text = ""
    classes = dict(_sensor_classes())
    for type_id, (kind, options) in sorted(classes.items()):
        event = (
            " (event)" if any(isinstance(base, ast.Name) and base.id == "EventSensor" for base in kind.bases) else ""
        )
        text += f"\n## {type_id}{event}\n\n{_plain(ast.get_docstring(kind) or '')}\n"
        if options:
            text += f"\n{_options_table(options)}"
    return text


def _sensor_classes() -> Iterator[tuple[str, tuple[ast.ClassDef, ast.Dict | None]]]:
    """Type -> its class and the options that it has beside the blueprint's attributes, its base's if none."""
    found = [
        (kind, {_assigned(node): node.value for node in kind.body if isinstance(node, (ast.Assign, ast.AnnAssign))})
        for file in sorted((LIBRARY / "sensors").glob("*.py"))
        for kind in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(kind, ast.ClassDef)
    ]
    options = {kind.name: values["OPTIONS"] for kind, values in found if isinstance(values.get("OPTIONS"), ast.Dict)}
    for kind, values in found:
        type_id = values.get("type_id")
        if isinstance(type_id, ast.Constant) and type_id.value:
            bases = [base.id for base in kind.bases if isinstance(base, ast.Name)]
            own = next((options[name] for name in (kind.name, *bases) if name in options), None)
            yield str(type_id.value), (kind, own)  # type: ignore[misc]


def _plain(docstring: str) -> str:
    """A docstring without the roles of another documentation generator."""
    return re.sub(r":\w+:`", "`", docstring)


def _options_table(options: ast.Dict) -> str:
    rows = []
    for key, value in zip(options.keys, options.values, strict=True):
        if isinstance(key, ast.Constant):
            words = isinstance(value, ast.Tuple) and all(isinstance(word, ast.Constant) for word in value.elts)
            texts = [str(word.value) for word in value.elts] if words else []  # type: ignore[attr-defined]
            shown = "`, `".join(texts) + "` (the first is the default)" if len(texts) > 1 else f"{_written(value)}`"
            rows.append(f"| `{key.value}` | `{_cell(shown)} |")
    return "\n".join(["| option | values or default |", "| --- | --- |", *rows, ""])
