"""Drives an environment with random actions, and measures the time of its decisions.

A first drive counts the processor time of each process, without a sampler. A second one of as many decisions runs with
a `StackSampler`, which shows what the driving thread does.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from rllib_integration import carla_env
from rllib_integration.annotations import Observation, Record
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.failures import is_users_file
from rllib_integration.profiling.stacks import CALLS, WAITS, Stack, StackSampler
from rllib_integration.user_code import METHODS

CLIENT, SERVER, TRAFFIC = "client", "server", "traffic"
"""Names of the processes: this one, the server's, the Traffic Manager's."""

WAITING, SENSORS, EXPERIMENT = "waiting for server and traffic", "sensors", "experiment"
LIBRARY, AROUND = "rest of the environment", "around the environment"
"""Names of what the driving thread does."""

_Processes = dict[str, list[psutil.Process]]
_LIBRARY = Path(carla_env.__file__).parent
_ENVIRONMENT = str(_LIBRARY / "carla_env.py")
_SENSORS, _TICKING = f"{_LIBRARY / 'sensors'}/", f"{_LIBRARY / 'ticking'}/"
_WAITING_FILES = ("/threading.py", "/queue.py", "/selectors.py", "/processes/helper_process.py")
_RESET = CarlaEnv.reset.__code__
_STEPS = (CarlaEnv.begin_step.__code__, CarlaEnv.finish_step.__code__)
_DRIVES_ITSELF = (_RESET, *_STEPS)


@dataclass
class Cost:
    """Total cost of a repeated piece of work.

    Attributes:
        count: Number of repetitions.
        seconds: Wall-clock time.
        processor: Name of a process -> processor seconds.
    """

    count: int = 0
    seconds: float = 0.0
    processor: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def less(self, other: Cost) -> Cost:
        """This cost without the cost of another work that was done within it."""
        left = defaultdict(float, {name: spent - other.processor[name] for name, spent in self.processor.items()})
        return Cost(self.count, self.seconds - other.seconds, left)


@dataclass
class Profile:
    """The result of a measurement.

    Attributes:
        decisions: Cost of `env.step`, and of the trainer around it.
        resets: Cost of `env.reset`.
        doing: Work of the driving thread -> share of the decisions' seconds. Methods of the experiment have names of
            their own, such as `experiment.get_observation`.
        stacks: Stack -> seconds in it, in decisions and resets.
        looks: Number of samples that the shares are computed from.
    """

    decisions: Cost
    resets: Cost
    doing: dict[str, float]
    stacks: Mapping[Stack, float]
    looks: int


def profile(env: CarlaEnv, drive: Callable[[int], int], decisions: int, warm_up: int) -> Profile:
    """Measure an environment.

    Args:
        env: The environment; it may be in the middle of an episode.
        drive: Makes about the given number of decisions, resets included; returns the number made.
        decisions: Number of decisions to measure.
        warm_up: Number of decisions before the measurement.
    """
    drive(warm_up)
    others = _other_processes(env)
    resets, whole = Cost(), Cost()
    with _resets_counted(env, others, resets), _counted(others, whole):
        whole.count = drive(decisions)
    sampler = StackSampler()
    sampler.start()
    try:
        drive(decisions)
    finally:
        sampler.stop()
    steps = {stack: spent for stack, spent in sampler.seconds.items() if stack and _RESET not in stack}
    decided = whole.less(resets)
    if not resets.count:  # no episode was long enough
        with _resets_counted(env, others, resets):
            env.reset()
    return Profile(decided, resets, _shares(steps), sampler.seconds, sampler.looks)


def random_driver(env: CarlaEnv, seed: int) -> Callable[[int], int]:
    """A `drive` for `profile`, which takes random actions, episode after episode."""
    env.action_space.seed(seed)
    state: Record = {"ended": True, "seed": seed}

    def drive(decisions: int) -> int:
        for action in [env.action_space.sample() for _ in range(decisions)]:
            if state["ended"]:
                env.reset(seed=state["seed"])
                state["seed"] = None
            _, _, terminated, truncated, _ = env.step(action)
            state["ended"] = terminated or truncated
        return decisions

    return drive


@contextlib.contextmanager
def _counted(others: _Processes, cost: Cost) -> Iterator[None]:
    """Add the time of the `with` block to a cost."""
    before = _processor_seconds(others)
    began, own = time.perf_counter(), time.process_time()
    yield
    cost.seconds += time.perf_counter() - began
    cost.processor[CLIENT] += time.process_time() - own
    for name, spent in _processor_seconds(others).items():
        cost.processor[name] += spent - before[name]


@contextlib.contextmanager
def _resets_counted(env: CarlaEnv, others: _Processes, cost: Cost) -> Iterator[None]:
    """Add each reset of the environment during the `with` block to a cost."""
    plain = env.reset

    def reset(*, seed: int | None = None, options: Record | None = None) -> tuple[Observation, Record]:
        cost.count += 1
        with _counted(others, cost):
            return plain(seed=seed, options=options)

    env.reset = reset  # type: ignore[method-assign]
    try:
        yield
    finally:
        env.reset = plain  # type: ignore[method-assign]


def _other_processes(env: CarlaEnv) -> _Processes:
    """The server's and the Traffic Manager's processes that run on this machine."""
    server, traffic = env.core.server, env.core.traffic.process
    found = {SERVER: server.processes() if server is not None else []}
    if traffic is not None:
        found[TRAFFIC] = [psutil.Process(traffic.helper.pid)]
    return {name: processes for name, processes in found.items() if processes}


def _processor_seconds(others: _Processes) -> dict[str, float]:
    return {
        name: sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())
        for name, processes in others.items()
    }


def _shares(steps: Mapping[Stack, float]) -> dict[str, float]:
    """Work of a thread -> share of its time, largest first."""
    found: defaultdict[str, float] = defaultdict(float)
    for stack, spent in steps.items():
        found[what_is_done(stack)] += spent
    whole = sum(found.values()) or 1.0
    return {name: spent / whole for name, spent in sorted(found.items(), key=lambda entry: -entry[1])}


def what_is_done(stack: Stack) -> str:
    """The work that a stack belongs to: a name of `Profile.doing`."""
    if not any(code in stack for code in _DRIVES_ITSELF):
        return AROUND
    for caller, called in itertools.pairwise(stack):
        is_experiments = called.co_name in METHODS or is_users_file(called.co_filename)
        if caller.co_filename == _ENVIRONMENT and called.co_filename != _ENVIRONMENT and is_experiments:
            return f"{EXPERIMENT}.{called.co_name}"
    innermost = stack[-1]
    if innermost is WAITS or innermost.co_filename.endswith(_WAITING_FILES):
        return WAITING
    if any(code.co_filename.startswith(_SENSORS) for code in stack):
        return SENSORS
    # The client's thread makes the call of a tick, which returns when the frame has come.
    return WAITING if CALLS in stack and innermost.co_filename.startswith(_TICKING) else LIBRARY
