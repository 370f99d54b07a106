"""Reward functions as people write them for AWS DeepRacer: nothing in them knows this project."""

import math


def follow_center_line(params):
    track_width = params["track_width"]
    distance_from_center = params["distance_from_center"]
    if distance_from_center <= 0.1 * track_width:
        reward = 1.0
    elif distance_from_center <= 0.5 * track_width:
        reward = 0.5
    else:
        reward = 1e-3
    return float(reward)


def heading_and_objects(params):
    reward = 1.0
    waypoints = params["waypoints"]
    next_point = waypoints[params["closest_waypoints"][1]]
    prev_point = waypoints[params["closest_waypoints"][0]]
    direction = math.degrees(math.atan2(next_point[1] - prev_point[1], next_point[0] - prev_point[0]))
    diff = abs(direction - params["heading"])
    if diff > 180:
        diff = 360 - diff
    if diff > 10.0:
        reward *= 0.5
    if abs(params["steering_angle"]) > 20.0:
        reward *= 0.8
    if params["objects_distance"]:
        _, next_object = params["closest_objects"]
        gap = abs(params["objects_distance"][next_object] - params["progress"] / 100.0 * params["track_length"])
        if gap < 5.0 and params["objects_left_of_center"][next_object] == params["is_left_of_center"]:
            reward *= 0.2
    return float(reward)


class Memory:
    previous_steps = 0


def with_memory(params):
    reward = 1.0
    if params["steps"] % 100 == 0 and params["progress"] > (params["steps"] / 300) * 100:
        reward += 10.0
    Memory.previous_steps = params["steps"]
    return float(reward)


def returns_nothing(params):
    params["speed"] * 2


def returns_text(params):
    return "1.0"


def asks_for_what_is_not_there(params):
    return params["colour"]


def sometimes_nan(params):
    return math.nan if params["steps"] > 2 else 1.0


not_callable = 3
