"""What every sensor is: a name, its attributes, a place in the interface and a way to parse its data.

A user's own sensor is one small class. Giving it a `type_id` registers it, so that a configuration can name
it as soon as its module is imported; `type: my_package.my_module:MySensor` imports it by itself::

    class SpeedSensor(PseudoSensor):
        type_id = "sensor.my.speed"

        def compute(self, frame):
            velocity = self.parent.get_velocity()
            return np.array([velocity.length()], np.float32)

        @classmethod
        def space_for(cls, attributes):
            return gymnasium.spaces.Box(0.0, np.inf, (1,), np.float32)

The client's threads only hand raw messages over; parsing happens in the thread that asks for the data, so
messages that are not read cost nothing and an error in `parse` reaches the user.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import carla
import gymnasium

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest
from rllib_integration.sensors.actor_roster import Ask

if TYPE_CHECKING:
    from rllib_integration.roads.routes import Route

logger = logging.getLogger(__name__)

SENSOR_CLASSES: dict[str, type[BaseSensor]] = {}
"""Sensor classes by blueprint id, filled by the classes themselves as they are defined."""

_ON_THE_BEAT = 1.0 - 1e-5
"""Share of a step's length that a simulator is asked to wait. A whole one may be rounded up to a tick more; so much
less adds up to a tick only after a hundred thousand steps, and each episode begins anew."""

_TRUE_WORDS = ("true", "yes", "on", "1")
_FALSE_WORDS = ("false", "no", "off", "0")


def nearest_hint(word: str, allowed: list[str]) -> str:
    """A sentence part that names the allowed word nearest to `word`, or all of them if none is near."""
    near = nearest(word, allowed)
    return f"did you mean '{near}'?" if near else f"allowed are: {', '.join(sorted(allowed))}"


class SensorConfigError(ConfigError, RuntimeError):
    """A sensor's type or attributes can't be used; a `RuntimeError` too, as in the original integration."""


class Interface(Protocol):
    """The members of `SensorInterface` that sensors use; it describes them."""

    cameras_keep_the_beat: ClassVar[bool]
    ask: Ask
    blueprints: carla.BlueprintLibrary | None
    map: carla.Map | None
    memory: Record
    route: Route | None
    ticks_per_step: int

    def register(self, name: str, sensor: BaseSensor) -> None:
        """Add a sensor."""

    def unregister(self, name: str, sensor: BaseSensor | None = None) -> None:
        """Forget a sensor."""

    def push(self, sensor: BaseSensor, frame: int, data: object) -> None:
        """Take a raw message."""

    def wake(self, frame: int) -> None:
        """Look again whether a step of `frame` has everything."""

    def event_came(self) -> None:
        """Look again whether all events have come."""


class BaseSensor:
    """One source of data that a hero carries.

    Attributes:
        name: Key of the sensor in the configuration and in `sensor_data`.
        attributes: The configuration of the sensor without its `type` and `transform`.
        options: Our own options (not blueprint attributes), defaults filled in and converted.
        interface: Where data goes.
        parent: The actor that carries the sensor, usually the hero.
    """

    type_id: ClassVar[str] = ""
    """Blueprint id; giving one in the class body registers the class."""

    OPTIONS: ClassVar[Settings] = {}
    """Options that are no blueprint attributes: name -> default, or a tuple of words of which the first is default."""

    ticks_between_data: int = 1
    """World ticks from one datum to the next; above one, the latest datum is given with its own frame."""

    sends_once_a_step: bool = False
    """Whether the ticks between data are those of a step, so that a step waits for the datum of its last frame."""

    hears_every_frame: ClassVar[bool] = False
    """Whether the sensor has to hear of every tick of a step, not only of the last."""

    asks_server: ClassVar[bool] = False
    """Whether reading the sensor asks the server for anything other than through `interface.ask`."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        type_id = cls.__dict__.get("type_id", "")
        if not type_id:
            return
        known = SENSOR_CLASSES.get(type_id)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise SensorConfigError(
                f"Sensor type '{type_id}' of {cls.__module__}.{cls.__qualname__} is already taken by "
                f"{known.__module__}.{known.__qualname__}: choose another type_id, or name the class in the "
                f"configuration as 'type: {cls.__module__}:{cls.__qualname__}' and give it no type_id of its own."
            )
        SENSOR_CLASSES[type_id] = cls

    def __init__(self, name: str, attributes: Settings, interface: Interface, parent: carla.Actor) -> None:
        self.name = name
        self.attributes = {key: value for key, value in attributes.items() if key not in ("type", "transform")}
        self.options = self.read_options(attributes)
        self.interface = interface
        self.parent = parent
        interface.register(name, self)

    @classmethod
    def read_options(cls, attributes: Settings) -> Record:
        """The values of `OPTIONS` in `attributes`, converted to the type of their defaults.

        Raises:
            SensorConfigError: A value is of the wrong type or not one of the allowed words.
        """
        return {key: _read_option(cls, key, rule, attributes.get(key)) for key, rule in cls.OPTIONS.items()}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        """The Gymnasium space of the parsed data, from the configuration alone (no server is needed)."""
        raise NotImplementedError(f"{cls.__name__} declares no space: override its classmethod space_for().")

    @classmethod
    def prepare(cls, attributes: Settings, carla_map: carla.Map) -> None:
        """Do what takes long and needs no server, such as drawing a town: before, not while a server is waited for."""

    def space(self) -> gymnasium.Space:
        """The Gymnasium space of the parsed data of this sensor."""
        return self.space_for({**self.attributes, **self.options})

    def is_event_sensor(self) -> bool:
        """Whether the sensor speaks only when something happens, so that no tick waits for it."""
        return False

    def parse(self, data: Any) -> Any:
        """Turn a raw message into what `sensor_data` shows; called in the thread that reads the data."""
        raise NotImplementedError(f"{type(self).__name__} has to override parse(data).")

    def is_settled(self, frame: int) -> bool:
        """Whether an event sensor has said all that it will about a frame, where it can know."""
        return True

    def strength(self, data: Any) -> float:
        """How much parsed event data matters: the strongest event of a step stands in `sensor_data`."""
        return 0.0

    def update_sensor(self, data: object, frame: int) -> None:
        """Hand over the raw message of a frame. May be called from any thread."""
        self.interface.push(self, frame, data)

    def callback(self, data: Any) -> None:
        """Receive one message of the simulator (`carla.SensorData`)."""
        self.update_sensor(data, data.frame)

    def destroy(self) -> None:
        """End the sensor and take it out of its interface."""
        self.interface.unregister(self.name, self)

    def abandon(self) -> None:
        """Let go of a simulator that has died, without asking it anything."""


