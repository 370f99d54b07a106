"""A server that dies or hangs costs one episode of one environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import carla
import numpy as np
import psutil
import pytest

from rllib_integration import CarlaEnv, carla_core
from rllib_integration.servers import ServerGaveUpError
from rllib_integration.servers.cleanup import await_ends
from rllib_integration.telemetry.replay import read_about
from tests.experiments import PoseExperiment
from tests.known import present
from tests.patience import PATIENCE

SHORT = 3.0
"""[s] that a call may take where a test waits for that to be over; a machine with much to do may exceed it."""


@pytest.fixture
def make_env():
    environments = []

    def make(experiment=None, **carla):
        config = {
            "carla": {"timeout": 20.0, "server": {"kind": "embedded", "hang_after": 1.0}, **carla},
            "experiment": {"type": PoseExperiment, "town": "Minitown", **(experiment or {})},
        }
        environments.append(CarlaEnv(config))
        return environments[-1]

    yield make
    for env in environments:
        env.close()


def server_of(env):
    return env.core.server


def step_until_lost(env, steps=50):
    for _ in range(steps):
        outcome = env.step(1)
        if outcome[3]:
            return outcome
    raise AssertionError(f"the lost server was not noticed in {steps} steps")


@pytest.mark.parametrize("loss", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_lost_server_truncates_the_episode_and_reset_finds_a_new_one(make_env, loss, tmp_path):
    env = make_env()
    env.record_next_episode(tmp_path, "Cut off")
    first, _ = env.reset(seed=3)
    lost = server_of(env)
    last = [env.step(1) for _ in range(5)][-1][0]
    os.kill(lost.pid, loss)
    observation, reward, terminated, truncated, info = step_until_lost(env)
    assert info["server_restarted"] is True
    assert "CARLA server" in info["server_failure"]
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert env.observation_space.contains(observation)
    if loss == signal.SIGSTOP:
        assert observation.tobytes() == last.tobytes()
    again, info = env.reset(seed=3)
    assert again.tobytes() == first.tobytes()
    assert server_of(env) is not lost
    assert info["servers"]["servers_died" if loss == signal.SIGKILL else "servers_hung"] == 1
    assert info["server_recovery_seconds"] > 0.0
    assert env.step(1)[3] is False
    assert "server_recovery_seconds" not in env.reset()[1]
    (recorded,) = (present(read_about(path)) for path in tmp_path.iterdir())
    assert (recorded["end"], recorded["steps"] >= 6, len(recorded["way"]) >= 5) == ("server_lost", True, True)


def test_a_server_that_dies_between_episodes_is_replaced_by_reset(make_env):
    env = make_env()
    env.reset(seed=1)
    os.kill(server_of(env).pid, signal.SIGKILL)
    observation, info = env.reset(seed=2)
    assert env.observation_space.contains(observation)
    assert "server_restarted" not in info


def test_reset_itself_recovers_from_a_server_that_hangs(make_env):
    env = make_env()
    first, _ = env.reset(seed=1)
    os.kill(server_of(env).pid, signal.SIGSTOP)
    again, _ = env.reset(seed=1)
    assert again.tobytes() == first.tobytes()


def test_only_the_environment_concerned_notices(make_env):
    lost, other = make_env(), make_env()
    lost.reset(seed=1)
    other.reset(seed=1)
    undisturbed = [other.step(1)[0] for _ in range(10)]
    other.reset(seed=1)
    os.kill(server_of(lost).pid, signal.SIGKILL)
    step_until_lost(lost)
    outcomes = [other.step(1) for _ in range(10)]
    assert [outcome[3] for outcome in outcomes] == [False] * 10
    assert np.array([outcome[0] for outcome in outcomes]).tobytes() == np.array(undisturbed).tobytes()


def test_traffic_that_hangs_or_loses_its_server_is_replaced_with_it(make_env):
    env = make_env({"background_activity": {"n_vehicles": 4}}, timeout=SHORT)
    env.reset(seed=1)
    os.kill(env.core.traffic.process.helper.pid, signal.SIGSTOP)
    info = step_until_lost(env)[4]
    assert info["server_restarted"] is True
    env.reset(seed=1)
    os.kill(server_of(env).pid, signal.SIGKILL)
    assert step_until_lost(env)[4]["server_restarted"] is True
    env.reset(seed=1)
    assert len(env.core.actors) == 4
    assert env.step(1)[3] is False


_WORKER = """
from rllib_integration.carla_env import CarlaEnv

