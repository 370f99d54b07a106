"""The traffic of one environment's world: its process, its Traffic Manager and the Traffic Manager's port."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence

import carla
import numpy as np

from rllib_integration.config.merging import ConfigError
from rllib_integration.connection import Connection
from rllib_integration.scenario import town_name
from rllib_integration.servers import PortLease, lease_traffic_manager_port
from rllib_integration.traffic.handle import Traffic
from rllib_integration.traffic.plan import TrafficPlan
from rllib_integration.traffic.server_traffic import ServerTraffic, spawn_in_server

logger = logging.getLogger(__name__)

_local_managers: weakref.WeakSet[carla.TrafficManager] = weakref.WeakSet()
"""The synchronous Traffic Managers of this process."""


def _tick_without_managers() -> None:
    """Make managers asynchronous after a fork: their threads are gone, and each tick would wait for them."""
    for manager in _local_managers:
        manager.set_synchronous_mode(False)


os.register_at_fork(after_in_child=_tick_without_managers)


class TownTraffic:
    """Replaces, clears and ends the traffic of a connection's world.

    Args:
        connection: The server, its client and the world.

    Attributes:
        process: The process that owns the traffic and ticks the world; None while there is none.
        in_server: What the server itself moves; None while that is nothing.
        port: Port of the Traffic Manager; 0 before the first.
    """

    def __init__(self, connection: Connection) -> None:
        self.process: Traffic | None = None
        self.in_server: ServerTraffic | None = None
        self.port = 0
        self._connection = connection
        self._lease: PortLease | None = None
        self._manager: carla.TrafficManager | None = None

    @property
    def has_manager(self) -> bool:
        """Whether `manager` has returned a handle on the Traffic Manager."""
        return self._manager is not None

    @property
    def actors(self) -> list[int]:
        """Ids of the vehicles and walkers."""
        return [
            one
            for traffic in (self.in_server, self.process)
            if traffic
            for one in (*traffic.vehicles, *traffic.walkers)
        ]

    @property
    def all_actors(self) -> list[int]:
        """Ids of all spawned actors; controllers come before their walkers."""
        return [*(self.process.controllers if self.process is not None else ()), *self.actors]

    def spawn(self, plan: TrafficPlan, in_server: bool = False) -> None:
        """Replace all traffic.

        Args:
            plan: Numbers, manners and seed of the new.
            in_server: Let the embedded server move them, not a Traffic Manager and a client.

        Raises:
            ServerError: The server or the process failed.
        """
        wanted = bool(plan.n_vehicles or plan.n_walkers)
        if in_server and wanted:
            self._spawn_in_server(plan)
            return
        if not wanted:
            if self._manager is None:  # a handle on the manager fails without its process
                self.stop()
            return
        if self.process is None:
            self._start()
        assert self.process is not None
        notes = self._connection.call(self.process.spawn, plan, timeout=self._connection.settings.load_timeout)
        self._log(notes)

    def _spawn_in_server(self, plan: TrafficPlan) -> None:
        connection, client = self._connection, self._connection.client
        self.clear()
        if self._manager is None:  # a handle on the manager fails without its process
            self.stop()
        arguments = (client, connection.blueprints, plan)
        self.in_server = connection.call(spawn_in_server, *arguments, timeout=connection.settings.load_timeout)
        self._log(self.in_server.notes)

    def _log(self, notes: Sequence[str]) -> None:
        assert self._connection.map is not None
        for note in notes:
            logger.warning("%s: %s", town_name(self._connection.map.name), note)

    def _start(self) -> None:
        server, timeout = self._connection.server, self._connection.settings.timeout
        self._lease_port()
        outlives = 0.0 if server.started_here else timeout
        arguments = (server.host, server.port, self.port, timeout, server.log_path, outlives)
        self.process = self._connection.call(Traffic, *arguments, timeout=self._connection.settings.load_timeout)

    def clear(self) -> bool:
        """Destroy all vehicles and walkers; return whether there were any.

        Raises:
            ServerError: The server or the process failed.
        """
        if not self.actors:
            return False
        if self.in_server is not None:
            doomed = (*self.in_server.vehicles, *self.in_server.walkers)
            commands = [carla.command.DestroyActor(actor) for actor in doomed]
            self.in_server = None
            assert self._connection.client is not None
            self._connection.call(self._connection.client.apply_batch_sync, commands, False)
        if self.process is not None:
            self._connection.call(self.process.clear)
        return True

    def settle(self) -> None:
        """Wait until the Traffic Manager has processed the last frame.

        Raises:
            ServerError: The server or the process failed.
        """
        if self.process is not None:
            self._connection.call(self.process.settle)

    def stop(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is not None:
            process.stop()

    def manager(self, rng: np.random.Generator) -> carla.TrafficManager:
        """CARLA's Traffic Manager of this world: a handle on that of the traffic's process, else one in this process.

        Args:
            rng: Draws the seed of a manager in this process.

        Raises:
            ConfigError: The server drives the traffic.
            ServerError: The server failed.
        """
        if self.in_server is not None:
            raise ConfigError(
                "There is no Traffic Manager: env_config.experiment.background_activity.traffic is 'server'."
            )
        if self._manager is None:
            self._lease_port()
            connection, client = self._connection, self._connection.client
            assert client is not None
            self._manager = connection.call(client.get_trafficmanager, self.port)
            if self.process is None:
                connection.call(self._manager.set_synchronous_mode, True)
                _local_managers.add(self._manager)
                connection.call(self._manager.set_random_device_seed, int(rng.integers(2**31)))
        return self._manager

    def _lease_port(self) -> None:
        if self._lease is None:
            self._lease = lease_traffic_manager_port()
            self.port = self._lease.first

    def shut_down_manager(self) -> None:
        """End a Traffic Manager in this process.

        Raises:
            ServerError: The server failed.
        """
        if self._manager is not None and self.process is None:
            self._connection.call(self._manager.shut_down)

    def forget(self) -> None:
        """Release a lost world, without calls to its server."""
        self.stop()
        self._manager = None
        self.in_server = None

    def close(self) -> None:
        """Give the port back; after `forget`."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None
