"""Byte layouts of the world stream as packed numpy dtypes, little endian.

A message is one `MESSAGE_HEADER`, then one 119-byte record an actor. All records share their first 65 bytes; the
remaining 54 depend on the kind of actor and are zero where a kind has nothing to say.
"""

from __future__ import annotations

import numpy as np

MESSAGE_HEADER = np.dtype(
    [
        ("length", "<u4"),
        ("stream_type", "<u8"),
        ("frame", "<u8"),
        ("time", "<f8"),
        ("sensor_pose", "<f4", (6,)),
        ("episode_id", "<u8"),
        ("platform_time", "<f8"),
        ("delta_seconds", "<f4"),
        ("map_origin", "<i4", (3,)),
        ("flags", "<u4"),
    ]
)
"""Length prefix, sensor header (48 bytes) and episode header (36 bytes) of a world message."""

FLAG_MAP_CHANGED = 1
FLAG_LIGHT_UPDATE_PENDING = 2

ACTOR_ACTIVE = 1
ACTOR_DORMANT = 2

_POSE_FIELDS = [
    ("id", "<u4"),
    ("state", "u1"),
    ("x", "<f4"),
    ("y", "<f4"),
    ("z", "<f4"),
    ("pitch", "<f4"),
    ("yaw", "<f4"),
    ("roll", "<f4"),
    ("vx", "<f4"),
    ("vy", "<f4"),
    ("vz", "<f4"),
    ("wx", "<f4"),
    ("wy", "<f4"),
    ("wz", "<f4"),
    ("ax", "<f4"),
    ("ay", "<f4"),
    ("az", "<f4"),
]

VEHICLE_RECORD = np.dtype(
    [
        *_POSE_FIELDS,
        ("throttle", "<f4"),
        ("steer", "<f4"),
        ("brake", "<f4"),
        ("hand_brake", "u1"),
        ("reverse", "u1"),
        ("manual_gear_shift", "u1"),
        ("gear", "<i4"),
        ("speed_limit", "<f4"),
        ("traffic_light_state", "u1"),
        ("has_traffic_light", "u1"),
        ("traffic_light_id", "<u4"),
        ("failure_state", "u1"),
        ("unused", "u1", (24,)),
    ]
)
WALKER_RECORD = np.dtype(
    [
        *_POSE_FIELDS,
        ("direction_x", "<f4"),
        ("direction_y", "<f4"),
        ("direction_z", "<f4"),
        ("speed", "<f4"),
        ("jump", "u1"),
        ("unused", "u1", (37,)),
    ]
)
TRAFFIC_LIGHT_RECORD = np.dtype(
    [
        *_POSE_FIELDS,
        ("sign_id", "S32"),
        ("green_time", "<f4"),
        ("yellow_time", "<f4"),
        ("red_time", "<f4"),
        ("elapsed_time", "<f4"),
        ("pole_index", "<u4"),
        ("frozen", "u1"),
        ("light_state", "u1"),
    ]
)
PLAIN_RECORD = np.dtype([*_POSE_FIELDS, ("sign_id", "S32"), ("unused", "u1", (22,))])
"""Props, sensors, controllers, the spectator, and traffic signs (which fill `sign_id`)."""

RECORD_SIZE = 119
assert MESSAGE_HEADER.itemsize == 88
assert {d.itemsize for d in (VEHICLE_RECORD, WALKER_RECORD, TRAFFIC_LIGHT_RECORD, PLAIN_RECORD)} == {RECORD_SIZE}
