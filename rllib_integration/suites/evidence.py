"""Files of a benchmark, with which its result can be checked, and an interrupted benchmark continued.

<output>/
    evidence.json    command, versions, machine, hashes of suite, configuration and checkpoint
    episodes.jsonl   one line of JSON for each driven episode
    results.json     the table's figures, for programs
    results.txt      the table
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.training.run_log import origin_of_run

HASHES = ("suite_sha256", "configuration_sha256", "policy_sha256")


def hash_of_settings(settings: Settings) -> str:
    """SHA-256 of a configuration."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


class Evidence:
    """The folder of one benchmark.

    Args:
        folder: Created if it is missing; an interrupted benchmark in it is continued.
        facts: Hashes and names that determine the result.

    Attributes:
        episodes: Records of the episodes driven so far, by their key.

    Raises:
        ConfigError: The folder holds another benchmark.
    """

    def __init__(self, folder: Path, facts: Settings) -> None:
        self.folder = folder
        self.episodes: dict[str, Record] = {}
        self._lines = folder / "episodes.jsonl"
        note = folder / "evidence.json"
        if note.is_file():
            self._continue(json.loads(note.read_text(encoding="utf-8")), facts)
        folder.mkdir(parents=True, exist_ok=True)
        starts = json.loads(note.read_text(encoding="utf-8"))["starts"] if note.is_file() else []
        document = {**facts, "starts": [*starts, origin_of_run()]}
        note.write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")

    def _continue(self, known: Settings, facts: Settings) -> None:
        for name in HASHES:
            if known.get(name) != facts[name]:
                subject = name.removesuffix("_sha256")
                raise ConfigError(
                    f"{self.folder} holds a benchmark with another {subject} (its hash differs), which can't be "
                    "continued. Give another --output, or remove the folder."
                )
        if self._lines.is_file():
            for line in self._lines.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # cut off when the benchmark was interrupted
                    continue
                self.episodes[record["key"]] = record

    def add(self, record: Record) -> None:
        """Record an episode."""
        self.episodes[record["key"]] = record
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def write_results(self, results: Settings, table: str) -> list[Path]:
        """Write the figures and the table; returns the files."""
        files = [self.folder / "results.json", self.folder / "results.txt"]
        files[0].write_text(json.dumps(results, indent=1), encoding="utf-8")
        files[1].write_text(table + "\n", encoding="utf-8")
        return files