class CarlaSensor(BaseSensor):
    """A sensor actor of the simulator, attached to the parent.

    Its configuration is `{type: <blueprint id>, transform: "x,y,z,roll,pitch,yaw", <attribute>: value...}`:
    metres and degrees in the parent's frame (x forward, y right, z up), attributes as in CARLA's blueprint.

    Raises:
        SensorConfigError: The blueprint is unknown to the simulator, or the transform or an attribute is wrong.
        RuntimeError: The simulator refuses the actor.
    """

    def __init__(self, name: str, attributes: Settings, interface: Interface, parent: carla.Actor) -> None:
        super().__init__(name, attributes, interface, parent)
        self.sensor: carla.Sensor | None = None
        try:
            self._spawn(attributes)
        except BaseException:
            interface.unregister(name, self)
            raise

    def _spawn(self, attributes: Settings) -> None:
        transform = parse_transform(self.name, attributes.get("transform", "0,0,0,0,0,0"))
        world = self.parent.get_world()
        blueprint = self._blueprint(world, attributes)
        delta = world.get_snapshot().timestamp.delta_seconds
        if "sensor_tick" not in attributes and self._only_steps_matter() and delta > 0.0:
            self.sends_once_a_step = True
            self.ticks_between_data = self.interface.ticks_per_step
            blueprint.set_attribute("sensor_tick", str(self.ticks_between_data * delta * _ON_THE_BEAT))
        elif blueprint.has_attribute("sensor_tick") and delta > 0.0:
            interval = float(blueprint.get_attribute("sensor_tick"))
            # Half a per mille is forgiven: 0.1 s at 0.05 s a tick is two ticks also in float32.
            self.ticks_between_data = max(1, math.ceil(interval / delta * (1.0 - 5e-4)))
        self.sensor = cast(carla.Sensor, world.spawn_actor(blueprint, transform, attach_to=self.parent))
        self.sensor.listen(self._receive)

    def _only_steps_matter(self) -> bool:
        """Whether what the sensor would send between the last frames of two steps is not read."""
        return False

    def _receive(self, data: object) -> None:
        """What the client's thread calls with each message."""
        self.callback(data)

    def _blueprint(self, world: carla.World, attributes: Settings) -> carla.ActorBlueprint:
        type_id = self.type_id or str(attributes.get("type", ""))
        library = self.interface.blueprints or world.get_blueprint_library()
        try:
            blueprint = library.find(type_id)
        except IndexError:
            raise SensorConfigError(
                f"Sensor '{self.name}': the simulator has no blueprint '{type_id}'; the sensors it has are: "
                + ", ".join(sorted(b.id for b in library.filter("sensor.*")))
            ) from None
        for key, value in self.attributes.items():
            if key not in self.OPTIONS:
                self._set_attribute(blueprint, str(key), value)
        return blueprint

    def _set_attribute(self, blueprint: carla.ActorBlueprint, key: str, value: object) -> None:
        types = {attribute.id: str(attribute.type).lower() for attribute in blueprint}
        problem = attribute_problem(types, key, value, self.OPTIONS)
        if problem:
            raise SensorConfigError(f"Sensor '{self.name}' ({blueprint.id}){problem}")
        blueprint.set_attribute(key, _attribute_text(value))

    def destroy(self) -> None:
        """Stop listening, destroy the actor and leave the interface. Twice is fine."""
        super().destroy()
        self._let_go()
        sensor, self.sensor = self.sensor, None
        if sensor is None:
            return
        # Also where the actor is gone, with its parent or its world: the listener would wait for it for ever.
        if sensor.is_listening():
            sensor.stop()
        if sensor.is_alive:
            sensor.destroy()

    def _let_go(self) -> None:
        """End what a subclass has begun beside the actor; called once or more."""

    def abandon(self) -> None:
        self._let_go()
        # Stopping is local. Without it the listener keeps the client alive, which reconnects for ever.
        if self.sensor is not None:
            try:
                self.sensor.stop()
            except RuntimeError as error:  # its stream has closed itself at the same moment
                logger.info("Sensor '%s' had stopped listening: %s", self.name, error)


