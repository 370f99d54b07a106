"""What people do with the page beside looking: films, driving by keyboard and gamepad, broken ways, restored runs."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import imageio.v3 as imageio
import pytest

from rllib_integration import CarlaEnv
from rllib_integration.multi_agent.shared_world import SharedWorld
from rllib_integration.telemetry.announcement import LIVE_FOLDER
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.replay import REPLAYS_FOLDER, write_replay
from tests.experiments import PoseExperiment
from tests.patience import PATIENCE

STEPS = 10
STATE = "JSON.stringify([viewer.state, viewer.reason, viewer.source, viewer.isFollowing, viewer.stats])"
BRAKING_PAD = """() => {
  const buttons = Array.from({ length: 17 }, () => ({ value: 0, pressed: false }));
  buttons[6].value = 1;
  navigator.getGamepads = () => [null, { buttons, axes: [0, 0, 0, 0] }];
}"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("algorithm: DQN\n")
    return folder


@pytest.fixture
def make_env(embedded_server, run):
    """Makes environments of the run, which drive until they are closed."""
    host, port = embedded_server
    server = {"kind": "external", "host": host, "port": port}
    core = {"server": server, "live_folder": str(run / LIVE_FOLDER)}
    with contextlib.ExitStack() as stack:

        def make(step_limit=STEPS):
            experiment = {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": step_limit}}
            env = CarlaEnv({"carla": core, "experiment": experiment})
            stack.callback(env.close)
            return env

        yield make


def drive_until(env, page, script, action=0):
    """Steps an environment until a script in the page gives something true; returns that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := page.evaluate(script)):
        assert time.monotonic() < deadline, f"{script} did not come true; {page.evaluate(STATE)} {page.problems}"
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return found


def test_an_episode_becomes_a_film_that_plays(make_env, run, start_viewer, open_page, tmp_path):
    env = make_env()
    env.record_next_episode(run / REPLAYS_FOLDER, "Filmed")
    env.reset(seed=1)
    while not env.step(1)[3]:
        pass
    page = open_page(start_viewer(str(run)).url, width=640, height=400)
    page.page.click("#tabs [data-page=replays]")
    page.page.click(".gallery .tile:has-text('Filmed')")
    page.wait_for("viewer.replay && viewer.world.town && viewer.hero && viewer.world.pictures > 0")
    seconds = page.evaluate("viewer.playhead.clip.end - viewer.playhead.clip.start")
    with page.page.expect_download() as download:
        page.page.click(".timeline .pill:has-text('MP4')")
    download.value.save_as(tmp_path / "film.mp4")
    about = imageio.immeta(tmp_path / "film.mp4", plugin="FFMPEG")
    assert about["fps"] == pytest.approx(20.0, abs=0.5)
    assert about["duration"] == pytest.approx(seconds, abs=0.2)
    pictures = imageio.imread(tmp_path / "film.mp4", plugin="FFMPEG")
    assert len(pictures) == pytest.approx(seconds * 20.0, abs=3)
    assert pictures.std() > 5.0  # something is to be seen
    assert (pictures[0] != pictures[-1]).any()


def test_a_person_drives_a_car_among_trained_agents(make_env, run, start_viewer, open_page):
    env = make_env(step_limit=40)
    env.reset(seed=1)
    page = open_page(start_viewer(str(run), "--controls").url, width=900, height=500)
    drive_until(env, page, "viewer.state === 'watching' && !document.querySelector('#controls').hidden")
    page.page.click("#controls .pill:has-text('Drive a car')")
    car = drive_until(env, page, "viewer.followed")
    assert car != env.core.hero.id
    speed = f"viewer.world.actors.shown.get({car})?.speed"
    page.page.keyboard.down("ArrowUp")
    drive_until(env, page, f"{speed} > 1")
    assert env.core.world.get_actor(car).attributes["role_name"] == "person"
    page.wait_for("document.querySelector('.hud .speed b').textContent !== '0'")
    page.page.keyboard.up("ArrowUp")
    page.evaluate(BRAKING_PAD)
    drive_until(env, page, f"{speed} < 0.3")
    page.page.click("#controls .pill:has-text('Leave the car')")
    drive_until(env, page, f"!viewer.world.actors.shown.has({car})")


def test_the_tiles_and_recordings_of_agents_follow_their_own_heroes(embedded_server, run, start_viewer, open_page):
    host, port = embedded_server
    core = {"server": {"kind": "external", "host": host, "port": port}, "live_folder": str(run / LIVE_FOLDER)}
    experiment = {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": STEPS}}
    agents = {"heroes": {"first": None, "second": None}}
    page = open_page(start_viewer(str(run)).url, width=900, height=500)
    with contextlib.closing(SharedWorld({"carla": core, "experiment": experiment, "agents": agents})) as world:
        world.record_next_episode(run / REPLAYS_FOLDER, "Together")
        world.reset(seed=1)
        recorded = {agent: view.hero.id for agent, view in world.heroes.items()}
        for agent in recorded:
            page.wait_for("document.querySelectorAll('#rail .tile').length === 2")
            page.page.click(f"#rail .tile:has-text('{agent}')")
            script = """(({isWhole, frames, episode, steps}) => ({
              whole: isWhole && frames.length > 5, heroes: frames.map(({ f, hero }) => [f, hero]), episode, steps
            }))(viewer.playhead.clip)"""
            heroes: list[int] = []
            deadline = time.monotonic() + PATIENCE
            while not (seen := page.evaluate(script))["whole"]:
                assert time.monotonic() < deadline, page.evaluate(STATE)
                if not world.heroes:
                    world.reset()
                    heroes.append(world.heroes[agent].hero.id)
                world.begin_step(dict.fromkeys(world.heroes, 1))
                world.finish_step()
            print(seen, heroes[-3:])
            (hero,) = {hero for _, hero in seen["heroes"]}
            assert hero in heroes
            page.wait_for(f"viewer.hero === {hero}")
    page.page.click("#tabs [data-page=replays]")
    for agent, hero in recorded.items():
        page.wait_for("document.querySelectorAll('.gallery .tile').length === 2")
        page.page.click(f".gallery .tile:has-text('Together, {agent}')")
        page.wait_for(f"viewer.replay && viewer.hero === {hero} && viewer.world.actors.shown.size === 2")
        page.wait_for("viewer.playhead.clip.steps.at(-1).end === 'truncated' && viewer.world.pictures > 0")
        page.wait_for("viewer.playhead.isAtEnd")
        page.page.click("#tabs [data-page=replays]")


def test_a_restored_run_goes_on_in_the_open_page(make_env, run, start_viewer, open_page):
    env = make_env()
    env.reset(seed=1)
    page = open_page(start_viewer(str(run)).url)
    drive_until(env, page, "viewer.playhead.clip.frames.length > 3")
    before = page.evaluate("viewer.source.id")
    env.close()
    page.wait_for("viewer.state === 'ended'")
    env = make_env()
    env.reset(seed=2)
    drive_until(env, page, f"viewer.source.id !== {before} && viewer.playhead.clip.frames.length > 3")
    page.wait_for("document.querySelector('#state').dataset.state === 'watching'")


class Tunnel:
    """Passes connections on to a port of this machine, until it is cut."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_cut = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target))
                self.connections += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                self.goes_on.wait()
                other.sendall(data)
        self._end(one, other)

    def _end(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.is_cut = True
        self.goes_on.set()
        self._end(*self.connections)

    def close(self) -> None:
        self.cut()
        for connection in (self.listener, *self.connections):
            connection.close()


def test_a_tunnel_that_breaks_is_waited_for(embedded_server, start_viewer, open_page, world):
    viewer = start_viewer(f"--carla-port={embedded_server[1]}")
    with contextlib.closing(Tunnel(viewer.port)) as tunnel:
        page = open_page(f"http://localhost:{tunnel.port}/")
        page.wait_for("document.querySelector('#state').dataset.state === 'watching'")
        tunnel.cut()
        page.wait_for("document.querySelector('#notice').textContent.includes('the way to it is broken')")
        tunnel.is_cut = False
        page.wait_for("document.querySelector('#state').dataset.state === 'watching'")
        frame = world.tick()
        page.wait_for(f"viewer.playhead.clip.frames.at(-1)?.f >= {frame}")
        page.evaluate("viewer.connection.mostQuietLooks = 2")
        tunnel.goes_on.clear()  # nothing comes through any more, and nobody closes anything
        page.wait_for("document.querySelector('#state').dataset.state === 'viewer'")
        page.evaluate("viewer.connection.mostQuietLooks = 20")
        tunnel.goes_on.set()
        page.wait_for("document.querySelector('#state').dataset.state === 'watching'")


def test_the_gallery_shows_the_worst_first_with_what_went_wrong(run, start_viewer, open_page):
    metrics = {"good": {}, "hit": {"collisions_vehicle": 2}, "person": {"collisions_pedestrian": 1}, "light": {}}
    ends = {"good": "route_done", "hit": "collision", "person": "collision", "light": "red_light"}
    for label, end in ends.items():
        about = {"label": label, "end": end, "return": 1.0, "metrics": metrics[label]}
        write_replay(run / REPLAYS_FOLDER, about, [pack(Kind.STEP, {"n": 1})])
    page = open_page(start_viewer(str(run)).url, width=900)
    page.page.click("#tabs [data-page=replays]")
    page.wait_for("document.querySelectorAll('.gallery .tile').length === 4")
    tiles = page.evaluate("[...document.querySelectorAll('.gallery .tile')].map(tile => tile.innerText)")
    assert [tile.split()[0] for tile in tiles] == ["hit", "person", "light", "good"]
    assert "Collisions vehicle 2" in tiles[0]
    assert "Red light" in tiles[2]
    page.page.click(".segmented button:has-text('Newest first')")
    page.wait_for("document.querySelector('.gallery .tile b').textContent === 'light'")