experiment = {"type": "tests.experiments:PoseExperiment", "town": "Minitown", "background_activity": {"n_vehicles": 2}}
# A spare server that is stopped before it runs its first line could not end with the worker.
server = {"kind": "embedded", "hang_after": 1.0, "spare": False}
env = CarlaEnv({"carla": {"server": server}, "experiment": experiment})
env.reset(seed=1)
while True:
    print("drives", flush=True)
    input()
    while not env.step(1)[3]:
        pass
    env.reset(seed=1)
"""


def test_a_worker_ends_everything_that_was_stopped_below_it_and_what_it_leaves_ends_with_it():
    def stop_all():
        everything = psutil.Process(worker.pid).children(recursive=True)
        assert len(everything) >= 4  # the two supervisors, the server, the traffic's process
        for process in everything:
            process.suspend()
        return everything

    command = [sys.executable, "-c", _WORKER]
    with subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            assert worker.stdout.readline() == "drives\n"
            lost = stop_all()
            worker.stdin.write("\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "drives\n"
            assert await_ends(lost, PATIENCE) == []
            left = stop_all()
        finally:
            worker.kill()
    assert await_ends(left, PATIENCE) == []


def test_a_sensor_that_falls_silent_is_a_lost_server(make_env):
    env = make_env({"hero": {"sensors": {"imu": {"type": "sensor.other.imu"}}}}, timeout=SHORT)
    env.reset(seed=1)
    env.core.sensor_interface.sensors["imu"].sensor.stop()
    info = step_until_lost(env)[4]
    assert "'imu'" in info["server_failure"]
    env.reset(seed=1)
    assert env.step(1)[4]["frames_behind"] == {"imu": 0}


def test_servers_that_never_start_end_in_one_error_with_the_logs_last_lines(make_env):
    env = make_env(server={"kind": "embedded", "extra_arguments": ["--no-such-option"], "max_failures": 2})
    with pytest.raises(ServerGaveUpError, match=r"(?s)2 CARLA servers in a row.*--no-such-option"):
        env.reset()
    with pytest.raises(ServerGaveUpError):
        env.reset()


def test_a_server_may_be_replaced_every_few_episodes_also_of_those_that_a_wrapper_cuts_off(make_env):
    env = make_env({"others": {"last_step": 2}}, server={"kind": "embedded", "restart_every_episodes": 2})
    servers = []
    for cut_off in (False, True, False, True):
        env.reset(seed=1)
        servers.append(server_of(env))
        env.step(1)
        assert cut_off or env.step(1)[2] is True
    assert servers[0] is servers[1]
    assert servers[2] is servers[3]
    assert servers[1] is not servers[2]


def test_a_new_client_now_and_then_changes_nothing_but_the_memory_that_the_old_one_held(make_env, monkeypatch):
    def play(env):
        seen = []
        for seed in range(5):
            seen.append([env.reset(seed=seed)[0], *(env.step(1)[0] for _ in range(5))])
            clients.append(env.core.client)
        return np.array(seen)

    clients: list[carla.Client | None] = []
    traffic = {"background_activity": {"n_vehicles": 2, "n_walkers": 0}}
    expected = play(make_env(traffic))
    assert all(client is clients[0] for client in clients)
    clients.clear()
    monkeypatch.setattr(carla_core, "_EPISODES_OF_A_CLIENT", 2)
    env = make_env(traffic)
    np.testing.assert_array_equal(play(env), expected)
    assert clients[0] is clients[1] is not clients[2] is clients[3] is not clients[4]
    assert env.core.pool.metrics()["servers_started"] == 1


def test_an_external_server_that_is_not_there_is_a_sentence(make_env):
    env = make_env(server={"kind": "external", "port": 9, "start_timeout": 0.5})
    with pytest.raises(ServerGaveUpError, match=r":9 gave a client no answer within \d+\.\d s \(.*refused\)"):
        env.reset()


def test_nothing_is_left_of_a_closed_environment(make_env):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    env = make_env({"background_activity": {"n_vehicles": 2}})
    env.reset()
    during = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert len(during) >= 2
    env.close()
    _, alive = psutil.wait_procs(during, timeout=PATIENCE)
    assert alive == []


def test_nothing_is_left_of_a_worker_that_is_killed(tmp_path):
    import subprocess

    code = "\n".join(
        [
            "from rllib_integration import CarlaEnv",
            "import psutil, time",
            "env = CarlaEnv({'experiment': {'type': 'tests.experiments:PoseExperiment', 'town': 'Minitown',",
            "                'background_activity': {'n_vehicles': 2}}, 'carla': {'server': 'embedded'}})",
            "env.reset()",
            "print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)",
            "time.sleep(60)",
        ]
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        below = [psutil.Process(int(pid)) for pid in present(worker.stdout).readline().split() if pid.isdigit()]
    finally:
        worker.kill()
        worker.wait()
    assert len(below) >= 2
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert alive == []
