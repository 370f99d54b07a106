"""Training while servers are killed, frozen and starved, against the same training left in peace.

    python benchmarks/chaos.py [--seconds 60] [--reference-seconds 60] [--runners 2] [--every 3] [--timeout 3]
                               [--tell-every 30]

Runs the DQN quickstart twice with several env runners, as `dqn_train.py` does for a user. In the second run one
server is disturbed every few seconds, spare ones included: killed (SIGKILL, SIGSEGV), frozen (SIGSTOP), or starved
(stopped for a second, which must cost nothing but that second). Prints environment steps a second and their ratio to
the undisturbed run, the time from each loss to the next episode of the environment concerned, the steps that were
lost, and what is left afterwards: processes, ports, memory. Exits with 1 if a run failed or anything is left.

RLlib's environment runners sample in step: one that waits for a server lets all others wait. What the ratio would be
if each environment waited alone, which follows from the times of recovery, is printed beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import psutil

from dqn_example.follow_road import FollowRoad
from rllib_integration import CarlaCore
from rllib_integration.servers.probe import is_listening

_ROOT = Path(__file__).resolve().parents[1]
_RECORDS = "CHAOS_RECORDS"  # names the folder of records, and marks every process of a run
_FAREWELL_SECONDS = 5.0
_START_SECONDS = 600.0
_STARVED_SECONDS = 1.0
_INTERRUPTED = 130  # exit status after Ctrl-C
_LOOK_SECONDS = 5.0  # between two looks at the memory
_RUNNER_LOST = "An env runner (process"
_LAST_LINES = 20


class RecordedExperiment(FollowRoad):
    """The quickstart's task, which notes time, steps so far and the server's port at the beginning of each episode."""

    recorded_steps = 0

    def place_hero(self, core: CarlaCore) -> None:
        super().place_hero(core)
        line = {"time": time.monotonic(), "steps": self.recorded_steps, "port": core.server_port}
        with Path(os.environ[_RECORDS], f"{os.getpid()}-{id(self)}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def compute_action(self, action: int) -> carla.VehicleControl:
        self.recorded_steps += 1
        return super().compute_action(action)


@dataclass
class Episode:
    """The beginning of an episode."""

    time: float
    steps: int
    port: int


@dataclass
class Loss:
    """One server taken from one environment."""

    time: float
    environment: str
    how: str


@dataclass
class Outcome:
    """What one run showed."""

    begin: float
    seconds: float
    environments: dict[str, list[Episode]]
    status: int
    losses: list[Loss] = field(default_factory=list)
    starved: int = 0
    spares_lost: int = 0
    runners_lost: list[str] = field(default_factory=list)
    last_words: str = ""
    processes_left: int = 0
    ports_left: int = 0
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def episodes(self) -> int:
        """Episodes begun."""
        return sum(len(self._within(one)) for one in self.environments.values())

    @property
    def rate(self) -> float:
        """Environment steps a second."""
        steps = (self._within(one) for one in self.environments.values())
        return sum(one[-1].steps - one[0].steps for one in steps if one) / self.seconds

    def _within(self, episodes: list[Episode]) -> list[Episode]:
        return [one for one in episodes if self.begin <= one.time <= self.begin + self.seconds]

    def recoveries(self, *how: str) -> list[float]:
        """Seconds from each loss of these kinds to the next episode of the environment concerned."""
        found = []
        for loss in self.losses:
            later = [one.time for one in self.environments.get(loss.environment, ()) if one.time > loss.time]
            if loss.how in how and later:
                found.append(min(later) - loss.time)
        return found

    def in_short(self) -> str:
        """Speed, losses and recovery as one line."""
        times = self.recoveries("killed", "crashed", "frozen")
        recovered = f"{statistics.median(times):.2f} s (median), {max(times):.2f} s (worst)" if times else "nothing yet"
        memory = ", ".join(f"{group} {samples[-1][1]:.0f} MB" for group, samples in self.memory.items())
        return (
            f"{self.rate:.1f} steps/s over {self.seconds:.0f} s, {self.episodes} episodes of {len(self.environments)} "
            f"environments; {len(self.losses)} servers lost, {self.spares_lost} spare ones, {self.starved} starved; "
            f"recovered after {recovered}; {memory}"
        )

    def share_at_work(self) -> float:
        """Share of the time that an environment would have worked, had it only waited for its own servers."""
        waited = sum(self.recoveries("killed", "crashed", "frozen")) + self.starved * _STARVED_SECONDS
        return 1.0 - waited / (len(self.environments) * self.seconds)


class Run:
    """One training run in a process of its own."""

    def __init__(self, options: argparse.Namespace, seconds: float, disturb: bool) -> None:
        self._options = options
        self._seconds = seconds
        self._disturb = disturb
        self._random = random.Random(options.seed)
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._ports: set[int] = set()
        self._memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._looked = self._told = 0.0
        self._outcome = Outcome(0.0, seconds, {}, 0, memory=self._memory)

    def go(self) -> Outcome:
        """Train, disturb, and look at what is left."""
        outcome = self._outcome
        log = (self._folder / "training.log").open("wb")
        training = subprocess.Popen(self._command(), cwd=_ROOT, env=self._environment(), stdout=log, stderr=log)
        try:
            outcome.begin = self._wait_for_first_episodes(training)
            while time.monotonic() < outcome.begin + self._seconds and training.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    training.wait(self._random.uniform(0.5, 1.5) * self._options.every)
                self._look_and_disturb(training.pid)
                self._tell()
            self._note_episodes()
            training.send_signal(signal.SIGINT)
            outcome.status = training.wait(180.0)
        finally:
            if training.poll() is None:
                training.kill()
            log.close()
        self._note_what_was_said()
        self._note_what_is_left()
        return outcome

    def _command(self) -> list[str]:
        options = self._options
        settings = [
            f"env_runners.num_env_runners={options.runners}",
            f"env_config.carla.timeout={options.timeout}",
            "env_config.carla.server.kind=embedded",
            "env_config.carla.server.max_failures=1000",
            f"env_config.carla.server.spare={options.spare}",
            "env_config.experiment.type=benchmarks.chaos:RecordedExperiment",
            f"env_config.experiment.background_activity.n_vehicles={options.vehicles}",
            *options.set,
        ]
        overrides = [word for setting in settings for word in ("--set", setting)]
        script = ["dqn_train.py", "dqn_example/dqn_quickstart.yaml", "--tboff", "--stop-duration", "3h"]
        return [sys.executable, *script, "--directory", str(self._folder), "--name", "run", *overrides]

    def _environment(self) -> dict[str, str]:
        search_path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**os.environ, _RECORDS: str(self._folder), "PYTHONPATH": search_path}

    def _wait_for_first_episodes(self, training: subprocess.Popen) -> float:
        """Wait until an environment of each runner has ended an episode."""
        deadline = time.monotonic() + _START_SECONDS
        while len({name.split("-")[0] for name, one in self._records().items() if one[-1].steps}) < (
            self._options.runners
        ):
            with contextlib.suppress(subprocess.TimeoutExpired):
                training.wait(0.5)
            if training.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The training did not begin; see {self._folder / 'training.log'}.")
        return time.monotonic()

    def _records(self) -> dict[str, list[Episode]]:
        """The episodes of each environment so far."""
        records = {path.stem: path.read_text() for path in self._folder.glob("*.jsonl")}
        whole = {name: text[: text.rfind("\n") + 1].splitlines() for name, text in records.items()}
        return {name: [Episode(**json.loads(line)) for line in lines] for name, lines in whole.items() if lines}

    def _look_and_disturb(self, root: int) -> None:
        servers = find_servers(root)
        self._ports |= set(servers)
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            for group, megabytes in memory_by_group(root, servers).items():
                self._memory[group].append((self._looked, megabytes))
        if self._disturb and servers:
            self._disturb_one(*self._random.choice(sorted(servers.items())))

    def _disturb_one(self, port: int, server: psutil.Process) -> None:
        how = self._random.choice(["killed", "crashed", "frozen", "starved"])
        number = {"killed": signal.SIGKILL, "crashed": signal.SIGSEGV}.get(how, signal.SIGSTOP)
        concerned = [name for name, episodes in self._records().items() if episodes[-1].port == port]
        with contextlib.suppress(psutil.NoSuchProcess):
            server.send_signal(number)
            if how == "starved":
                self._outcome.starved += 1
                threading.Timer(_STARVED_SECONDS, resume, [server]).start()
            elif concerned:
                self._outcome.losses.append(Loss(time.monotonic(), concerned[0], how))
            else:
                self._outcome.spares_lost += 1

    def _tell(self) -> None:
        """Say now and then how it goes: who loses the machine before the end has at least these lines."""
        if time.monotonic() - max(self._told, self._outcome.begin) > self._options.tell_every:
            self._told = time.monotonic()
            self._note_episodes()
            print(("disturbed" if self._disturb else "undisturbed") + ", so far:", self._outcome.in_short(), flush=True)

    def _note_episodes(self) -> None:
        self._outcome.seconds = time.monotonic() - self._outcome.begin
        # The training also tries one environment out before it begins, which never steps.
        self._outcome.environments = {name: one for name, one in self._records().items() if one[-1].steps}

    def _note_what_was_said(self) -> None:
        lines = (self._folder / "training.log").read_text(errors="replace").splitlines()
        self._outcome.runners_lost = [line for line in lines if line.startswith(_RUNNER_LOST)]
        if self._outcome.status != _INTERRUPTED:
            self._outcome.last_words = "\n".join([*lines[-_LAST_LINES:], f"All of it is in {self._folder}."])

    def _note_what_is_left(self) -> None:
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while (left := marked_processes(str(self._folder))) and time.monotonic() < deadline:
            psutil.wait_procs(left, timeout=0.2)
        self._outcome.processes_left = len(left)
        self._outcome.ports_left = sum(is_listening("127.0.0.1", port, 0.5) for port in self._ports)
        if self._outcome.status == _INTERRUPTED and not left:
            shutil.rmtree(self._folder)


def find_servers(root: int) -> dict[int, psutil.Process]:
    """The servers below a process, by RPC port."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(root).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if words[1:3] == ["-m", "minicarla"]:
                    found[int(words[3].rpartition("=")[2])] = process
    return found


