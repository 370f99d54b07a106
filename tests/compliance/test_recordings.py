"""Recordings are listed, searched and replayed."""

from __future__ import annotations

import carla

from tests.compliance.conftest import beside, run


def test_a_recording_is_listed_and_replayed(client, fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()
    client.start_recorder("compliance.log", True)
    car.apply_control(carla.VehicleControl(throttle=0.6))
    run(fresh_world, 3.0)
    end = car.get_location()
    client.stop_recorder()
    assert f"Create {car.id}: vehicle.tesla.model3" in client.show_recorder_file_info("compliance.log", False)
    car.set_transform(spawn_points[1])
    fresh_world.tick()
    client.replay_file("compliance.log", 0.0, 0.0, 0)
    run(fresh_world, 3.0)
    # Servers differ in whether the replay takes the living car over or spawns its double.
    played = [actor.get_location().distance(end) for actor in fresh_world.get_actors().filter("vehicle.*")]
    client.stop_replayer(False)
    fresh_world.tick()
    assert min(played) < 1.0


def test_a_replay_moves_the_spectator_as_asked(client, fresh_world, spawn, spawn_points):
    spectator = fresh_world.get_spectator()
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()
    client.start_recorder("compliance.log")
    seen = carla.Transform(carla.Location(30.0, 20.0, 60.0), carla.Rotation(pitch=-40.0, yaw=70.0))
    spectator.set_transform(seen)
    run(fresh_world, 1.0)
    client.stop_recorder()
    away = carla.Transform(carla.Location(z=500.0))
    # An actor to follow is followed, whether the spectator's recorded places are ignored or not.
    for ignored, followed, place in ((True, 0, away), (False, 0, seen), (True, car.id, spawn_points[0])):
        client.set_replayer_ignore_spectator(ignored)
        spectator.set_transform(away)
        client.replay_file("compliance.log", 0.0, 0.0, followed)
        run(fresh_world, 0.5)
        assert spectator.get_location().distance(place.location) < (20.0 if followed else 0.1)
        client.stop_replayer(True)
    client.set_replayer_ignore_spectator(True)


def test_a_replay_begins_and_is_paced_as_asked(client, fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    run(fresh_world, 0.5)
    client.start_recorder("compliance.log")
    car.apply_control(carla.VehicleControl(throttle=0.6))
    places = []
    for _ in range(80):
        fresh_world.tick()
        places.append(car.get_location())
    client.stop_recorder()
    car.set_transform(spawn_points[1])
    run(fresh_world, 0.2)
    client.set_replayer_time_factor(2.0)
    client.replay_file("compliance.log", 1.0, 0.0, 0)
    run(fresh_world, 1.0)
    shown = [actor.get_location().distance(places[59]) for actor in fresh_world.get_actors().filter("vehicle.*")]
    client.stop_replayer(False)
    client.set_replayer_time_factor(1.0)
    fresh_world.tick()
    assert min(shown) < 2.0


def test_collisions_and_who_stands_are_found_in_a_recording(client, fresh_world, spawn, car):
    other = spawn("vehicle.audi.tt", beside(car.get_transform(), forward=10.0, up=0.3))
    run(fresh_world, 0.5)
    client.start_recorder("compliance.log", True)
    run(fresh_world, 1.0)
    forward = car.get_transform().get_forward_vector()
    car.set_target_velocity(carla.Vector3D(10.0 * forward.x, 10.0 * forward.y, 0.0))
    run(fresh_world, 2.0)
    client.stop_recorder()
    told = client.show_recorder_collisions("compliance.log", "v", "v")
    assert str(car.id) in told
    assert str(other.id) in told
    assert str(other.id) in client.show_recorder_actors_blocked("compliance.log", 0.5, 1.0)
