"""The page in a real browser, on a real server's world."""

from __future__ import annotations

import os
import signal

import carla
import numpy as np
import psutil
import pytest

from rllib_integration.telemetry.messages import head_of
from rllib_integration.telemetry.world_frames import WorldFrames
from tests.patience import PATIENCE
from tests.ports import free_port_pair

LETTERS = {"Red": "r", "Yellow": "y", "Green": "g", "Off": "o", "Unknown": "u"}
NEWEST = "viewer.playhead.clip.frames.at(-1)"


@pytest.fixture
def open_world(embedded_server, start_viewer, open_page):
    """Opens a page on the file's server."""

    def open_it(*options, **page_options):
        viewer = start_viewer(f"--carla-port={embedded_server[1]}", *options)
        page = open_page(viewer.url, **page_options)
        page.viewer = viewer
        return page

    return open_it


def spawn(world, number, blueprint="vehicle.audi.tt", **attributes):
    """A vehicle on a spawn point."""
    chosen = world.get_blueprint_library().find(blueprint)
    for name, value in attributes.items():
        chosen.set_attribute(name, value)
    return world.spawn_actor(chosen, world.get_map().get_spawn_points()[number])


def wait_for_frame(page, frame):
    page.wait_for(f"{NEWEST}?.f >= {frame}")