def memory_by_group(root: int, servers: dict[int, psutil.Process]) -> dict[str, float]:
    """Resident megabytes of the driver, of all env runners, and of one server (the median)."""
    groups = {"driver": 0.0, "env runners": 0.0}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if any(word.endswith("dqn_train.py") for word in words[:3]):
                    groups["driver"] += process.memory_info().rss / 1e6
                elif words and words[0].startswith("ray::") and "EnvRunner" in words[0]:
                    groups["env runners"] += process.memory_info().rss / 1e6
    of_servers = []
    for server in servers.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            of_servers.append(server.memory_info().rss / 1e6)
    if of_servers:
        groups["a server"] = statistics.median(of_servers)
    return groups


def resume(server: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        server.resume()


def marked_processes(folder: str) -> list[psutil.Process]:
    """Every process of this machine that carries a run's mark in its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(_RECORDS) == folder:
                found.append(process)
    return found


def report(peace: Outcome, chaos: Outcome) -> bool:
    """Print the figures; return whether all is as it should be."""
    for name, one in (("undisturbed", peace), ("disturbed", chaos)):
        print(
            f"{name}: {one.rate:.1f} steps/s over {one.seconds:.0f} s, "
            f"{one.episodes} episodes of {len(one.environments)} environments"
        )
    print(
        f"ratio of steps/s to undisturbed: {chaos.rate / peace.rate:.2f}; "
        f"if each environment waited for its own servers only: {chaos.share_at_work():.2f}"
    )
    print(f"{len(chaos.losses)} servers lost, {chaos.spares_lost} spare ones, {chaos.starved} starved")
    for how in ("killed", "crashed", "frozen"):
        times = chaos.recoveries(how)
        if times:
            print(
                f"{how}: next episode after {statistics.median(times):.2f} s (median), {max(times):.2f} s (worst) "
                f"of {len(times)}"
            )
    lost = (peace.rate - chaos.rate) * chaos.seconds
    print(f"steps lost against the undisturbed run: {lost:.0f}, that is {lost / max(1, len(chaos.losses)):.0f} a loss")
    for name, one in (("undisturbed", peace), ("disturbed", chaos)):
        print(f"{name}: exit status {one.status}, processes left {one.processes_left}, ports left {one.ports_left}")
        print(f"{name}: {len(one.runners_lost)} env runners lost", *one.runners_lost, one.last_words, sep="\n")
        for group, samples in one.memory.items():
            print(f"{name}: memory of {group} {memory_growth(samples)}")
    return all(one.status == _INTERRUPTED and one.processes_left == one.ports_left == 0 for one in (peace, chaos))


def memory_growth(samples: list[tuple[float, float]]) -> str:
    """Resident memory in the third quarter of a run and in its last, and its slope in this half.

    The first half is left out: the replay buffer fills, and everything is used for the first time.
    """
    late = samples[len(samples) // 2 :]
    if len(late) < 4:
        return "unknown: the run was too short"
    middle = len(late) // 2
    before, after = (statistics.median(megabytes for _, megabytes in part) for part in (late[:middle], late[middle:]))
    slope = statistics.linear_regression(*zip(*late)).slope * 60
    return f"{before:.0f} MB -> {after:.0f} MB, {slope:+.1f} MB a minute"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the disturbed run")
    parser.add_argument("--reference-seconds", type=float, help="of the undisturbed one; as many if left out")
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between disturbances")
    parser.add_argument("--timeout", type=float, default=3.0, help="env_config.carla.timeout")
    parser.add_argument("--tell-every", type=float, default=30.0, help="seconds between two lines that say how it goes")
    parser.add_argument("--spare", choices=["auto", "true", "false"], default="auto", help="as server.spare")
    parser.add_argument("--vehicles", type=int, default=0, help="traffic of each environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in dqn_train.py")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # which ends the training, too
    peace = Run(options, options.reference_seconds or options.seconds, disturb=False).go()
    chaos = Run(options, options.seconds, disturb=True).go()
    return 0 if report(peace, chaos) else 1


if __name__ == "__main__":
    sys.exit(main())
