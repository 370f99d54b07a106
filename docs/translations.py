#!/usr/bin/env python3
"""Tells which translations are older than their English source, and copies the rows of results into the README files.

    python3 docs/translations.py                    copies the rows; names translations that are older
    python3 docs/translations.py --stamp FILE...    says that these translations follow the present English text
    python3 docs/translations.py --stamp            the same of all

A translation's first line names its source and the hash of the text that it follows. Rows of results are no part of
the hash: they are the same in all languages.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("zh", "ko")
RESULTS = ROOT / "docs" / "results.md"
_STAMP = re.compile(r"<!-- translated from (\S+) at (\w+) -->\n")
_BLOCK = re.compile(r"(<!-- results.*? -->\n)(.*?)(<!-- /results -->)", re.DOTALL)


def translations(root: Path = ROOT) -> Iterator[tuple[Path, Path]]:
    """Each translation with the English file that it follows, which need not exist."""
    for language in LANGUAGES:
        for name in ("README.md",):
            yield root / f"{Path(name).stem}.{language}.md", root / name
        folder = root / "docs" / language
        for file in sorted(folder.rglob("*.md")):
            yield file, root / "docs" / file.relative_to(folder)


def digest(source: Path) -> str:
    """What stands for a source's text: twelve digits, the same however the rows of results change."""
    text = _BLOCK.sub("", source.read_text(encoding="utf-8"))
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


def complaints(root: Path = ROOT) -> list[str]:
    """A sentence for each translation that does not follow its source as it is now."""
    found = []
    for translation, source in translations(root):
        name, source_name = translation.relative_to(root).as_posix(), source.relative_to(root).as_posix()
        if not translation.is_file() or not source.is_file():
            found.append(f"{name} or its source {source_name} is missing.")
            continue
        stamp = _STAMP.match(translation.read_text(encoding="utf-8"))
        if stamp is None or stamp[1] != source_name:
            found.append(f"{name} does not begin with a line that names its source {source_name}; see --stamp.")
        elif stamp[2] != digest(source):
            found.append(f"{name} is older than {source_name}: translate what has changed, then --stamp {name}")
    return found


def stamp(translation: Path, source: Path, root: Path = ROOT) -> None:
    """Write a translation's first line anew."""
    text = _STAMP.sub("", translation.read_text(encoding="utf-8"), count=1)
    line = f"<!-- translated from {source.relative_to(root).as_posix()} at {digest(source)} -->\n"
    translation.write_text(line + text, encoding="utf-8")


def results_of(file: Path) -> list[str]:
    """The rows of results in a file, without the head of their table."""
    block = _BLOCK.search(file.read_text(encoding="utf-8"))
    rows = block[2].splitlines() if block else []
    return rows[2:]


def copy_results(root: Path = ROOT) -> None:
    """Put the rows of `docs/results.md` below the head of the table in each README file."""
    rows = results_of(root / "docs" / "results.md")
    for file in sorted(root.glob("README*.md")):
        text = file.read_text(encoding="utf-8")
        new = _BLOCK.sub(lambda block: "\n".join([*block[2].splitlines()[:2], *rows, ""]).join(block.group(1, 3)), text)
        if new != text:
            file.write_text(new, encoding="utf-8")
            print(f"{file.name}: rows of results copied")


def main() -> int:
    """Do as the command line says.

    Returns:
        The exit status: 1 if a translation is older than its source.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--stamp", nargs="*", type=Path, metavar="FILE", help="these follow their source (default: all)"
    )
    arguments = parser.parse_args()
    copy_results()
    if arguments.stamp is not None:
        chosen = {file.resolve() for file in arguments.stamp}
        for translation, source in translations():
            if not chosen or translation in chosen:
                stamp(translation, source)
    found = complaints()
    print("\n".join(found) or "All translations follow their source.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