def test_the_picture_shows_a_world(open_world, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    page.wait_for("viewer.world.town !== null && !viewer.world.isDirty")  # until it has been drawn with the town
    shades = page.evaluate(
        """() => {
          viewer.world.renderer.render(viewer.world.scene, viewer.world.cameras.camera);
          const copy = document.createElement("canvas");
          [copy.width, copy.height] = [64, 48];
          const pen = copy.getContext("2d");
          pen.drawImage(viewer.world.canvas, 0, 0, 64, 48);
          const colours = new Set();
          const pixels = new Uint32Array(pen.getImageData(0, 0, 64, 48).data.buffer);
          for (const pixel of pixels) colours.add(pixel);
          return colours.size;
        }"""
    )
    assert shades > 8


def test_actors_and_lights_are_those_of_the_servers_frame(open_world, world, hero):
    for number in (1, 2, 3):
        spawn(world, number)
    hero.apply_control(carla.VehicleControl(throttle=0.7))
    page = open_world()
    page.wait_for("viewer.state === 'watching'")
    for _ in range(30):
        frame = world.tick()
    wait_for_frame(page, frame)
    page.evaluate("viewer.seek(viewer.playhead.clip.end)")
    page.wait_for(f"viewer.shownAt === viewer.playhead.clip.end && viewer.hero === {hero.id}")
    page.wait_for("viewer.world.actors.shown.size === 4")
    shown = dict(
        page.evaluate("[...viewer.world.actors.shown].map(([id, at]) => [id, [at.x, at.y, at.z, at.yaw, at.speed]])")
    )
    snapshot = world.get_snapshot()
    assert snapshot.frame == frame
    for actor in world.get_actors().filter("vehicle.*"):
        seen = snapshot.find(actor.id)
        pose = seen.get_transform()
        expected = [pose.location.x, pose.location.y, pose.location.z, pose.rotation.yaw, seen.get_velocity().length()]
        np.testing.assert_allclose(shown[actor.id], expected, atol=0.02)
    lights = {light.id: LETTERS[str(light.state)] for light in world.get_actors().filter("traffic.traffic_light")}
    states = page.evaluate(f"{NEWEST}.lights")
    assert sorted(states) == sorted(lights.values())
    speed = round(hero.get_velocity().length() * 3.6)
    page.wait_for(f"document.querySelector('.hud .speed b').textContent === '{speed}'")


def test_each_frame_tells_all_that_a_browser_needs_which_got_no_other(world, hero):
    frames = WorldFrames(world)
    count = len(world.get_actors().filter("traffic.traffic_light"))
    for _ in range(3):
        world.tick()
        head = head_of(frames.read(world.get_snapshot()).messages[-1])
        assert (len(head["lights"]), head["hero"], len(head["c"])) == (count, hero.id, 5)


def test_a_click_on_the_hero_tells_about_it(open_world, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    page.wait_for(f"viewer.world.actors.shown.has({hero.id}) && viewer.world.pictures > 0")
    page.evaluate("viewer.setView('top')")
    place = page.wait_for(
        f"""(() => {{
          if (viewer.world.cameras.jump) return false;  // not drawn yet from there
          const at = viewer.world.actors.shown.get({hero.id});
          const box = viewer.world.canvas.getBoundingClientRect();
          const place = viewer.world.project(viewer.world.cameras.camera.position.clone().set(at.x, at.z + 0.5, at.y));
          return place && [box.left + place.x, box.top + place.y];
        }})()"""
    )
    page.page.mouse.click(*place)
    page.wait_for("document.querySelector('#actor dl').textContent.includes('vehicle.lincoln.mkz_2017')")
    assert page.evaluate("viewer.picked") == hero.id
    # What only a look at this actor tells comes, too, although the world stands still.
    page.wait_for("document.querySelector('#actor dl').textContent.includes('Speed limit')")
    page.page.keyboard.press("Escape")
    page.wait_for("document.querySelector('#actor').hidden")


def test_pause_scrub_and_back_to_live(open_world, world, hero):
    page = open_world()
    page.wait_for("viewer.state === 'watching'")
    for _ in range(40):
        wait_for_frame(page, world.tick())
    page.page.keyboard.press(" ")
    assert page.evaluate("viewer.playhead.isPaused")
    first = page.evaluate("viewer.playhead.clip.frames[0].t")
    slider = page.page.locator(".scrub input")
    slider.evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
    assert page.evaluate("viewer.playhead.t") == pytest.approx(first, abs=1e-3)
    page.page.keyboard.press("ArrowRight")
    assert page.evaluate("viewer.playhead.t") == page.evaluate("viewer.playhead.clip.frames[1].t")
    frame = world.tick()
    wait_for_frame(page, frame)
    assert page.evaluate("viewer.playhead.t") < page.evaluate("viewer.playhead.clip.end")
    page.page.click(".timeline .pill:has-text('live')")
    page.wait_for("viewer.playhead.t === viewer.playhead.clip.end")


def test_sensors_are_heard_only_while_they_are_shown(open_world, world, hero):
    library = world.get_blueprint_library()
    camera = library.find("sensor.camera.rgb")
    for name, value in (("image_size_x", "64"), ("image_size_y", "48")):
        camera.set_attribute(name, value)
    camera = world.spawn_actor(camera, carla.Transform(carla.Location(x=1.0, z=2.0)), attach_to=hero)
    lidar = world.spawn_actor(
        library.find("sensor.lidar.ray_cast"), carla.Transform(carla.Location(z=2.0)), attach_to=hero
    )
    page = open_world()
    wait_for_frame(page, world.tick())
    page.wait_for("viewer.sensors.length === 2")
    assert page.evaluate("viewer.playhead.clip.pictures.size + viewer.playhead.clip.points.size") == 0
    for number in range(2):
        page.page.click(f"#sensors .row:nth-child({number + 1}) .switch")
    has_picture = f"viewer.playhead.clip.pictures.has('sensor/{camera.id}')"
    while not page.evaluate(f"{has_picture} && viewer.playhead.clip.points.has('sensor/{lidar.id}')"):
        world.tick()
    page.wait_for("document.querySelector('#pictures img')?.naturalWidth === 64")
    page.wait_for("viewer.world.overlays.clouds.size === 1")
    points = page.evaluate(f"viewer.playhead.clip.points.get('sensor/{lidar.id}').at(-1)")
    assert len(points["offsets"]) > 30
    page.page.click("#sensors .row:first-child .switch")
    page.wait_for("viewer.listens.size === 1")


def test_shapes_of_carlas_debug_helper_are_shown_for_their_lifetime(open_world, world, hero):
    debug, red = world.debug, carla.Color(255, 0, 0)
    world.tick()
    place = hero.get_location()
    near, far = place + carla.Location(0.0, 0.0, 1.0), place + carla.Location(4.0, 0.0, 1.0)
    debug.draw_point(near, 0.1, carla.Color(0, 114, 178), -1.0)
    debug.draw_string(near, "here", color=red, life_time=-1.0)
    page = open_world()
    wait_for_frame(page, world.tick())
    page.wait_for("viewer.world.overlays.shapes.children.length === 1")  # drawn before anybody looked
    page.wait_for("[...document.querySelectorAll('.name.shape')].some(one => one.textContent === 'here')")
    debug.draw_line(near, far, 0.1, red, 0.3)
    debug.draw_arrow(near, far, 0.1, 0.5, red, 0.3)
    box = carla.BoundingBox(near, carla.Vector3D(2.0, 1.0, 0.5))
    debug.draw_box(box, carla.Rotation(yaw=90.0), 0.1, red, 0.3)
    lines = "viewer.playhead.clip.shapes.filter(shape => shape.shape === 'lines')"
    page.wait_for(f"{lines}.length === 3")
    drawn = page.evaluate(f"{lines}.map(shape => [shape.colour, shape.life.toFixed(2), shape.lengths.length])")
    assert drawn == [["#ff0000", "0.30", 1], ["#ff0000", "0.30", 5], ["#ff0000", "0.30", 12]]
    corner = page.evaluate(f"Math.max(...[...{lines}[2].places].filter((_, at) => at % 3 === 1))")
    assert corner == pytest.approx(place.y + 2.0, abs=1e-3)  # turned: its longer side lies along y
    page.wait_for("viewer.world.overlays.shapes.children.length === 7")
    for _ in range(8):
        wait_for_frame(page, world.tick())
    page.wait_for("viewer.world.overlays.shapes.children.length === 1")
    debug.clear_debug_shape()
    wait_for_frame(page, world.tick())
    page.wait_for("viewer.world.overlays.shapes.children.length === 0 && viewer.world.overlays.texts.length === 1")


def test_another_world_forgets_what_was_shown_of_the_last_one(open_world, carla_client, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    page.wait_for(f"viewer.hero === {hero.id}")
    page.evaluate(f"viewer.select({hero.id})")
    world = carla_client.load_world("Minitown", reset_settings=False)
    page.wait_for("viewer.state === 'watching' && viewer.hero === 0 && viewer.world.actors.shown.size === 0")
    other = spawn(world, 4, role_name="hero")
    wait_for_frame(page, world.tick())
    page.wait_for(f"viewer.hero === {other.id}")


def test_the_last_frame_is_shown_however_slowly_they_come(open_world):
    """The moment that is shown moves towards the newest frame, and gets there."""
    page = open_world()
    left = page.evaluate(
        """async (gaps) => {
          const { Clip, Playhead } = await import("/js/timeline.js");
          return gaps.map((gap) => {
            const [playhead, clip] = [new Playhead(), new Clip()];
            playhead.show(clip, { live: true });
            for (const n of [0, 1]) {
              clip.frames.push({ f: n, t: n * 0.05 });
              playhead.noteArrival(clip.frames.at(-1), n * gap);
            }
            for (let picture = 0; picture < 600; picture++) playhead.advance(1 / 60, gap + picture / 60);
            return clip.end - playhead.t;
          });
        }""",
        [0.05, 0.5, 1.0, 5.0],
    )
    assert left == [0, 0, 0, 0]


def test_a_server_that_is_killed_and_comes_back_is_found_again(start_server, start_viewer, open_page):
    port = free_port_pair()
    server = start_server(f"-carla-rpc-port={port}")
    viewer = start_viewer(f"--carla-port={port}")
    page = open_page(viewer.url)
    page.wait_for("viewer.state === 'watching'")
    server.process.kill()
    page.wait_for("['lost', 'absent'].includes(viewer.state) && !document.querySelector('#notice').hidden")
    start_server(f"-carla-rpc-port={port}", "--town=Minitown")
    page.wait_for("viewer.state === 'watching' && document.querySelector('#notice').hidden")
    page.wait_for("viewer.playhead.clip.frames.length > 2")


def test_a_viewer_that_comes_back_is_found_again(open_world, start_viewer, embedded_server, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    viewer = page.viewer
    viewer.stop()
    page.wait_for("document.querySelector('#state').dataset.state === 'viewer'")
    start_viewer(f"--carla-port={embedded_server[1]}", f"--port={viewer.port}")
    page.wait_for("document.querySelector('#state').dataset.state === 'watching'")
    wait_for_frame(page, world.tick())


def test_a_viewer_that_stands_still_delays_no_tick(open_world, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    viewer = psutil.Process(page.viewer.process.pid)
    stopped = [viewer, *viewer.children(recursive=True)]
    assert len(stopped) >= 2
    for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        frame = world.get_snapshot().frame
        for _ in range(200):
            last = world.tick(PATIENCE)
        assert last == frame + 200
    finally:
        for process in stopped:
            os.kill(process.pid, signal.SIGCONT)
    wait_for_frame(page, last)


def test_nothing_of_a_viewer_outlives_it(open_world, world, hero):
    page = open_world()
    wait_for_frame(page, world.tick())
    below = psutil.Process(page.viewer.process.pid).children(recursive=True)
    assert below
    page.viewer.process.kill()
    _, alive = psutil.wait_procs(below, PATIENCE)
    assert alive == []


def test_controls_change_the_weather_and_leave_the_clock_of_others_alone(open_world, world, hero):
    page = open_world("--controls", width=900)
    wait_for_frame(page, world.tick())
    page.page.select_option("#controls select", "HardRainNoon")
    while world.get_weather().precipitation < 50.0:
        world.tick()
    page.page.click("#controls .pill:has-text('Stop the world')")
    page.wait_for("document.querySelector('#legend').textContent.includes('Another program ticks this world')")
    assert world.get_settings().synchronous_mode
    before = len(world.get_actors().filter("vehicle.*"))
    page.page.click("#controls .pill:has-text('Drive a car')")
    while len(world.get_actors().filter("vehicle.*")) == before:
        world.tick()
    page.viewer.stop()  # takes along what it brought
    while len(world.get_actors().filter("vehicle.*")) > before:
        world.tick()


def test_who_drives_has_a_car_in_the_next_world_too(open_world, carla_client, world):
    page = open_world("--controls", width=900)
    page.wait_for("viewer.state === 'watching'")
    page.page.click("#controls .pill:has-text('Drive a car')")
    shown = "viewer.world.actors.shown.has(viewer.followed)"
    while not page.evaluate(shown):
        world.tick()
    world = carla_client.load_world("Minitown", reset_settings=False)
    while not world.get_actors().filter("vehicle.*"):
        world.tick()
    car = world.get_actors().filter("vehicle.*")[0]
    while not page.evaluate(f"viewer.followed === {car.id} && {shown}"):
        world.tick()


@pytest.mark.parametrize(("width", "height"), [(390, 780), (1600, 900)])
def test_it_fits_phones_and_large_screens_in_both_themes(open_world, world, hero, width, height):
    page = open_world(width=width, height=height, color_scheme="light")
    wait_for_frame(page, world.tick())
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[viewer.world.canvas.clientWidth, viewer.world.canvas.clientHeight]")
    assert min(sizes) > 150
    page.page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.page.keyboard.press("?")
    page.wait_for("document.querySelector('#help').open")
