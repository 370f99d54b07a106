"""What is logged of each episode, read from the steps' `info`.

`info` reaches the callbacks from every environment of every env runner, also from those that run in
processes of their own.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from rllib_integration.training.episode_sums import EpisodeSums
from rllib_integration.training.progress import RETURN_OF_A_LIFE, Figure

Episode: TypeAlias = SingleAgentEpisode | MultiAgentEpisode
SMOOTHING = 100  # episodes that a mean is taken over
_SUMS = "rllib_integration.sums"


class EpisodeCallbacks(RLlibCallback):
    """Logs each episode's figures as metrics, and as one line of the run's `episodes.jsonl`.

    Every run has these callbacks. Derive from them to log more; the class is named in the configuration, as
    `callbacks: my_package.my_callbacks:MyCallbacks`.

    Metrics, averaged over the newest episodes:
        <name>: Each number that the experiment puts into `info`: its mean over the episode's steps.
        distance: Metres driven; the last `info["distance"]`, or else what the library has measured.
        reward_<part>: Each part of the reward, summed over the episode.
        drive_<figure>: The library's own figures of the episode, see `EpisodeMetrics.summary`.
        end_<reason>: Share of the episodes that ended so, as `info["end"]` says.
        life_return_mean: Of several agents, the return of a life.
        servers_lost: Since the start of the run, not averaged.
        server_recovery_seconds: From the loss of a server to the next episode [s].

    Attributes:
        PROGRESS: Figures that the line of each iteration shows beside return and length.
    """

    PROGRESS: tuple[Figure, ...] = (Figure("distance", "distance", "m"),)

    def __init__(self) -> None:
        super().__init__()
        self._ended = 0
        self._ends: set[str] = set()

    def on_episode_start(self, *, episode: Episode, metrics_logger: MetricsLogger, **kwargs: object) -> None:
        """Begin the episode's sums, which survive RLlib's cutting it into fragments."""
        episode.custom_data[_SUMS] = {}
        infos = _lives(episode)[0][1].get_infos()
        recovery = infos[0].get("server_recovery_seconds") if len(infos) else None
        if recovery is not None:
            metrics_logger.log_value("server_recovery_seconds", float(recovery), reduce="mean", window=SMOOTHING)
            metrics_logger.log_value("server_recovery_seconds_max", float(recovery), reduce="max", window=SMOOTHING)

    def on_episode_step(self, *, episode: Episode, metrics_logger: MetricsLogger, **kwargs: object) -> None:
        """Add one step's `info`, of each agent that took part in it; log the agents whose life has ended."""
        all_sums: dict[str, EpisodeSums] = episode.custom_data[_SUMS]
        for agent, life in _lives(episode):
            sums = all_sums.setdefault(agent, EpisodeSums())
            if life.t > sums.steps:
                sums.add(life.get_infos(-1), float(life.get_rewards(-1)))
                if agent and life.is_done:
                    self._log_life(agent, life, sums, metrics_logger)

    def on_episode_end(self, *, episode: Episode, metrics_logger: MetricsLogger, **kwargs: object) -> None:
        """Log the episode's figures and its end."""
        if isinstance(episode, SingleAgentEpisode):
            self._log_life("", episode, episode.custom_data[_SUMS].get("") or EpisodeSums(), metrics_logger)

    def _log_life(self, agent: str, life: SingleAgentEpisode, sums: EpisodeSums, metrics_logger: MetricsLogger) -> None:
        info = life.get_infos(-1)
        for name, value in sums.figures(info).items():
            metrics_logger.log_value(name, value, reduce="mean", window=SMOOTHING)
        record = sums.record(info, life.is_terminated) | ({"agent": agent} if agent else {})
        if agent:
            metrics_logger.log_value(RETURN_OF_A_LIFE.metric, record["return"], reduce="mean", window=SMOOTHING)
        metrics_logger.log_value("servers_lost", int(bool(info.get("server_restarted"))), reduce="lifetime_sum")
        self._log_end(record["end"], metrics_logger)
        metrics_logger.log_value("episodes", json.dumps(record), reduce="item_series")

    def _log_end(self, end: str, metrics_logger: MetricsLogger) -> None:
        """Log the share of each way to end; a new one counts as 0 for the episodes before."""
        if end not in self._ends:
            self._ends.add(end)
            for _ in range(min(self._ended, SMOOTHING - 1)):
                metrics_logger.log_value(f"end_{end}", 0.0, reduce="mean", window=SMOOTHING)
        for known in self._ends:
            metrics_logger.log_value(f"end_{known}", float(known == end), reduce="mean", window=SMOOTHING)
        self._ended += 1


def _lives(episode: Episode) -> list[tuple[str, SingleAgentEpisode]]:
    """The episodes of an episode's agents, by agent; of a single one, without a name."""
    if isinstance(episode, MultiAgentEpisode):
        return list(episode.agent_episodes.items())
    return [("", episode)]
