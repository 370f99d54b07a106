"""What a run may use of the machine or cluster, and how a configuration is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rllib_integration.annotations import Record
from rllib_integration.errors import IntegrationError
from rllib_integration.processes.cpus import available_cpus


class ResourceError(IntegrationError, ValueError):
    """A configuration asks for more than there is, and may not be lowered."""


@dataclass(frozen=True)
class Machine:
    """Processors and graphics cards that Ray may hand out.

    Attributes:
        cpus: Number of logical processors.
        gpus: Number of CUDA devices.
        name: How a message calls it.
        own_gpus: Those of the machine that this process runs on, for a learner inside it; None means all.
        ray_logs: Where Ray's processes write what they say; None where others look after that.
        servers: CARLA servers that are run elsewhere, of which each environment needs one; None means that environments
            start their own.
    """

    cpus: int
    gpus: int
    name: str = "this machine"
    own_gpus: int | None = None
    ray_logs: Path | None = None
    servers: int | None = None


def this_machine() -> Machine:
    """The processors this process may run on, and the CUDA devices torch sees."""
    import torch

    return Machine(cpus=available_cpus(), gpus=torch.cuda.device_count())


def fit_resources(document: Record, machine: Machine, *, strict: bool = False) -> tuple[Record, list[str]]:
    """Lower what a configuration asks of Ray to what the machine has.

    `auto` for `learners.num_gpus_per_learner` means a GPU if there is one.

    Args:
        document: Configuration in sections; it is not changed.
        machine: What there is.
        strict: Refuse instead of lowering.

    Returns:
        The fitted document, and one line for each value that was lowered.

    Raises:
        ResourceError: when `strict` and something had to be lowered, or there is no server for the evaluation.
    """
    fitting = _Fitting(document, machine)
    fitting.fit_learners()
    fitting.fit_env_runners()
    fitting.fit_environments()
    if strict and fitting.notes:
        raise ResourceError(
            f"--strict-resources: {machine.name} has {machine.cpus} CPUs and {machine.gpus} GPUs, "
            "less than the configuration asks for: " + " ".join(fitting.notes)
        )
    return fitting.document, fitting.notes


class _Fitting:
    def __init__(self, document: Record, machine: Machine) -> None:
        self.document = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
        self.machine = machine
        self.notes: list[str] = []
        self.cpus: float = machine.cpus
        self.gpus: float = machine.gpus

    def get(self, section: str, key: str, default: float) -> float:
        value = (self.document.get(section) or {}).get(key)
        return default if value is None else value

    def lower(self, section: str, key: str, asked: float, given: float, what: str) -> None:
        self.set(section, key, given)
        have = {"CPUs": self.machine.cpus, "GPUs": self.machine.gpus, "CARLA servers": self.machine.servers}[what]
        self.notes.append(
            f"{section}.{key}: {given:g} instead of {asked:g}, because {self.machine.name} has {have} {what}."
        )

    def set(self, section: str, key: str, value: float) -> None:
        self.document[section] = {**(self.document.get(section) or {}), key: value}

    def fit_learners(self) -> None:
        """GPUs go to the learners first: sampling does without more easily."""
        learners = int(self.get("learners", "num_learners", 0))
        asked = (self.document.get("learners") or {}).get("num_gpus_per_learner", 0) or 0
        count = max(1, learners)
        own = self.machine.own_gpus
        gpus = self.machine.gpus if learners or own is None else min(own, self.machine.gpus)
        if asked == "auto":
            asked = 1 if gpus >= count else 0
            self.set("learners", "num_gpus_per_learner", asked)
        if asked * count > gpus:
            given = gpus // count if gpus >= count else 0
            self.lower("learners", "num_gpus_per_learner", asked, given, "GPUs")
            asked = given
        self.gpus -= asked * count
        cpus = self.get("learners", "num_cpus_per_learner", 1)
        self.cpus -= (0 if cpus == "auto" else cpus) * learners

    def fit_env_runners(self) -> None:
        """First fewer processors a runner, then fewer runners; at least one of each stays."""
        runners = int(self.get("env_runners", "num_env_runners", 0))
        evaluates = bool(self.get("evaluation", "evaluation_interval", 0))
        evaluators = int(self.get("evaluation", "evaluation_num_env_runners", 0)) if evaluates else 0
        self._fit_runner_gpus(runners + evaluators)
        total = runners + evaluators
        if total == 0:
            return
        each = self.get("env_runners", "num_cpus_per_env_runner", 1)
        if each > 1 and each * total > self.cpus:
            given = max(1, int(self.cpus // total))
            self.lower("env_runners", "num_cpus_per_env_runner", each, given, "CPUs")
            each = given
        if each * total > self.cpus:
            given = max(min(runners, 1), int(self.cpus // each) - evaluators)
            if given < runners:
                self.lower("env_runners", "num_env_runners", runners, given, "CPUs")
                runners = given
        if evaluators and each * (runners + evaluators) > self.cpus:
            self.lower("evaluation", "evaluation_num_env_runners", evaluators, 0, "CPUs")

    def fit_environments(self) -> None:
        """As many environments as servers: first fewer of them a runner, then fewer runners."""
        servers = self.machine.servers
        if servers is None:
            return
        runners = int(self.get("env_runners", "num_env_runners", 0))
        each = int(self.get("env_runners", "num_envs_per_env_runner", 1))
        evaluates = bool(self.get("evaluation", "evaluation_interval", 0))
        evaluators = max(int(self.get("evaluation", "evaluation_num_env_runners", 0)), 1) if evaluates else 0
        if servers < 1 + evaluators:
            raise ResourceError(
                f"env_config.carla.server names fewer CARLA servers ({servers}) than training and the evaluation need "
                f"({1 + evaluators}). Name more in env_config.carla.server.addresses, or train without "
                "--evaluation-interval."
            )
        given = max(1, min(each, servers // (max(runners, 1) + evaluators)))
        if given < each:
            self.lower("env_runners", "num_envs_per_env_runner", each, given, "CARLA servers")
        if (max(runners, 1) + evaluators) * given > servers:
            self.lower("env_runners", "num_env_runners", runners, servers // given - evaluators, "CARLA servers")

    def _fit_runner_gpus(self, total: int) -> None:
        asked = self.get("env_runners", "num_gpus_per_env_runner", 0)
        if asked and asked * max(total, 1) > self.gpus:
            given = int(100 * max(self.gpus, 0) / max(total, 1)) / 100
            self.lower("env_runners", "num_gpus_per_env_runner", asked, given, "GPUs")
