"""Training while servers are killed, frozen and starved, against the same training left in peace.

    python benchmarks/chaos.py [--seconds 60] [--reference-seconds 60] [--runners 2] [--every 3] [--timeout 3]

Runs the DQN quickstart twice with several env runners, as `dqn_train.py` does for a user. In the second run one
server is disturbed every few seconds: killed (SIGKILL, SIGSEGV), frozen (SIGSTOP), or starved (frozen for a
third of the timeout, which must cost nothing). Prints environment steps a second and their ratio to the
undisturbed run, the time from each loss to the next episode of the environment concerned, the steps that were
lost, and what is left afterwards: processes, ports, memory. Exits with 1 if a run failed or anything is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from dqn_example.dqn_experiment import DQNExperiment
from rllib_integration.servers.readiness import is_listening

_ROOT = Path(__file__).resolve().parents[1]
_RECORDS = "CHAOS_RECORDS"  # names the folder of records, and marks every process of a run
_FAREWELL_SECONDS = 5.0
_START_SECONDS = 300.0


class RecordedExperiment(DQNExperiment):
    """The DQN experiment, which notes the time and the steps so far at the beginning of each episode."""

    recorded_steps = 0

    def reset(self):
        super().reset()
        line = {"time": time.monotonic(), "steps": self.recorded_steps, "worker": os.getpid()}
        with Path(os.environ[_RECORDS], f"{os.getpid()}-{id(self)}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def compute_action(self, action):
        self.recorded_steps += 1
        return super().compute_action(action)


@dataclass
class Loss:
    """One server taken from one worker."""

    time: float
    worker: int
    how: str


@dataclass
class Outcome:
    """What one run showed."""

    seconds: float
    steps: int
    episodes: list[dict]
    status: int
    losses: list[Loss] = field(default_factory=list)
    starved: int = 0
    processes_left: int = 0
    ports_left: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Environment steps a second."""
        return self.steps / self.seconds

    def recoveries(self, how: str) -> list[float]:
        """Seconds from each loss of a kind to the next episode of the worker concerned."""
        found = []
        for loss in self.losses:
            later = [one["time"] for one in self.episodes if one["worker"] == loss.worker and one["time"] > loss.time]
            if loss.how == how and later:
                found.append(min(later) - loss.time)
        return found


