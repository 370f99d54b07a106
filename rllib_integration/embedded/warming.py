"""Compiles all kernels when the server starts on a machine that has not compiled them yet: once, on all its cores.

A client that spawns a camera would wait for the kernels of cameras, and many do not wait that long: so the server
listens only when they are there. The few of lidars and rarer sensors follow in the background, within seconds.
Threads of one process would take turns at compiling, so the work is cut into jobs that several processes share; what
one of them compiled the others find on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np

from rllib_integration.embedded import kernel_cache
from rllib_integration.embedded.announcements import AWAITS_ANOTHER, COMPILES, announce
from rllib_integration.embedded.parent_death import set_parent_death_signal
from rllib_integration.embedded.physics import collisions, prop, step, walker
from rllib_integration.embedded.physics.ground import Surface, flat_surface
from rllib_integration.embedded.physics.obstacles import OBSTACLE, build_obstacle_grid
from rllib_integration.embedded.physics.state import CONTACT, PROP, VEHICLE, WALKER
from rllib_integration.embedded.sensing import Mount, View, cameras, dvs, edges, rays, shading
from rllib_integration.embedded.sensing.actors import MovingBoxes
from rllib_integration.embedded.sensing.renderer import Renderer, renderer_of
from rllib_integration.embedded.town import Town, TownError, load_town
from rllib_integration.embedded.world.settings import Weather

logger = logging.getLogger(__name__)

_MOST_PROCESSES = 4
_SMALL = {"image_size_x": "16", "image_size_y": "16"}

LATE_SENSORS = frozenset(
    {
        "sensor.camera.dvs",
        "sensor.camera.optical_flow",
        "sensor.lidar.ray_cast",
        "sensor.lidar.ray_cast_semantic",
        "sensor.other.obstacle",
        "sensor.other.radar",
    }
)
"""Sensors whose kernels are compiled while the server already listens."""

Job = Callable[[], object]


class Background:
    """A job in a forked process, which begins at once and ends with this process.

    Attributes:
        process: Its id.
    """

    def __init__(self, job: Job) -> None:
        waiting = _numbers(1)
        self._ended = False
        self.process = _fork([job], waiting)
        os.close(waiting)

    def finish(self) -> None:
        """Wait until it is done; returns at once if it is."""
        if not self._ended:
            self._ended = True
            os.waitpid(self.process, 0)


def compile_all(town: str, town_folder: str | None) -> Background | None:
    """Compile all kernels that are not on disk; of several servers that start at once, one does it for all.

    Args:
        town: The town that will be loaded; if it has to be built, that is one of the jobs.
        town_folder: As of `load_town`.

    Returns:
        The late jobs, under way in the background; None if they are done.
    """
    if kernel_cache.is_complete():  # also while a server of another version compiles its own
        return None
    with _one_at_a_time():
        if kernel_cache.is_complete():
            return None
        announce(COMPILES)
        return _compile_all(town, town_folder)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one of this user's servers compile; the lock ends with it and its late jobs, however they end."""
    try:
        kernel_cache.base_folder().mkdir(parents=True, exist_ok=True)
        file = (kernel_cache.base_folder() / "compiling.lock").open("w")
    except OSError:  # a folder that takes no lock takes no kernels for others either
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce(AWAITS_ANOTHER)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile_all(town: str, town_folder: str | None) -> Background:
    began = time.monotonic()
    # The collector would go through all that numba keeps, again and again, and find nothing: a tenth of the time.
    gc.disable()
    try:
        early = [job for _, job in jobs(town, town_folder)]
        done = share(early, min(len(os.sched_getaffinity(0)), _MOST_PROCESSES))
        logger.info("compiled in %.1f s; lidars and rarer sensors follow in the background", time.monotonic() - began)
        return Background(lambda: _compile_late(done))
    finally:
        gc.enable()


def _compile_late(is_last: bool) -> None:
    for _, job in late_jobs():
        job()
    if is_last:
        try:
            kernel_cache.note_complete()
        except OSError as error:
            logger.warning("the kernels are compiled, but %s cannot keep them: %s", kernel_cache.base_folder(), error)


def jobs(town: str, town_folder: str | None) -> list[tuple[str, Job]]:
    """All that is to be compiled before a client may come, with a name; the arguments are those of `compile_all`.

    Long jobs come first; what a job calls that is a job of its own comes well before it.
    """
    return [
        ("driving", _compile_driving),
        ("shapes", _draw_shapes),
        ("collisions", _compile_collisions),
        ("town", lambda: _build(town, town_folder)),
        ("shading", _shade),
        ("physics", _compile_step),
        ("labels", _draw_labels),
    ]


def late_jobs() -> list[tuple[str, Job]]:
    """What only `LATE_SENSORS` need."""
    return [("rays", _cast_rays), ("motion", _draw_motion)]


def camera_jobs(town: Town) -> list[Job]:
    """What reads the kernels of cameras from disk and makes a town's renderer, in pieces of a fraction of a second.

    The first camera would otherwise keep every client waiting for as long as all of them take.
    """
    return [lambda: renderer_of(town), _draw_shapes, _shade, _draw_labels]


def share(jobs: Sequence[Job], processes: int) -> bool:
    """Do jobs in forked processes and in this one, each taking the next as soon as it is free.

    Args:
        jobs: Fewer than 256. What they leave behind on disk counts, not in memory.
        processes: How many, this one included.

    Returns:
        Whether all of them were done.
    """
    waiting = _numbers(len(jobs))
    children = [_fork(jobs, waiting) for _ in range(processes - 1)]
    done = _work(jobs, waiting)
    os.close(waiting)
    for child in children:
        done &= os.waitpid(child, 0)[1] == 0
    return done