class EventSensor(CarlaSensor):
    """A sensor actor that sends a message only when something happens.

    Attributes:
        heard: How many messages have come.
    """

    heard: int = 0

    def is_event_sensor(self) -> bool:
        return True

    def announced(self) -> int:
        """How many messages the embedded server had sent up to the newest frame that the client has received.

        It tells so if it was started with `--skip-overtaken-frames`: messages and frames come on connections of their
        own, so that a frame can be there before what has happened in it.
        """
        if self.sensor is None:
            return 0
        try:
            return int(self.sensor.get_angular_velocity().x)
        except RuntimeError:  # the actor has been destroyed, and says nothing more
            return 0

    def _receive(self, data: object) -> None:
        try:
            super()._receive(data)
        finally:
            self.heard += 1
            self.interface.event_came()

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        raise TypeError(f"{cls.type_id} reports events with actors or markings in them, which no space describes.")


class PseudoSensor(BaseSensor):
    """A sensor that the library computes itself from what the client already holds, once for each frame asked."""

    asks_server = True
    """Who never asks, or only through `interface.ask`, says False here: such sensors take less time to read."""

    def __init__(self, name: str, attributes: Settings, interface: Interface, parent: carla.Actor) -> None:
        if self.OPTIONS:
            for key in attributes:
                if key not in ("type", "transform") and key not in self.OPTIONS:
                    raise SensorConfigError(
                        f"Sensor '{name}' ({self.type_id}) has no attribute '{key}': "
                        f"{nearest_hint(str(key), list(self.OPTIONS))}"
                    )
        super().__init__(name, attributes, interface, parent)

    def compute(self, frame: int) -> Any:
        """The data of the world frame `frame`, which the client has just received."""
        raise NotImplementedError(f"{type(self).__name__} has to override compute(frame).")


def parse_transform(name: str, text: object) -> carla.Transform:
    """Read a sensor's `"x,y,z,roll,pitch,yaw"` (metres, degrees; the parent's frame).

    Raises:
        SensorConfigError: The text does not hold six numbers.
    """
    parts = [str(part) for part in text] if isinstance(text, (list, tuple)) else str(text).split(",")
    try:
        x, y, z, roll, pitch, yaw = (float(part) for part in parts)
    except ValueError:
        raise SensorConfigError(
            f"Sensor '{name}': transform {text!r} has to be six numbers 'x,y,z,roll,pitch,yaw' (metres, degrees)."
        ) from None
    return carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch=pitch, yaw=yaw, roll=roll))


def attribute_problem(types: Mapping[str, str], key: str, value: object, options: Iterable[str] = ()) -> str:
    """The end of a sentence about an attribute that a blueprint does not take; empty if it does.

    Args:
        types: The blueprint's attributes and their types: bool, int, float, string.
        key: The attribute.
        value: What it is to be.
        options: What else may be given, for the nearest name.
    """
    if key not in types:
        return f" has no attribute '{key}': {nearest_hint(key, [*types, *options])}"
    if not fits_type(types[key], _attribute_text(value)):
        return f": attribute '{key}' is {value!r}, but it has to be of type {types[key]}."
    return ""


def _attribute_text(value: object) -> str:
    """A value as blueprints take it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fits_type(kind: str, text: str) -> bool:
    """Whether a text can be read as the type of a blueprint's attribute: bool, int, float, string."""
    if kind == "bool":
        return text.lower() in ("true", "false")
    if kind == "int":
        return text.lstrip("+-").isdigit()
    if kind == "float":
        return _is_number(text)
    return True


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _read_option(cls: type[BaseSensor], key: str, rule: Any, value: Any) -> Any:
    label = f"Sensor type '{cls.type_id or cls.__name__}': '{key}' is {value!r}, but"
    if isinstance(rule, tuple):
        if value is not None and value not in rule:
            raise SensorConfigError(f"{label} allowed are: {', '.join(map(str, rule))}.")
        return rule[0] if value is None else value
    if value is None or rule is None:
        return rule if value is None else value
    if isinstance(rule, bool):
        if str(value).lower() not in _TRUE_WORDS + _FALSE_WORDS:
            raise SensorConfigError(f"{label} it has to be true or false.")
        return str(value).lower() in _TRUE_WORDS
    if isinstance(rule, (int, float)):
        if isinstance(value, bool) or not _is_number(str(value)):
            raise SensorConfigError(f"{label} it has to be a number.")
        number = float(value)
        if isinstance(rule, int) and number != int(number):
            raise SensorConfigError(f"{label} it has to be a whole number.")
        return type(rule)(number)
    return value