class Run:
    """One training run in a process of its own."""

    def __init__(self, options: argparse.Namespace, seconds: float, disturb: bool) -> None:
        self._options = options
        self._seconds = seconds
        self._disturb = disturb
        self._random = random.Random(options.seed)
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._ports: set[int] = set()
        self._losses: list[Loss] = []
        self._starved = 0
        self._memory: list[tuple[float, float]] = []

    def go(self) -> Outcome:
        """Train, disturb, and look at what is left."""
        log = (self._folder / "training.log").open("wb")
        training = subprocess.Popen(self._command(), cwd=_ROOT, env=self._environment(), stdout=log, stderr=log)
        try:
            begin = self._wait_for_first_episodes(training)
            end = begin + self._seconds
            while time.monotonic() < end and training.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    training.wait(self._random.uniform(0.5, 1.5) * self._options.every)
                self._look_and_disturb(training.pid)
            seconds = time.monotonic() - begin
            training.send_signal(signal.SIGINT)
            status = training.wait(180.0)
        finally:
            if training.poll() is None:
                training.kill()
            log.close()
        return self._outcome(begin, seconds, status)

    def _command(self) -> list[str]:
        options = self._options
        settings = [
            f"env_runners.num_env_runners={options.runners}",
            f"env_config.carla.timeout={options.timeout}",
            "env_config.carla.server.kind=embedded",
            "env_config.carla.server.max_failures=1000",
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
        deadline = time.monotonic() + _START_SECONDS
        while len({one["worker"] for one in self._records() if one["steps"] > 0}) < self._options.runners:
            with contextlib.suppress(subprocess.TimeoutExpired):
                training.wait(0.5)
            if training.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The training did not begin; see {self._folder / 'training.log'}.")
        return time.monotonic()

    def _records(self) -> list[dict]:
        lines = (line for path in self._folder.glob("*.jsonl") for line in path.read_text().splitlines())
        return [json.loads(line) for line in lines]

    def _look_and_disturb(self, root: int) -> None:
        servers = find_servers(root)
        self._ports |= {port for _, port in servers}
        workers = {worker_of(server) for server, _ in servers}
        self._memory.append((time.monotonic(), sum(resident_megabytes(worker) for worker in workers)))
        if self._disturb and servers:
            self._disturb_one(self._random.choice(servers)[0])

    def _disturb_one(self, server: psutil.Process) -> None:
        how = self._random.choice(["killed", "crashed", "frozen", "starved"])
        number = {"killed": signal.SIGKILL, "crashed": signal.SIGSEGV}.get(how, signal.SIGSTOP)
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = worker_of(server)
            server.send_signal(number)
            if how == "starved":
                self._starved += 1
                threading.Timer(self._options.timeout / 3, resume, [server]).start()
            else:
                self._losses.append(Loss(time.monotonic(), worker, how))

    def _outcome(self, begin: float, seconds: float, status: int) -> Outcome:
        episodes = [one for one in self._records() if begin <= one["time"] <= begin + seconds]
        steps = 0
        for worker in {one["worker"] for one in episodes}:
            counts = [one["steps"] for one in episodes if one["worker"] == worker]
            steps += max(counts) - min(counts)
        deadline = time.monotonic() + _FAREWELL_SECONDS
        while (left := marked_processes(str(self._folder))) and time.monotonic() < deadline:
            psutil.wait_procs(left, timeout=0.2)
        ports = [port for port in self._ports if is_listening("127.0.0.1", port, 0.5)]
        return Outcome(
            seconds, steps, episodes, status, self._losses, self._starved, len(left), len(ports), self._memory
        )


def find_servers(root: int) -> list[tuple[psutil.Process, int]]:
    """The servers below a process, with their RPC ports."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(root).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if words[1:3] == ["-m", "rllib_integration.embedded"] and worker_of(process):
                    found.append((process, int(words[3].rpartition("=")[2])))
    return found


def worker_of(server: psutil.Process) -> int:
    """The process that asked for a server: above the two supervisors."""
    parents = server.parents()
    return parents[2].pid if len(parents) > 2 else 0


def resident_megabytes(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).memory_info().rss / 1e6
    return 0.0


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
    print(f"undisturbed: {peace.rate:.1f} steps/s over {peace.seconds:.0f} s, {len(peace.episodes)} episodes")
    print(f"disturbed:   {chaos.rate:.1f} steps/s over {chaos.seconds:.0f} s, {len(chaos.episodes)} episodes")
    print(f"ratio of steps/s to undisturbed: {chaos.rate / peace.rate:.2f}")
    print(f"{len(chaos.losses)} servers lost, {chaos.starved} starved")
    for how in ("killed", "crashed", "frozen"):
        times = chaos.recoveries(how)
        if times:
            print(
                f"{how}: next episode after {statistics.median(times):.2f} s (median), {max(times):.2f} s (worst) "
                f"of {len(times)}"
            )
    lost = (peace.rate - chaos.rate) * chaos.seconds
    print(f"steps lost against the undisturbed run: {lost:.0f}, that is {lost / max(1, len(chaos.losses)):.0f} a loss")
    for name, outcome in (("undisturbed", peace), ("disturbed", chaos)):
        print(
            f"{name}: exit status {outcome.status}, processes left {outcome.processes_left}, "
            f"ports left {outcome.ports_left}, memory of the env runners {memory_growth(outcome)}"
        )
    return all(one.status == 130 and one.processes_left == one.ports_left == 0 for one in (peace, chaos))


def memory_growth(outcome: Outcome) -> str:
    """Resident memory in the second quarter of a run and in its last, which leaves the warming-up out."""
    samples = [megabytes for _, megabytes in outcome.memory if megabytes]
    if len(samples) < 4:
        return "unknown"
    quarter = len(samples) // 4
    early, late = statistics.median(samples[quarter : 2 * quarter]), statistics.median(samples[-quarter:])
    return f"{early:.0f} MB -> {late:.0f} MB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the disturbed run")
    parser.add_argument("--reference-seconds", type=float, help="of the undisturbed one; as many if left out")
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between disturbances")
    parser.add_argument("--timeout", type=float, default=3.0, help="env_config.carla.timeout")
    parser.add_argument("--vehicles", type=int, default=0, help="traffic of each environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in dqn_train.py")
    options = parser.parse_args()
    peace = Run(options, options.reference_seconds or options.seconds, disturb=False).go()
    chaos = Run(options, options.seconds, disturb=True).go()
    return 0 if report(peace, chaos) else 1


if __name__ == "__main__":
    sys.exit(main())
