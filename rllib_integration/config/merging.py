"""Configuration in layers: defaults, then a YAML file, then `--set a.b=c` of the command line.

Every layer is checked against the defaults as it is laid on: a key that does not exist is an error that names
the nearest one that does, wherever it stands, and a value of another type than the default's says what was
expected. The defaults are never modified and nothing of them is shared with the result.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import math
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from rllib_integration.annotations import Record, Settings
from rllib_integration.errors import IntegrationError

_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a mapping of settings",
    type(None): "nothing",
}


class ConfigError(IntegrationError, ValueError):
    """A configuration can't be used; the message says which entry, what was given and what is allowed."""


class Rule:
    """What a setting may be, where its default does not say it.

    Args:
        types: The types allowed; a `float` takes whole numbers too.
        accepts: Returns whether a value of the right type is usable.
        expected: Ends the sentence "... but it has to be", when `types` or `accepts` refuse.
    """

    def __init__(self, *types: type, accepts: Callable[[Any], bool] | None = None, expected: str | None = None) -> None:
        self.types = types
        self.accepts = accepts
        self.expected = expected or " or ".join(_TYPE_NAMES[kind] for kind in types)

    @classmethod
    def of(cls, default: object) -> Rule:
        """The rule that a default implies: another value of its type."""
        return cls(type(default))

    def allows(self, value: object) -> bool:
        """Whether a value follows the rule."""
        return any(_is_instance(value, kind) for kind in self.types) and (self.accepts is None or self.accepts(value))


def positive(expected: str, *types: type) -> Rule:
    """A finite number above 0.

    Args:
        expected: Ends the sentence "... but it has to be".
        types: `int` or `float`.
    """
    return Rule(*types, accepts=lambda value: 0 < value < math.inf, expected=expected)


def one_of(*words: str) -> Rule:
    """One of some words."""
    return Rule(str, accepts=lambda word: word in words, expected=f"{', '.join(words[:-1])} or {words[-1]}")


def merge(
    defaults: Settings,
    user: Settings | None,
    where: str,
    rules: Mapping[str, Rule] | None = None,
    free: Iterable[str] = (),
    elsewhere: Mapping[str, str] | None = None,
) -> Record:
    """Lay a user's settings over defaults, checking every key and type.

    Args:
        defaults: All settings there are, nested; not modified.
        user: The user's settings, any part of them; not modified.
        where: Path of these settings in the document, for messages.
        rules: Rule by dotted path below `where`, for settings whose default does not tell the type.
        free: Dotted paths below `where` whose content is the user's own.
        elsewhere: Key to full path of settings that stand in other sections, for messages.

    Returns:
        A new dictionary that shares nothing with its arguments but classes and functions.

    Raises:
        ConfigError: A key is unknown, or a value is not what it has to be.
    """
    return _merge(defaults, user, where, "", dict(rules or {}), frozenset(free), elsewhere or {})


def _merge(
    defaults: Settings,
    user: object,
    where: str,
    below: str,
    rules: Mapping[str, Rule],
    free: frozenset[str],
    elsewhere: Mapping[str, str],
) -> Record:
    merged = copy_settings(defaults)
    if user is None:  # "hero:" with nothing below it
        return merged
    if not isinstance(user, Mapping):
        raise ConfigError(f"{where} is {_show(user)}, but it has to be {_TYPE_NAMES[dict]}.")
    for key, value in user.items():
        path = f"{where}.{key}"
        inner = f"{below}.{key}" if below else str(key)
        if key not in defaults:
            raise ConfigError(_unknown_key(path, key, where, defaults, elsewhere))
        default = defaults[key]
        if inner in free:
            merged[key] = _free_section(path, default, value)
        elif inner not in rules and isinstance(default, Mapping):
            merged[key] = _merge(default, value, path, inner, rules, free, elsewhere)
        else:
            merged[key] = _checked(path, value, rules.get(inner) or Rule.of(default))
    return merged


def _free_section(path: str, default: Settings, value: object) -> Record:
    if value is None:
        return copy_settings(default)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} is {_show(value)}, but it has to be {_TYPE_NAMES[dict]}.")
    return overlay(default, value)


def _checked(path: str, value: object, rule: Rule) -> Any:
    if not rule.allows(value):
        raise ConfigError(f"{path} is {_show(value)}, but it has to be {rule.expected}.{_scalar_hint(value, rule)}")
    if float in rule.types and int not in rule.types and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return copy_settings(value)


def _scalar_hint(value: object, rule: Rule) -> str:
    """What to do about the usual slip: a number or truth value that was quoted."""
    if isinstance(value, str) and str not in rule.types and value.strip():
        try:
            parsed = parse_scalar(value)
        except ConfigError:  # no YAML: then it is no quoted number either
            return ""
        if not isinstance(parsed, str) and rule.allows(parsed):
            return f" Write it without quotes: {value.strip()}"
    return ""


def _unknown_key(path: str, key: object, where: str, defaults: Settings, elsewhere: Mapping[str, str]) -> str:
    if str(key) in elsewhere:
        return f"{path} is not a setting: '{key}' belongs to {elsewhere[str(key)]}."
    known = sorted(str(name) for name in defaults)
    deep = {name.rsplit(".", 1)[-1]: f"{where}.{name}" for name in _leaf_paths(defaults)}
    if str(key) in deep:
        return f"{path} is not a setting: did you mean {deep[str(key)]}?"
    near = nearest(str(key), known)
    if near is not None:
        return f"{path} is not a setting: did you mean {where}.{near}?"
    far = nearest(str(key), [*deep, *elsewhere])
    if far is not None:
        return f"{path} is not a setting: did you mean {deep.get(far) or elsewhere[far]}?"
    return f"{path} is not a setting; those of {where} are: {', '.join(known)}."


