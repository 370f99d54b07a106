"""A process of the library's own beside this one: messages both ways, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import psutil
import pytest

from rllib_integration.processes.helper_process import HelperError, HelperProcess, HelperSilentError, Owner
from rllib_integration.servers.cleanup import await_ends
from tests.patience import PATIENCE


def main(arguments: Sequence[str]) -> None:
    """The helper of these tests: repeats what it hears, but for two words."""
    owner = Owner.from_command_line(arguments)
    owner.end_with_it()
    owner.tell({"pid": os.getpid(), "arguments": owner.arguments})
    for message in owner.messages():
        if message["say"] == "nothing":
            continue
        if message["say"] == "bye":
            os._exit(7)
        owner.tell(message)


@pytest.fixture
def helper() -> Iterator[HelperProcess]:
    helper = HelperProcess(__name__, ["one", "two"], "The parrot")
    assert helper.hear(PATIENCE) == {"pid": helper.pid, "arguments": ["one", "two"]}
    yield helper
    helper.stop()


def test_messages_go_both_ways_and_a_silent_helper_is_not_waited_for(helper: HelperProcess) -> None:
    helper.tell(say="hello")
    assert helper.hear(PATIENCE) == {"say": "hello"}
    helper.tell(say="nothing")
    with pytest.raises(HelperSilentError, match=rf"The parrot \(pid {helper.pid}\) did not answer within 0\.05 s\."):
        helper.hear(0.05)


def test_the_end_of_a_helper_is_told_in_a_sentence(helper: HelperProcess) -> None:
    helper.tell(say="bye")
    with pytest.raises(HelperError, match=r"^The parrot has ended with status 7\.$"):
        helper.hear(PATIENCE)


def test_a_stopped_helper_is_ended_all_the_same_and_twice_is_fine(helper: HelperProcess) -> None:
    os.kill(helper.pid, signal.SIGSTOP)
    helper.stop()
    helper.stop()
    assert helper.wait(0.0) == -signal.SIGKILL


OWNER = """
import sys, time
from rllib_integration.processes.helper_process import HelperProcess
helper = HelperProcess("tests.servers.test_helper_process")
print(helper.hear(float(sys.argv[1]))["pid"], flush=True)
time.sleep(3600)
"""


def test_a_helper_ends_when_its_owner_is_killed() -> None:
    command = [sys.executable, "-c", OWNER, str(PATIENCE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        helper = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    assert await_ends([helper], PATIENCE) == []
