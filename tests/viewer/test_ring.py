"""Rings: one process writes, others read, nobody waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rllib_integration.telemetry.ring import HEAD_SIZE, RingError, RingReader, RingWriter
from tests.patience import PATIENCE


@pytest.fixture
def ring(tmp_path):
    writer = RingWriter(tmp_path / "env.ring", size=4096)
    yield writer
    writer.close()


def test_a_reader_gets_all_records_in_order(ring):
    reader = RingReader(ring.path)
    records = [{"n": number, "text": "x" * number} for number in range(20)]
    for record in records:
        ring.write(record)
    assert reader.read() == records
    assert reader.read() == []


def test_records_run_on_from_the_end_of_the_file_to_its_beginning(ring):
    reader = RingReader(ring.path)
    read = []
    for number in range(200):
        ring.write({"n": number, "bytes": b"\x07" * 90})
        read += reader.read()
    assert [record["n"] for record in read] == list(range(200))


def test_a_reader_that_was_too_slow_goes_on_with_what_comes_next(ring):
    reader = RingReader(ring.path)
    for number in range(200):
        ring.write({"n": number, "bytes": b"\x07" * 90})
    assert reader.read() == []
    assert reader.missed > 4096
    ring.write({"n": "next"})
    assert reader.read() == [{"n": "next"}]


def test_a_writer_knows_whether_somebody_watches(ring):
    assert not ring.is_watched()
    reader = RingReader(ring.path)
    reader.watch(PATIENCE, closely=False)
    assert (ring.is_watched(), ring.is_watched_closely()) == (True, False)
    reader.watch(PATIENCE, closely=True)
    assert ring.is_watched_closely()
    reader.watch(-1.0, closely=True)
    assert (ring.is_watched(), ring.is_watched_closely()) == (False, False)


def test_a_record_larger_than_half_the_ring_is_left_out(ring):
    reader = RingReader(ring.path)
    assert not ring.write({"bytes": b"\0" * 3000})
    assert ring.write({"n": 1})
    assert reader.read() == [{"n": 1}]


def test_shapes_drawn_before_anybody_looked_can_be_read_from_the_start(ring):
    ring.write({"n": 1})
    assert RingReader(ring.path).read() == []
    assert RingReader(ring.path, from_start=True).read() == [{"n": 1}]


@pytest.mark.parametrize("content", [b"", b"\0" * (HEAD_SIZE + 64), b"RING" * 2000])
def test_a_file_that_is_no_ring_is_refused(tmp_path, content):
    path = tmp_path / "other.ring"
    path.write_bytes(content)
    with pytest.raises(RingError):
        RingReader(path)


def test_a_reader_in_another_process_never_sees_half_a_record(tmp_path):
    path = tmp_path / "busy.ring"
    writer = RingWriter(path, size=1 << 14)
    program = (
        "import sys; from pathlib import Path; from rllib_integration.telemetry.ring import RingReader\n"
        "reader = RingReader(Path(sys.argv[1])); print('ready', flush=True); seen = 0; last = -1\n"
        "while last >= 0 or seen == 0 or True:\n"
        "    for record in reader.read():\n"
        "        assert record['n'] > last and record['body'] == bytes([record['n'] % 251]) * (record['n'] % 700)\n"
        "        last = record['n']; seen += 1\n"
        "    if last >= 60000: print(seen, flush=True); break\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        number = 0
        while process.poll() is None and number < 10_000_000:
            writer.write({"n": number, "body": bytes([number % 251]) * (number % 700)})
            number += 1
        assert process.wait(PATIENCE) == 0
        assert int(process.stdout.read()) > 0
    writer.close()
