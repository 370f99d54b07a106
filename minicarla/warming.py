"""Compiles all kernels when the server starts on a machine that has not compiled them yet: once, on all its cores.

The server listens when they all are there: whoever reaches it gets a camera's first picture within a client's time-out.
Threads of one process would take turns at compiling, so the work is cut into jobs that several processes share; what
one of them compiled the others find on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import logging
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from minicarla.kernels import cache as kernel_cache
from minicarla.parent_death import set_parent_death_signal
from minicarla.physics import collisions, prop, step, walker
from minicarla.physics.ground import Surface, flat_surface
from minicarla.physics.obstacles import OBSTACLE, build_obstacle_grid
from minicarla.physics.state import CONTACT, GRAVITY, PROP, VEHICLE, WALKER
from minicarla.rpc.world_stream import Snapshot
from minicarla.sensing import Mount, View, cameras, dvs, edges, painting, rays
from minicarla.sensing.actors import MovingBoxes
from minicarla.sensing.renderer import Renderer, Seen, camera_at, compile_poses, renderer_of
from minicarla.sensing.weather import stars
from minicarla.startup_messages import AWAITS_ANOTHER, COMPILED, COMPILES, announce
from minicarla.town import Town, TownError, generation, load_town
from minicarla.town.detour import MOST_CORNERS
from minicarla.town.lane_graph import build_lane_graph
from minicarla.town.town import SIGNAL_ZONE, Signal
from minicarla.town.walk_mesh import WalkMesh
from minicarla.world.actors import VEHICLE_STATUS
from minicarla.world.autopilot import DRIVER, drive
from minicarla.world.episode import Episode
from minicarla.world.pedestrians import PEDESTRIAN, begin, begin_search, walk
from minicarla.world.settings import Weather
from minicarla.world.spawning import is_free
from minicarla.world.traffic_lights import LIGHT

logger = logging.getLogger(__name__)

_MOST_PROCESSES = 4
_SMALL = {"image_size_x": "16", "image_size_y": "16"}

_ROAD_TEXT = """<OpenDRIVE><road id="1" length="9" junction="-1"><planView><geometry s="0" x="0" y="0" hdg="0"
length="9"><line/></geometry></planView><lanes><laneSection s="0"><right><lane id="-1" type="driving"><width
sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right></laneSection></lanes></road></OpenDRIVE>"""

Job = Callable[[], object]


def compile_all(town: str, town_folder: str | None) -> None:
    """Compile all kernels that are not on disk; of several servers that start at once, one does it for all.

    Args:
        town: The town that will be loaded; if it has to be built, that is one of the jobs.
        town_folder: As of `load_town`.
    """
    if kernel_cache.is_complete():  # also while a server of another version compiles its own
        return
    with _one_at_a_time():
        if not kernel_cache.is_complete():
            announce(COMPILES)
            _compile_all(town, town_folder)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one of this user's servers compile; the lock ends with it, however it ends."""
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


def _compile_all(town: str, town_folder: str | None) -> None:
    began = time.monotonic()
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    # The collector would go through all that numba keeps, again and again, and find nothing: a tenth of the time.
    gc.disable()
    try:
        done = share(_telling([job for _, job in jobs(town, town_folder)]), processes)
    finally:
        gc.enable()
    logger.info("compiled in %.1f s", time.monotonic() - began)
    if done:
        _note_complete()


