"""Which policy drives which agent, where several agents share a world.

policies:                                 # without this section all agents share one policy, called `shared`
  cars: {}                                # learns from nothing
  bikes: {checkpoint: results/bikes}      # begins with the weights of a run, or of one of its checkpoints
  rivals: {checkpoint: results/old, policy: cars, trains: false}   # a frozen opponent: a policy of that run
  past: {league: 4, every: 20, policy: cars}  # four past selves of a policy of this run, see `league`
policy_mapping: {"bike*": bikes, "rival_*": rivals, "*": cars}     # the first pattern that fits an agent's name
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo.appo import APPO
from ray.rllib.algorithms.impala.impala import IMPALA
from ray.rllib.algorithms.ppo.ppo import PPO
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, Rule, merge, nearest_sentence
from rllib_integration.driving.policies import find_policy
from rllib_integration.multi_agent.settings import experiments_of, name_of_life, resolve_agents
from rllib_integration.training.league import League, LeagueCallbacks

SHARED = "shared"
"""Name of the policy of all agents, where a configuration names none."""

_POLICY: Record = {"checkpoint": "", "policy": "", "trains": True, "league": 0, "every": 10}
_RULES = {
    "league": Rule(int, accepts=lambda size: size >= 0, expected="a whole number of past selves, 0 or more"),
    "every": Rule(int, accepts=lambda count: count >= 1, expected="a whole number of iterations, 1 or more"),
}
_LEARNERS = (PPO, IMPALA, APPO)
_MODULES = "learner_group/learner/rl_module"


def is_multi_agent(document: Settings) -> bool:
    """Whether a configuration has several agents."""
    return bool((document.get("environment") or {}).get("env_config", {}).get("agents"))


def check_policies(document: Settings, algorithm: type[Algorithm]) -> None:
    """Refuse policies that can't be used, before anything starts.

    Args:
        document: A configuration in sections.
        algorithm: Trains them.

    Raises:
        ConfigError: A key is unknown, an agent has no policy, a policy no agent, or the algorithm is for one agent.
    """
    if not is_multi_agent(document):
        for key in ("policies", "policy_mapping"):
            if document.get(key):
                raise ConfigError(f"{key} is for several agents; say who drives in env_config.agents, as `count: 8`.")
        return
    if not issubclass(algorithm, _LEARNERS):
        names = ", ".join(cls.__name__ for cls in _LEARNERS)
        raise ConfigError(
            f"algorithm is {document.get('algorithm') or algorithm.__name__}, but several agents are trained by one of "
            f"{names}: the updates of the others, and DQN's replay, are for a single agent."
        )
    policies, mapping = _read(document)
    agents = _agents_of(document)
    used = {mapping.pattern_for(agent) for agent in agents}
    idle = sorted(policies.keys() - used)
    if idle:
        raise ConfigError(f"policies.{idle[0]} drives no agent; name its agents in policy_mapping.")
    if not any(policy["trains"] for policy in policies.values()):
        raise ConfigError("None of the policies learns: `trains: false` stands at each.")


def _agents_of(document: Settings) -> list[str]:
    env_config = document["environment"]["env_config"]
    return list(experiments_of(resolve_agents(env_config["agents"]), env_config.get("experiment") or {}))


def add_policies(config: AlgorithmConfig, document: Settings, network: RLModuleSpec) -> None:
    """Set an algorithm up for several agents.

    Args:
        config: The algorithm's configuration; changed.
        document: A configuration that `check_policies` has passed.
        network: Of every policy.
    """
    policies, mapping = _read(document)
    members = {league.name: league.members for league in mapping.leagues}
    specs = {}
    for name, policy in policies.items():
        for member in members.get(name, [name]):
            specs[member] = copy.deepcopy(network)
        if policy["checkpoint"]:
            specs[name].load_state_path = _weights_of(policy, name)
    config.multi_agent(
        policies=set(specs),
        policy_mapping_fn=mapping,
        policies_to_train=[name for name, policy in policies.items() if policy["trains"]],
        count_steps_by="env_steps",
    )
    config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    # RLlib's check would begin an episode in every environment, and act in it at random.
    config.environment(disable_env_checking=True)


def callbacks_for(document: Settings) -> tuple[type[RLlibCallback], ...]:
    """What the policies of a configuration need beside the callbacks of every run."""
    return (LeagueCallbacks,) if is_multi_agent(document) and _read(document)[1].leagues else ()


def _weights_of(policy: Settings, name: str) -> str:
    """Folder of the network that a policy begins with."""
    folder = find_policy(policy["checkpoint"]).path / _MODULES
    known = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    wanted = policy["policy"] or (known[0] if len(known) == 1 else name)
    if wanted not in known:
        raise ConfigError(
            f"policies.{name}: {policy['checkpoint']} has no policy '{wanted}'. {nearest_sentence(wanted, known)}"
        )
    return str(folder / wanted)


@dataclass(frozen=True)
class PolicyMapping:
    """Says which policy drives an agent.

    Args:
        patterns: Pattern of agents' names -> policy or league, the first that fits holds.
        leagues: The leagues.
    """

    patterns: tuple[tuple[str, str], ...]
    leagues: tuple[League, ...] = ()

    @property
    def policies(self) -> list[str]:
        """Names of the policies that drive an agent, all members of a league among them."""
        members = {league.name: league.members for league in self.leagues}
        named = dict.fromkeys(policy for _, policy in self.patterns)
        return [member for policy in named for member in members.get(policy, [policy])]

    def __call__(self, agent_id: str, episode: object = None, **kwargs: object) -> str:
        policy = self.pattern_for(agent_id)
        for league in self.leagues:
            if league.name == policy:
                return league.member_for(agent_id, episode)
        return policy

    def pattern_for(self, agent_id: str) -> str:
        """The policy or league that is named for an agent."""
        name = name_of_life(agent_id)
        for pattern, policy in self.patterns:
            if fnmatchcase(name, pattern):
                return policy
        raise ConfigError(f"policy_mapping has no policy for {name}; end it with '*': and a policy's name.")


def policy_mapping(document: Settings) -> PolicyMapping:
    """Which policy drives whom in a configuration.

    Raises:
        ConfigError: As `check_policies`.
    """
    return _read(document)[1]


def _read(document: Settings) -> tuple[dict[str, Record], PolicyMapping]:
    given: object = document.get("policies") or {SHARED: {}}
    if not isinstance(given, Mapping):
        raise ConfigError(f"policies is {given!r}, but it has to be a mapping from each policy's name to its settings.")
    policies = {
        str(name): merge(_POLICY, settings, f"policies.{name}", rules=_RULES) for name, settings in given.items()
    }
    leagues = _leagues(policies)
    only = next(iter(policies))
    mapping: object = document.get("policy_mapping") or ({"*": only} if len(policies) == 1 else {})
    if isinstance(mapping, str):
        mapping = {"*": mapping}
    if not isinstance(mapping, Mapping) or not mapping:
        raise ConfigError(
            "policy_mapping has to say which of the policies drives whom, as {'bike*': bikes, '*': cars}."
        )
    for pattern, policy in mapping.items():
        if policy not in policies:
            raise ConfigError(
                f"policy_mapping.{pattern}: there is no policy '{policy}'. {nearest_sentence(str(policy), policies)}"
            )
    return policies, PolicyMapping(tuple((str(pattern), policy) for pattern, policy in mapping.items()), leagues)


def _leagues(policies: Mapping[str, Record]) -> tuple[League, ...]:
    """The leagues among the policies, which do not learn."""
    leagues = []
    learners = [name for name, policy in policies.items() if policy["trains"] and not policy["league"]]
    for name, policy in policies.items():
        if not policy["league"]:
            continue
        learner = policy["policy"] or (learners[0] if len(learners) == 1 else "")
        if policy["checkpoint"] or learner not in learners:
            raise ConfigError(
                f"policies.{name} is a league: it has no checkpoint, and `policy` names one of those that learn: "
                f"{', '.join(learners) or 'there is none'}."
            )
        policy["trains"] = False
        leagues.append(League(name, policy["league"], policy["every"], learner))
    return tuple(leagues)
