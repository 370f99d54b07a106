"""The viewers of a Ray cluster's other nodes: started by Ray, and passed on by the viewer that this is for.

A process of its own joins the cluster, as a `HelperProcess` of the viewer, because Ray ends a program whose cluster has
ended. It has an actor on every other node, which starts a viewer there. That listens on the node's address in the
cluster, and wants a token. All of them end with the helper, and the helper with the viewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rllib_integration.annotations import Record
from rllib_integration.processes.helper_process import HelperProcess, Owner, package_environment
from rllib_integration.processes.ray_setup import prepare_for_ray, quiet_ray
from rllib_integration.telemetry.announcement import this_node

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

logger = logging.getLogger(__name__)

_MODULE = "rllib_integration.viewer.cluster"
_LOOK_SECONDS = 5.0  # between two looks at the cluster's nodes, which Ray tells to nobody
_PAUSE_SECONDS = 10.0  # before a cluster that has gone is looked for again
_NO_CLUSTER = "--cluster: no Ray cluster runs here yet; it is joined when one does. (`ray start --head` begins one.)"


class PeerAddress(NamedTuple):
    """Where a viewer of another machine is.

    Attributes:
        node: Name of the machine.
        url: Of its page, with the token as fragment.
    """

    node: str
    url: str


Addresses: TypeAlias = list[PeerAddress]


class ClusterLink:
    """Keeps a process that knows the viewers of a cluster's other nodes, from `start` to `stop`.

    Args:
        words: Of the command line of these viewers: what they show, and what they allow.
        hear: Called with all of them whenever there are others than before.
    """

    def __init__(self, words: Sequence[str], hear: Callable[[Addresses], Awaitable[None]]) -> None:
        self._words = list(words)
        self._hear = hear
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for a cluster."""
        self._task = asyncio.create_task(self._keep_listening())

    async def stop(self) -> None:
        """End the process, and with it the viewers of the other nodes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_listening(self) -> None:
        told = ""
        while True:
            helper = HelperProcess(_MODULE, [json.dumps(self._words)], "The process that joins Ray", shows_errors=True)
            try:
                reader, writer = await asyncio.open_connection(sock=helper.connection)
                with contextlib.suppress(ConnectionError):
                    async for line in reader:
                        told = await self._take(json.loads(line), told)
                writer.transport.abort()
            finally:
                await asyncio.to_thread(helper.stop)
            await self._hear([])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _take(self, news: Record, told: str) -> str:
        if "trouble" in news and news["trouble"] != told:
            logger.warning("%s", news["trouble"])
        if "viewers" in news:
            await self._hear([PeerAddress(*viewer) for viewer in news["viewers"]])
        return str(news.get("trouble", ""))


class NodeViewer:
    """A viewer on the node of this actor, with which it ends.

    Args:
        words: Of its command line.
    """

    def __init__(self, words: list[str]) -> None:
        import ray

        command = [sys.executable, "-m", "rllib_integration.viewer", f"--end-with={os.getpid()}", "--port=0"]
        host = ray.util.get_node_ip_address()
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [*command, f"--host={host}", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=package_environment(),
            )
            assert self._process.stdout is not None
            found = re.search(r"http://\S+", self._process.stdout.readline())
            errors.seek(0)
            trouble = errors.read().decode(errors="replace").strip()
        self._outcome = {"node": this_node(), "url": found[0] if found else "", "trouble": trouble}

    def outcome(self) -> dict[str, str]:
        """The node's name, and the address of the viewer's page; where it did not start, what it said."""
        return self._outcome

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.wait()


class _Nodes:
    """The viewers of the other nodes.

    Args:
        words: Of their command line.
    """

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._names: dict[str, str] = {}  # of the nodes, by their ids, as below
        self._actors: dict[str, ActorHandle] = {}
        self._waits_for: dict[ObjectRef, str] = {}  # Ray's references -> the node's id
        self._viewers: dict[str, PeerAddress] = {}

    def news(self) -> Iterator[Record]:
        """What changes, for ever."""
        import ray
        from ray.exceptions import RayError

        own = ray.get_runtime_context().get_node_id()
        while True:
            self._names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
            for node in self._names.keys() - self._actors.keys() - {own}:
                self._begin(node)
            if not self._waits_for:
                time.sleep(_LOOK_SECONDS)
                continue
            ended, _ = ray.wait(list(self._waits_for), timeout=_LOOK_SECONDS)
            for reference in ended:
                node = self._waits_for.pop(reference)
                try:
                    outcome = ray.get(reference)
                except RayError as error:
                    trouble = f"{error}".strip().splitlines()[-1]
                    outcome = {"node": self._names.get(node, node), "url": "", "trouble": trouble}
                yield from self._note(node, outcome)

    def _begin(self, node: str) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node, soft=False)
        actor = ray.remote(NodeViewer).options(num_cpus=0, scheduling_strategy=there).remote(self._words)
        self._actors[node] = actor
        self._waits_for[actor.outcome.remote()] = node

    def _note(self, node: str, outcome: dict[str, str]) -> Iterator[Record]:
        """Take in that a viewer has started, or has not, or has ended."""
        if node in self._viewers:  # it has ended, with its node, or without: then another one is started
            del self._actors[node], self._viewers[node]
            yield {"viewers": list(self._viewers.values())}
        elif outcome["url"]:
            self._viewers[node] = PeerAddress(outcome["node"], outcome["url"])
            self._waits_for[self._actors[node].wait.remote()] = node
            yield {"viewers": list(self._viewers.values())}
        else:
            said = outcome["trouble"] or "It said nothing."
            yield {"trouble": f"No viewer started on the node {outcome['node']}, whose worlds are not shown. {said}"}


def main(arguments: Sequence[str]) -> None:
    """Join the cluster that runs here, and tell the viewer of its nodes' viewers until one of them ends."""
    owner = Owner.from_command_line(arguments)
    owner.end_with_it()
    prepare_for_ray(auto=True)
    import ray

    quiet_ray()
    try:
        ray.init(address="auto", logging_level=logging.ERROR, log_to_driver=False)
    except ConnectionError:
        owner.tell({"trouble": _NO_CLUSTER})
        return
    for news in _Nodes(json.loads(owner.arguments[0])).news():
        owner.tell(news)
