"""Pictures of an episode for people: what the hero perceives, with the figures that matter written on it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from rllib_integration.annotations import Action, Settings

if TYPE_CHECKING:
    import carla

    from rllib_integration.sensors import BaseSensor

logger = logging.getLogger(__name__)

_BACKGROUND = (46, 52, 54)  # Tango aluminium 5, as the bird view's road
_RAY, _RAY_END = (52, 101, 164), (252, 233, 79)
_RAYS_ACROSS = 50.0  # [m] that the picture of the rays is wide
_TEXT = (238, 238, 236)
_KMH = 3.6
_FIRST_CHOICES = ("sensor.birdview", "sensor.camera.rgb")


class Picture:
    """Composes the rendered picture of one environment and keeps the episode's figures for it.

    Args:
        width: Of the picture [px].
        height: Of the picture [px].
    """

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self.begin_episode()

    def begin_episode(self) -> None:
        """Forget the last episode's figures."""
        self._action: Action = None
        self._reward = 0.0
        self._return = 0.0
        self._steps = 0

    def note_step(self, action: object, reward: float) -> None:
        """Count a step."""
        self._action = action
        self._reward = reward
        self._return += reward
        self._steps += 1

    @property
    def side(self) -> int:
        """Side of the largest square picture that fits [px]."""
        return min(self._width, self._height)

    def draw(self, view: np.ndarray | None, hero: carla.Actor | None) -> np.ndarray:
        """The picture of the last step.

        Args:
            view: uint8 (H, W, 3), RGB, what is shown; None for nothing.
            hero: Its speed is written on the picture.

        Returns:
            uint8 (height, width, 3), RGB.
        """
        canvas = np.full((self._height, self._width, 3), _BACKGROUND, np.uint8)
        if view is not None:
            _paste(canvas, view)
        self._write(canvas, hero)
        return canvas

    def _write(self, canvas: np.ndarray, hero: carla.Actor | None) -> None:
        speed = hero.get_velocity().length() * _KMH if hero is not None else 0.0
        lines = [
            f"step {self._steps}   speed {speed:.0f} km/h",
            f"action {_action_text(self._action)}",
            f"reward {self._reward:+.2f}   return {self._return:.2f}",
        ]
        scale = max(0.35, min(self._width, self._height) / 900)
        (_, text_height), base = cv2.getTextSize("Ag", cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        spacing = text_height + base + max(2, text_height // 3)
        band = canvas[: min(spacing * len(lines) + text_height // 2, self._height)]
        band[:] = (band * 0.35).astype(np.uint8)
        for row, line in enumerate(lines, 1):
            corner = (text_height, spacing * row - base // 2)
            cv2.putText(canvas, line, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)


def choose_picture(sensor_data: Settings, sensors: Mapping[str, BaseSensor]) -> np.ndarray | None:
    """The sensor picture that tells most: the bird view, then an RGB camera, then any.

    Args:
        sensor_data: Sensor name -> (frame, data).
        sensors: The hero's sensors by name.

    Returns:
        uint8 (H, W, 3), RGB, or None if no sensor gives a picture.
    """
    pictures = {
        sensor.type_id: sensor_data[name][1]
        for name, sensor in reversed(list(sensors.items()))
        if name in sensor_data and _is_picture(sensor_data[name][1]) and sensor.options.get("format") != "masks"
    }
    for type_id in (*_FIRST_CHOICES, *pictures):
        if type_id in pictures:
            return pictures[type_id]
    return None


def choose_camera(sensor_data: Settings, sensors: Mapping[str, BaseSensor]) -> np.ndarray | None:
    """The picture of the first camera, grey ones included, uint8 (H, W, 3), RGB; None without a camera."""
    for name, sensor in sensors.items():
        if sensor.type_id == "sensor.camera.rgb" and name in sensor_data:
            data = sensor_data[name][1]
            return data if data.shape[2] == 3 else np.repeat(data[:, :, :1], 3, axis=2)
    return None


def draw_rays(sensors: Mapping[str, BaseSensor], side: int) -> np.ndarray | None:
    """The rays of the first sensor that has any, seen from above, the hero's front up; uint8 (side, side, 3), RGB."""
    found = [sensor for sensor in sensors.values() if hasattr(sensor, "rays")]
    if not found:
        return None
    pose = found[0].parent.get_transform()
    turn = math.radians(pose.rotation.yaw)
    place = np.array((pose.location.x, pose.location.y))
    lines = found[0].rays().reshape(-1, 2, 2) - place
    ahead = lines @ (math.cos(turn), math.sin(turn))
    aside = lines @ (-math.sin(turn), math.cos(turn))
    pixels = np.stack([side / 2.0 + aside * side / _RAYS_ACROSS, side / 2.0 - ahead * side / _RAYS_ACROSS], axis=2)
    picture = np.full((side, side, 3), _BACKGROUND, np.uint8)
    cv2.polylines(picture, list(pixels.round().astype(np.int32)), False, _RAY, 1, cv2.LINE_AA)
    for x, y in pixels[:, 1].round().astype(int).tolist():
        cv2.circle(picture, (x, y), max(1, side // 150), _RAY_END, -1, cv2.LINE_AA)
    return picture


def side_by_side(views: Sequence[np.ndarray]) -> np.ndarray | None:
    """Pictures in a row, all as high as the highest; None for none."""
    if len(views) < 2:
        return views[0] if views else None
    height = max(view.shape[0] for view in views)
    row = []
    for view in views:
        width = max(1, round(view.shape[1] * height / view.shape[0]))
        row += [cv2.resize(view, (width, height)), np.full((height, max(2, height // 100), 3), _BACKGROUND, np.uint8)]
    return np.concatenate(row[:-1], axis=1)


def _is_picture(data: object) -> bool:
    return isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 3 and data.shape[2] == 3


def _paste(canvas: np.ndarray, view: np.ndarray) -> None:
    """Put a picture into the middle, as large as it fits, its proportions kept."""
    height, width = canvas.shape[:2]
    factor = min(height / view.shape[0], width / view.shape[1])
    size = (max(1, round(view.shape[1] * factor)), max(1, round(view.shape[0] * factor)))
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(view, size, interpolation=smooth)


def _action_text(action: object) -> str:
    if action is None:
        return "-"
    values = np.asarray(action)
    if values.ndim == 0:
        return str(values)
    return np.array2string(values, precision=2, suppress_small=True, max_line_width=60)


class Window:
    """Shows pictures on the display; without a display it says so once and shows nothing.

    Args:
        title: Of the window.
    """

    def __init__(self, title: str) -> None:
        self._root: Any = None
        self._label: Any = None
        self._photo: Any = None
        self._open(title)

    def _open(self, title: str) -> None:
        if os.name == "posix" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            logger.warning("There is no display (DISPLAY is not set), so render_mode 'human' shows nothing.")
            return
        try:
            import tkinter

            self._root = tkinter.Tk()
        except (ImportError, RuntimeError) as error:
            logger.warning("No window can be opened, so render_mode 'human' shows nothing: %s", error)
            return
        self._root.title(title)
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()

    def show(self, picture: np.ndarray) -> None:
        """Show a picture, uint8 (H, W, 3) RGB, and let the window answer its user."""
        if self._root is None:
            return
        import tkinter

        try:
            self._draw(tkinter, picture)
        except tkinter.TclError:  # the display has gone, or its user has ended the window
            self._root = None

    def _draw(self, tkinter: Any, picture: np.ndarray) -> None:
        header = f"P6 {picture.shape[1]} {picture.shape[0]} 255 ".encode()
        self._photo = tkinter.PhotoImage(data=header + picture.tobytes(), format="PPM")
        self._label.configure(image=self._photo)
        self._root.update()

    def close(self) -> None:
        """Close the window. Twice is fine."""
        root, self._root = self._root, None
        if root is not None:
            root.destroy()