def _leaf_paths(settings: Settings, below: str = "") -> Iterator[str]:
    for key, value in settings.items():
        path = f"{below}.{key}" if below else str(key)
        yield path
        if isinstance(value, Mapping):
            yield from _leaf_paths(value, path)


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word most like a mistyped one, whatever its case; None if none is like it."""
    by_lower_case = {name.lower(): name for name in allowed}
    found = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return by_lower_case[found[0]] if found else None


def nearest_sentence(word: str, allowed: Iterable[str], limit: int = 40) -> str:
    """The end of an error message: the nearest right names, or all of them if nothing is near."""
    names = sorted(allowed)
    near = difflib.get_close_matches(word, names, 3, 0.5)
    if near:
        return f"The nearest are: {', '.join(near)}."
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"There are: {', '.join(names[:limit])}{rest}."


def overlay(base: Settings, over: Settings) -> Record:
    """Lay one nested dictionary over another, unchecked; the result shares no list or dictionary with either."""
    merged = copy_settings(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = overlay(below, value)
        else:
            merged[key] = copy_settings(value)
    return merged


def copy_settings(value: object) -> Any:
    """Copy nested mappings, lists and tuples; other objects (numbers, classes) are shared.

    Mappings become plain dictionaries, also RLlib's `EnvContext`.
    """
    if isinstance(value, Mapping):
        return {key: copy_settings(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [copy_settings(entry) for entry in value]
    return value if isinstance(value, (str, int, float, type, type(None))) else copy.copy(value)


# The document: file, command line, resolved result


class _Loader(yaml.SafeLoader):
    """YAML as people write it: a key given twice is an error, and 1e-4 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str | int] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (str, int)) and key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice in one section", key_node.start_mark
                )
            if isinstance(key, (str, int)):
                seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_scalar(text: str) -> Any:
    """The value of a text as it would be read in a YAML file: number, truth value, list, mapping or text.

    Raises:
        ConfigError: The text is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r} can't be read as a value: {_one_line(error)}.") from error


def read_yaml(path: str | os.PathLike[str]) -> Record:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: There is no such file, it is no YAML, or it holds something else than a mapping.
    """
    file = Path(path).expanduser()
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file '{file}'.{_similar_files(file)}") from None
    except IsADirectoryError:
        raise ConfigError(f"'{file}' is a folder; name a YAML file in it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file '{file}' can't be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"The configuration file '{file}' is not valid YAML: {_one_line(error)}.") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"The configuration file '{file}' holds {_show(document)}; sections are expected in it.")
    return document


def _similar_files(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' either."
    names = [entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml")]
    return f" In '{folder}' there are: {', '.join(sorted(names))}." if names else ""


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    return f"{problem}, line {mark.line + 1}, column {mark.column + 1}"


def apply_override(document: Settings, override: str) -> Record:
    """Lay one `a.b.c=value` of a command line over a document; the value is read as YAML.

    Raises:
        ConfigError: There is no `=`, a part of the path is empty, or the path leads through a plain value.
    """
    path, separator, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not separator or not all(keys):
        raise ConfigError(
            f"--set {override!r} can't be understood; write it as section.key=value, "
            "for example --set env_config.carla.timeout=60"
        )
    changed = copy_settings(document)
    section = changed
    for depth, key in enumerate(keys[:-1], 1):
        below = section.get(key)
        if below is None:
            below = section[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override!r}: {'.'.join(keys[:depth])} is {_show(below)} and has no keys below.")
        section = below
    section[keys[-1]] = parse_scalar(text)
    return changed


def save_config(document: Settings, path: str | os.PathLike[str]) -> Path:
    """Write a resolved document as plain YAML that `load_config` reads back.

    Classes are written as `package.module:Class`, paths as texts, arrays as lists. The file appears whole
    or not at all.
    """
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(_plain(document), sort_keys=False, width=110, allow_unicode=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
    return file


def _plain(value: Any) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, type) or callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def load_class(reference: object, base: type, where: str) -> type:
    """The class that a configuration names: a class, or `"package.module:Class"`.

    Raises:
        ConfigError: It can't be imported, or it is not derived from `base`.
    """
    found = reference
    if isinstance(reference, str):
        module_name, separator, class_name = reference.partition(":")
        if not separator or not class_name:
            raise ConfigError(f"{where} is {reference!r}; write it as 'package.module:Class'.")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            old = (error.name or "").partition(".")[0] == "gym"
            hint = " gym is called gymnasium now: change the import." if old else ""
            raise ConfigError(f"{where} is {reference!r}, but its module can't be imported: {error}.{hint}") from error
        found = getattr(module, class_name, None)
        if found is None:
            names = [name for name, value in vars(module).items() if isinstance(value, type)]
            raise ConfigError(
                f"{where} is {reference!r}, but {module_name} has no '{class_name}'. "
                + nearest_sentence(class_name, names)
            )
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{where} is {_show(reference)}, but it has to be a subclass of {base.__name__}.")
    return found


def _is_instance(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is dict:
        return isinstance(value, Mapping)
    if kind is list:
        return isinstance(value, (list, tuple))
    return isinstance(value, kind)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
