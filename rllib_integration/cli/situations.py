"""`carla-rllib situations`: routes with scenarios for any town, as a file of CARLA's Leaderboard."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path

import carla

from rllib_integration.annotations import Record
from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG
from rllib_integration.carla_core import CarlaCore
from rllib_integration.cli.evaluate import FIRST_SEED
from rllib_integration.cli.flags import add_overrides, names, positive_int
from rllib_integration.config.merging import ConfigError, apply_override, nearest_sentence, overlay
from rllib_integration.config.server import ServerSettings
from rllib_integration.config_file import resolve_env_config
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.guard import run_guarded
from rllib_integration.scenario import town_name
from rllib_integration.scenarios.generator import Point, RouteGenerator
from rllib_integration.scenarios.route_file import RouteEntry, read_routes, write_routes
from rllib_integration.scenarios.situations import scenario_type
from rllib_integration.scenarios.types import SCENARIO_TYPES
from rllib_integration.setup_check import known_to_carla
from rllib_integration.suites.definitions import SUITES, TRAINING_WEATHERS, weathers
from rllib_integration.tracks.racetracks import RACETRACKS

SUMMARY = "write routes with scenarios for any town, as a file of CARLA's Leaderboard"
EXAMPLES = """examples:
  carla-rllib situations Town01 Town03 --count 200 -o routes.xml
  carla-rllib situations Town05 --types HardBreakRoute,ParkedObstacle --seed 7 -o routes.xml
  carla-rllib situations Town05 --seed 1000000 -o unseen.xml
  carla-rllib situations my_town.xodr -o routes.xml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("towns", nargs="+", metavar="TOWN", help="such as Town03, or an OpenDRIVE file (.xodr)")
    parser.add_argument(
        "--types", type=names, default=(), metavar="A,B", help="of scenarios, in turn (default: all with a place)"
    )
    parser.add_argument("--count", type=positive_int, default=100, metavar="N", help="in each town (default: 100)")
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="S",
        help=f"decides all (default: 0); from {FIRST_SEED} on, places for tests, which smaller seeds never take",
    )  # fmt: skip
    parser.add_argument(
        "--apart-from", type=Path, action="append", default=[], metavar="FILE",
        help="a route file whose starts and triggers are kept clear of; may be given several times",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the route file to write")
    add_overrides(parser, "env_config.carla.server=packaged")


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more.")
    return seed


def run(arguments: argparse.Namespace) -> int:
    """Write the file as the arguments say.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    return run_guarded(lambda: exit_status_of(lambda: _write(arguments)))


def _write(arguments: argparse.Namespace) -> int:
    kinds = [scenario_type(name, "--types").__name__ for name in dict.fromkeys(arguments.types)] or list(SCENARIO_TYPES)
    core_config = _core_config(arguments.overrides)
    towns = list(dict.fromkeys(arguments.towns))
    for town in towns:
        _check_town(town, core_config)
    output = arguments.output.expanduser()
    if output.is_dir():
        raise ConfigError(f"--output {output} is a folder, but it has to be a file.")
    starts, triggers = _evaluated(arguments.apart_from)
    known_weathers = weathers()
    routes: list[RouteEntry] = []
    with contextlib.closing(_maps(towns, core_config)) as maps:
        for carla_map in maps:
            town = town_name(carla_map.name)
            generator = RouteGenerator(
                *(carla_map, arguments.seed, [known_weathers[name] for name in TRAINING_WEATHERS]),
                for_tests=arguments.seed >= FIRST_SEED,
                evaluated_starts=sorted(starts[town.removesuffix("_Opt")]),
                evaluated_triggers=sorted(triggers[town.removesuffix("_Opt")]),
            )
            new = generator.routes(kinds, arguments.count, first_id=len(routes))
            routes += new
            there = Counter(situation.kind for route in new for situation in route.situations)
            left_out = [kind for kind in kinds if kind not in there]
            without = f"; none of {', '.join(left_out)}" if left_out else ""
            print(f"{town}: {len(new)} routes, scenario types: {len(there)}{without}", flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_routes(output, routes)
    print(output)
    return 0


def _core_config(overrides: Sequence[str]) -> Record:
    document: Record = {"env_config": {"carla": {"timeout": 60.0}, "experiment": {}}}
    for override in overrides:
        document = apply_override(document, override)
    resolved: Record = resolve_env_config(document["env_config"])["carla"]
    return resolved


def _check_town(town: str, core_config: Record) -> None:
    """Refuse what is neither a file nor a town.

    Raises:
        ConfigError: There is none.
    """
    if town.endswith(".xodr"):
        if not Path(town).expanduser().is_file():
            raise ConfigError(f"There is no file {town}.")
        return
    server = ServerSettings.from_core_config(core_config)
    known = {*known_to_carla()["towns"], *RACETRACKS}
    # A CARLA of one's own, or a folder of towns, may have more: then the server decides.
    if town_name(town) not in known and server.chosen_kind == "embedded" and not server.extra_arguments:
        raise ConfigError(f"There is no town '{town}'. {nearest_sentence(town_name(town), known)}")


def _maps(towns: Sequence[str], core_config: Record) -> Generator[carla.Map, None, None]:
    """The map of each town: of a file as it stands, of a name from a server."""
    with contextlib.ExitStack() as stack:
        core: CarlaCore | None = None
        for town in towns:
            if town.endswith(".xodr"):
                yield _read_map(Path(town).expanduser())
                continue
            if core is None:
                core = stack.enter_context(contextlib.closing(CarlaCore(core_config)))
            core.setup_experiment(overlay(BASE_EXPERIMENT_CONFIG, {"town": town}), seed=0)
            assert core.map is not None
            yield core.map


def _read_map(file: Path) -> carla.Map:
    try:
        return carla.Map(file.stem, file.read_text(encoding="utf-8"))
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} can't be read as OpenDRIVE: {error}") from error


def _evaluated(files: Sequence[Path]) -> tuple[dict[str, set[Point]], dict[str, set[Point]]]:
    """Where the routes of the suites and of some files start, and the triggers of these, x and y (m), by town.

    Raises:
        ScenarioFileError: A file can't be used.
    """
    starts: dict[str, set[Point]] = defaultdict(set)
    triggers: dict[str, set[Point]] = defaultdict(set)
    for suite in SUITES.values():
        for one in suite():
            starts[one.town].add((one.start[0], one.start[1]))
    for route in (route for file in files for route in read_routes(file)):
        town = town_name(route.town).removesuffix("_Opt")
        starts[town].add(route.points[0][:2])
        triggers[town].update(situation.trigger[:2] for situation in route.situations)
    return starts, triggers
