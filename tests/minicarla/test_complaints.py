"""What goes wrong with calls that nobody waits for is logged, but no client can flood the log."""

from __future__ import annotations

from minicarla.rpc.rate_limited_log import Complaints


def test_repeated_complaints_are_told_ever_more_rarely(caplog):
    complaints = Complaints()
    told = [complaints.log("tick_cue", "is ignored") for _ in range(100)]
    assert [number for number, said in enumerate(told, 1) if said] == [1, 2, 4, 8, 16, 32, 64]
    assert [record.message for record in caplog.records][-1] == "tick_cue: is ignored (64 times)"
    assert complaints.log("another", "is new")


def test_invented_methods_are_told_up_to_a_bound(caplog):
    complaints = Complaints()
    for number in range(5000):
        complaints.log(f"method {number}", "x" * 10_000)
    assert len(caplog.records) == 1000
    assert max(len(record.message) for record in caplog.records) < 600