def _numbers(count: int) -> int:
    """Descriptor of a pipe in which each byte is the number of a job that nobody has begun."""
    waiting, numbers = os.pipe()
    os.write(numbers, bytes(range(count)))
    os.close(numbers)
    return waiting


def _fork(jobs: Sequence[Job], waiting: int) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    # It holds the server's ports, too: it must not outlive the server, nor run what the server runs at its end.
    status = 1
    try:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == parent:
            status = 0 if _work(jobs, waiting) else 1
    finally:
        os._exit(status)


def _work(jobs: Sequence[Job], waiting: int) -> bool:
    done = True
    while number := os.read(waiting, 1):
        try:
            jobs[number[0]]()
        except Exception:  # whatever it is, the server can do without: the kernel is compiled when it is needed
            logger.exception("some kernels cannot be compiled beforehand")
            done = False
    return done


def _build(town: str, town_folder: str | None) -> None:
    try:
        load_town(town, town_folder)
    except TownError:
        logger.debug("loading %s will tell why it cannot be had", town)


def _compile(kernel: Any, *examples: Any) -> None:
    """Compile a kernel that only kernels call for arguments like these."""
    kernel.compile(tuple(numba.typeof(example) for example in examples))


def _rows() -> tuple[np.ndarray[Any, Any], ...]:
    return np.zeros(1, VEHICLE), np.zeros(1, WALKER), np.zeros(1, PROP)


def _surface() -> Surface:
    return flat_surface(20.0)


def _compile_driving() -> None:
    vehicles, walkers, props = _rows()
    bodies, busy = np.zeros(1, collisions.BODY), np.zeros(1, np.int64)
    _compile(step.begin, vehicles, walkers, props, bodies, busy, 0.05)
    _compile(step.drive_calm, vehicles, busy, _surface(), 0.05, 1, 9.81)


def _compile_collisions() -> None:
    obstacles = np.zeros(1, OBSTACLE)
    bodies, pairs = np.zeros(4, collisions.BODY), np.zeros((1, 3), np.int64)
    world = (*_rows(), obstacles)
    _compile(collisions.find_pairs, *world, build_obstacle_grid(obstacles), bodies, 0.05, 9.81)
    _compile(collisions.collide, *world, bodies, pairs, np.zeros(1, CONTACT), 0, 1, 0.01)
    _, walkers, props = _rows()
    _compile(walker.advance, walkers[0], _surface(), 0.01, 9.81)
    _compile(prop.advance, props[0], _surface(), 0.01, 9.81)


def _compile_step() -> None:
    obstacles = np.zeros(1, OBSTACLE)
    world = (*_rows(), obstacles, build_obstacle_grid(obstacles), _surface())
    _compile(step.step, *world, np.zeros(1, CONTACT), 0.05, 0.01, 10, 9.81)


class _Ground:
    """What sensors read of a town, of a town with a bit of road."""

    def __init__(self) -> None:
        self.surface = _surface()
        self.obstacles = np.zeros(1, OBSTACLE)
        self.obstacle_grid = build_obstacle_grid(self.obstacles)
        self.signals: list[Any] = []
        self.scenery = self
        self.vertices = np.array([(0, -5, 0), (9, -5, 0), (9, 5, 0), (0, 5, 0)], np.float32)
        self.triangles = np.array([(0, 1, 2), (0, 2, 3)], np.int32)
        self.label = np.ones(2, np.uint8)
        self.colour = np.full((2, 3), 80, np.uint8)
        self.object_id = np.zeros(2, np.uint32)
        self.marking_start, self.marking_stop = 0, 2


def _view() -> View:
    rows = (np.zeros(0, dtype) for dtype in (VEHICLE, WALKER, PROP))
    nothing = (np.zeros(0, np.uint8), np.zeros(0, CONTACT))
    return View(1, 0.05, 0.05, _Ground(), *rows, Weather().as_dict(), *nothing, 9.81, None)  # type: ignore[call-arg, arg-type]


def _mount() -> Mount:
    return Mount(np.array((0.0, 0.0, 2.0)), np.eye(3), np.zeros(3), -1, -1, 0)


def _draw(*kinds: Any) -> None:
    view = _view()
    renderer = Renderer(view.town)
    for kind in kinds:
        kind(_SMALL).draw(renderer, view, _mount())


def _draw_shapes() -> None:
    _draw(cameras.DepthCamera)


def _shade() -> None:
    _draw(cameras.RgbCamera)
    edge = np.zeros((2, 2), np.int32)
    pictures = np.zeros((2, 2, 2, 4), np.uint8)
    shading.draw_rain(np.zeros((1, 3)), 1.0, 0.1, np.zeros((16, 16, 4), np.uint8))
    edges.smooth_edges(edge, np.zeros(1, np.uint32), 1, pictures[0], pictures[1])


def _draw_labels() -> None:
    _draw(cameras.InstanceCamera, cameras.NormalsCamera)


def _draw_motion() -> None:
    view = _view()
    renderer, flow = Renderer(view.town), cameras.OpticalFlowCamera(_SMALL)
    for _ in range(2):
        flow.flow(renderer, view, _mount())
    dvs.compile_kernels()


def _cast_rays() -> None:
    view = _view()
    town = view.town
    bounds = rays.tile_bounds(town.surface.height)
    boxes = MovingBoxes().of(view)
    rays.cast_rays(_mount().position, np.eye(3), 50.0, town.surface, bounds, town.obstacles, town.obstacle_grid, boxes)
    rays.fan(np.zeros(1), np.zeros(1), np.eye(3), np.zeros((1, 3)), np.zeros((1, 3)))