def _telling(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each of which says at its end how many of them are done, in whatever processes."""
    done = mmap.mmap(-1, max(1, len(jobs)))

    def tell_after(number: int, job: Job) -> None:
        job()
        done[number] = 1
        announce(COMPILED.format(percent=100 * sum(done[:]) // len(jobs)))

    return [functools.partial(tell_after, number, job) for number, job in enumerate(jobs)]


def _note_complete() -> None:
    try:
        kernel_cache.note_complete()
    except OSError as error:
        logger.warning("the kernels are compiled, but %s cannot keep them: %s", kernel_cache.base_folder(), error)


def jobs(town: str, town_folder: str | None) -> list[tuple[str, Job]]:
    """All that is to be compiled, with a name; the arguments are those of `compile_all`.

    Long jobs come first; what a job calls that is a job of its own comes well before it. The shading takes about as
    long as the shapes and outlines, and has little in common with them: two processes are done with them at once.
    """
    return [
        ("town", lambda: _build(town, town_folder)),
        ("driving", _compile_driving),
        ("shading", _shade),
        ("shapes", _draw_shapes),
        ("collisions", _compile_collisions),
        ("outlines", _draw_outlines),
        ("beginning", _compile_beginning),
        ("rays", _cast_rays),
        ("world", _compile_world),
        ("autopilot", _compile_autopilot),
        ("pedestrians", _compile_pedestrians),
        ("walls", _compile_walls),
        ("labels", _draw_labels),
        ("physics", _compile_step),
        ("motion", _draw_motion),
    ]


def camera_jobs(town: Town) -> list[Job]:
    """What reads the kernels of cameras from disk and makes a town's renderer, in pieces of a fraction of a second.

    The first camera would otherwise keep every client waiting for as long as all of them take.
    """
    return [lambda: renderer_of(town), _draw_shapes, _shade, _draw_outlines, _draw_labels]


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


def _compile(kernel: Callable[..., object], *examples: object) -> None:
    """Compile a kernel that only kernels call for arguments like these."""
    dispatcher: Any = kernel
    dispatcher.compile(tuple(numba.typeof(example) for example in examples))


def _rows() -> tuple[NDArray[np.void], ...]:
    return np.zeros(1, VEHICLE), np.zeros(1, WALKER), np.zeros(1, PROP)


def _surface() -> Surface:
    return flat_surface(20.0)


def _compile_driving() -> None:
    _compile(step.drive_calm, np.zeros(1, VEHICLE), np.zeros(1, np.int64), _surface(), 0.05, 1, GRAVITY)


def _compile_beginning() -> None:
    _compile(step.begin, *_rows(), np.zeros(1, collisions.BODY), np.zeros(1, np.int64), 0.05, 0.01)


def _compile_collisions() -> None:
    obstacles = np.zeros(1, OBSTACLE)
    bodies, pairs = np.zeros(4, collisions.BODY), np.zeros((1, 3), np.int64)
    world = (*_rows(), obstacles)
    _compile(collisions.find_pairs, *world, build_obstacle_grid(obstacles), bodies, 0.05, GRAVITY)
    _compile(collisions.collide, *world, bodies, pairs, np.zeros(1, CONTACT), 0, 1, 0.01)
    _, walkers, props = _rows()
    _compile(walker.advance, walkers[0], _surface(), 0.01, GRAVITY)
    _compile(prop.advance, props[0], _surface(), 0.01, GRAVITY)


def _compile_world() -> None:
    episode = Episode(1, _Road(), 0)  # type: ignore[arg-type]
    origin = (0.0, 0.0, 0.0)
    is_free(episode, box=(origin, (1.0, 1.0, 1.0), origin), pose=(origin, origin))
    episode.warm_up()
    snapshot = Snapshot()
    snapshot.lay_out(episode)
    snapshot.pack(episode, 0.0, 0.0, 0)


def _compile_autopilot() -> None:
    graph = build_lane_graph(_ROAD_TEXT, [])
    driver, vehicles = np.zeros(1, DRIVER), np.zeros(1, VEHICLE)
    world = (vehicles, np.zeros(1, VEHICLE_STATUS), np.zeros(1, WALKER), np.zeros(1, LIGHT))
    _compile(drive, graph, driver, np.zeros(1, np.int64), *world, 0.05)


def _compile_pedestrians() -> None:
    whole = (np.zeros(1, np.int32) for _ in range(3))
    count, area, light = whole
    edges, triangle = np.zeros((1, MOST_CORNERS), np.int32), np.zeros((1, 2), np.int32)
    mesh = WalkMesh(np.zeros((1, MOST_CORNERS, 3)), count, edges, area, light, triangle, np.ones(1))
    pedestrians, rows, walkers = np.zeros(1, PEDESTRIAN), np.zeros(1, np.int64), np.zeros(1, WALKER)
    _compile(begin, mesh, pedestrians, rows, walkers, _surface())
    world = (walkers, np.zeros(1, VEHICLE), np.zeros(1, LIGHT), _surface())
    _compile(walk, mesh, begin_search(1), pedestrians, rows, *world, 0.05)


def _compile_walls() -> None:
    """Clients wait at most ten seconds, as CARLA's own programs do, for a world of their OpenDRIVE text."""
    _compile(generation.is_outer, _surface(), np.zeros((1, 3)), np.zeros((1, 2)))


def _compile_step() -> None:
    obstacles = np.zeros(1, OBSTACLE)
    world = (*_rows(), obstacles, build_obstacle_grid(obstacles), _surface())
    _compile(step.step, *world, np.zeros(1, CONTACT), 0.05, 0.01, 10, GRAVITY)


class _Road:
    """What episodes and sensors read of a town, of a town with a bit of road."""

    def __init__(self) -> None:
        self.surface = _surface()
        self.obstacles = np.zeros(1, OBSTACLE)
        self.obstacle_grid = build_obstacle_grid(self.obstacles)
        self.signals: list[Signal] = []
        self.signal_zones = np.zeros(0, SIGNAL_ZONE)
        self.street_lights = np.zeros((0, 3))
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
    return View(1, 0.05, 0.05, _Road(), *rows, Weather().as_dict(), *nothing, GRAVITY, None)  # type: ignore[call-arg, arg-type]


def _mount() -> Mount:
    return Mount(np.array((0.0, 0.0, 2.0)), np.eye(3), np.zeros(3), -1, -1, 0)


def _draw(*kinds: type[cameras.PictureSensor]) -> None:
    view = _view()
    renderer = Renderer(view.town)
    for kind in kinds:
        kind(_SMALL).draw(renderer, view, _mount())


def _draw_shapes() -> None:
    view, mount = _view(), _mount()
    renderer = Renderer(view.town)
    seen = renderer.look(view, camera_at(mount, 90.0, 16, 16), 1, reuse=False)
    renderer.shadows(seen, renderer.light(view))
    cameras.DepthCamera(_SMALL).draw(renderer, view, mount)
    compile_poses(*_rows())


def _shade() -> None:
    view, mount = _view(), _mount()
    renderer, camera = Renderer(view.town), cameras.RgbCamera(_SMALL)
    sky = camera_at(mount, 90.0, 48, 48)
    nothing = Seen(sky, 3, np.zeros((48, 48), np.float32), np.full((48, 48), -1, np.int32))
    camera.shade(renderer, view, nothing, np.zeros((48, 48), np.uint8))


def _draw_outlines() -> None:
    edge = np.zeros((2, 2), np.int32)
    pictures = np.zeros((2, 2, 2, 4), np.uint8)
    edges.smooth_edges(edge, np.zeros(1, np.uint32), 1, pictures[0], pictures[1])
    painting.draw_rain(np.zeros((1, 3)), 1.0, 0.1, pictures[0])
    painting.draw_stars(camera_at(_mount(), 90.0, 2, 2), 1, stars(), 1.0, edge, pictures[0])


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
