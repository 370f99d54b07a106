// Joins the parts: what comes from the viewer, what is chosen, and what is shown of it.

import { $, chosen, setText, toggle } from "./dom.js";
import { canFilm, film } from "./film.js";
import { Hud, Status, tellWeather } from "./hud.js";
import { Kind, unpack } from "./messages.js";
import { World } from "./scene.js";
import { sensorTitle, Side } from "./side.js";
import { Connection } from "./socket.js";
import { Tiles } from "./tiles.js";
import { Timebar } from "./timebar.js";
import { Clip, Playhead } from "./timeline.js";
import { Town } from "./town.js";

const PANEL_SECONDS = 0.1; // between two updates of what is not the picture
const NEXT_SECONDS = 2.5; // [s] before the end of an episode at which the next one is asked for
const REST_SECONDS = 1.2; // for which an episode's last moment is shown
const NO_ACTORS = new Map();
const SAY_SECONDS = 5;
const OF_WORLDS = new Set([Kind.WORLD, Kind.SIGNALS, Kind.ACTORS, Kind.SENSORS, Kind.WEATHER]);

export class App {
  constructor(token) {
    this.token = token;
    this.world = new World($("#canvas"), $("#names"));
    this.playhead = new Playhead();
    this.next = null; // the episode that comes while the last one still plays
    this.hud = new Hud($("#hud"));
    this.status = new Status();
    this.timebar = new Timebar($("#timeline"), this);
    this.watched = new Set(chosen.get("pictures", ["observation"]));
    this.listens = new Set();
    this.side = new Side($("#side"), this);
    this.plans = new Map(); // key of a town's mesh -> its lanes
    this.townKeys = new Map(); // name of a town -> that key
    this.tiles = new Tiles($("#rail"), this);
    this.sources = [];
    this.source = null;
    this.sensors = [];
    this.follows = chosen.get("follow", true);
    this.isFollowing = false;
    this.picked = 0;
    this.followed = 0; // an actor that a person chose to follow instead of the hero
    this.weather = null;
    this.state = "connecting";
    this.reason = "";
    this.replay = null;
    this.panelsDue = 0;
    this.endedAt = 0;
    this.last = performance.now();
    this.pages = new Map();
    this.hooks = { hello: [], run: [] };
    this.stats = { frames: 0, firstPicture: 0, began: performance.now() };
    this.connection = new Connection(token);
    this.connection.addEventListener("open", () => this.onOpen());
    this.connection.addEventListener("closed", () => this.onClosed());
    this.connection.addEventListener("message", ({ data }) => this.receive(data));
    requestAnimationFrame(() => this.loop());
  }

  // What comes

  onOpen() {
    this.isLost = false;
    this.connection.send({ do: "note", tiles: true, pictures: [...this.watched] });
    this.setState("connecting", "");
    this.wanted = this.source?.id ?? null;
    this.source = null;
  }

  onClosed() {
    this.isLost = true;
    this.tellState();
  }

  receive(data) {
    const message = unpack(data);
    const { head } = message;
    switch (message.kind) {
      case Kind.HELLO: return this.onHello(head);
      case Kind.TILES: return this.tiles.update(head.tiles);
      case Kind.RUN: {
        if (head.note) this.say(head.note);
        return this.hooks.run.forEach((hook) => hook(head));
      }
      case Kind.STATE: return this.setState(head.state, head.reason);
    }
    if (this.replay) return undefined; // a recorded episode is shown: the live world is not listened to
    return this.take(message);
  }

  /** Takes a message of a world in, of the one that is watched or of a recorded one. */
  take(message) {
    const { head } = message;
    if (OF_WORLDS.has(message.kind)) {
      if (this.next) return this.next.pending.push(message);
      this.drawn = null; // the moment that is shown may show more now
    }
    switch (message.kind) {
      case Kind.TOWN: return (this.recordedTown = message);
      case Kind.WORLD: return this.onWorld(head);
      case Kind.SIGNALS: return this.world.signals.place(message);
      case Kind.ACTORS: return this.world.actors.describe(head.actors);
      case Kind.SENSORS: return this.onSensors(head.sensors);
      case Kind.WEATHER: return this.onWeather(head.weather);
      case Kind.REPLAY: return this.onStretch(head);
      case Kind.FRAME: return this.onFrame(message);
      case Kind.EPISODE: return this.onEpisode(message);
      case Kind.STEP: return this.onStep(head);
      case Kind.PICTURE: return this.incoming.addPicture(message);
      case Kind.POINTS: return this.incoming.addPoints(message);
      case Kind.EVENT: return this.incoming.addEvent(head);
      case Kind.PAINT: return this.onPaint(message);
    }
    return undefined;
  }

  /** The clip that what comes belongs to. */
  get incoming() {
    return this.next ?? this.playhead.clip;
  }

  onHello(head) {
    this.sources = head.sources;
    this.hello = head;
    this.tiles.setSources(this.sources);
    this.hooks.hello.forEach((hook) => hook(head));
    const own = this.sources.find((source) => source.id === (this.source?.id ?? this.wanted));
    if (this.source) this.source = own ?? this.source;
    else if (this.sources.length) this.watch((own ?? this.sources.find((source) => source.present && !source.away) ?? this.sources[0]).id);
    else this.setState("none", head.nothing ?? "Nothing runs here now. Start a training, or a simulator, and it appears.");
  }

  /** Shows what happens now in the watched world, whatever is chosen for others. */
  watchNewest() {
    this.watch(this.source.id, false);
  }

  watch(id, follow = this.follows) {
    const source = this.sources.find((one) => one.id === id);
    if (!source) return;
    this.leaveReplay();
    this.driving?.leave();
    this.source = source;
    this.wanted = id;
    this.isFollowing = source.env && follow;
    this.forgetWorld();
    this.setState("connecting", "");
    this.connection.send({ do: "watch", source: id, follow: this.isFollowing });
    this.tiles.choose(id);
  }

  /** Nothing of the last world stays: neither its actors nor its pictures nor its points. */
  forgetWorld() {
    this.next = null;
    this.world.actors.forget();
    this.world.signals.clear();
    this.sensors = [];
    this.listens.clear();
    this.followed = 0;
    this.select(0);
    this.weather = null;
    this.showClip(new Clip(), true);
  }

  showClip(clip, live) {
    this.playhead.show(clip, { live });
    this.world.overlays.setRoute(clip.episode?.route);
    this.endedAt = 0;
    this.world.cameras.jump = true; // from one stretch to another there is no way to fly
    this.world.isDirty = true;
    this.drawn = null;
  }

  onWorld(head) {
    this.worldHead = head;
    if (this.source) this.source.town = head.key;
    this.townKeys.set(head.town, head.key);
    setText($("#fact-town"), head.town);
    this.world.actors.forget();
    this.world.signals.clear();
    const isPart = this.replay || (this.isFollowing && this.playhead.clip.number !== null);
    if (!isPart) {
      this.showClip(new Clip(), !this.isFollowing);
      this.next = null;
    }
    const recorded = this.recordedTown;
    this.recordedTown = null;
    if (!recorded || this.townKey === head.key) return this.loadTown(head.key);
    this.townKey = head.key;
    return this.showTown(new Town(recorded), head.key);
  }

  async loadTown(key) {
    if (this.townKey === key) return;
    this.townKey = key;
    try {
      const response = await fetch(`town/${key}`, { headers: this.authorization });
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      const town = new Town(unpack(await response.arrayBuffer()));
      if (this.townKey === key) this.showTown(town, key);
    } catch (error) {
      this.townKey = null;
      console.warn("The town could not be loaded:", error);
    }
  }

  /** Learns the lanes of a town for maps, whatever world is shown; true if they were not known. */
  async learnTown(name, key) {
    this.townKeys.set(name, key);
    if (this.plans.has(key)) return false;
    const response = await fetch(`town/${key}`, { headers: this.authorization });
    if (!response.ok) return false; // it was met on another machine
    const town = new Town(unpack(await response.arrayBuffer()));
    this.plans.set(key, town.plan);
    town.dispose();
    return true;
  }

  showTown(town, key) {
    this.plans.set(key, town.plan);
    this.world.setTown(town);
    this.applyLayers?.();
  }

  get authorization() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  onSensors(sensors) {
    const names = this.sensorNames ?? {};
    this.sensors = sensors.map((sensor) => ({ ...sensor, name: names[sensor.id] }));
    for (const id of this.listens) if (!sensors.some((sensor) => sensor.id === id)) this.listens.delete(id);
  }

  onWeather(weather) {
    this.weather = weather;
    tellWeather(weather);
  }

  /** What follows is another stretch: an episode from its beginning, or a world as it goes on. */
  onStretch(head) {
    if ("ended" in head) {
      this.incoming.ended = true;
      return;
    }
    if (head.source !== undefined && head.source !== this.source?.id) return;
    const clip = new Clip(head.begins);
    clip.pending = [];
    clip.isWhole = head.whole;
    if (head.follow !== undefined) this.isFollowing = head.follow;
    const isIdle = this.playhead.clip.number === null || !this.playhead.clip.frames.length;
    if (head.begins === null) {
      clip.shapes = this.incoming.shapes;
      this.next = null;
      this.showClip(clip, !this.isFollowing);
    } else if (isIdle) {
      this.next = null;
      this.showClip(clip, false);
      this.playhead.speed = chosen.get("speed", 1);
    } else {
      this.playhead.clip.ended = true; // what follows belongs to the next one
      this.next = clip;
    }
  }

  onFrame(message) {
    const clip = this.incoming;
    const frame = clip.addFrame(message, this.playhead.isLive && clip === this.playhead.clip);
    this.stats.frames++;
    if (frame && clip === this.playhead.clip) {
      this.playhead.noteArrival(frame, performance.now() / 1000);
      if (message.head.about || clip.frames.length === 1) this.drawn = null;
    }
  }

  onEpisode({ head, arrays: [route] }) {
    const clip = this.incoming;
    clip.setEpisode({ ...head, route: Array.from(route) });
    if (head.n === 0) clip.offset = head.t;
    this.sensorNames = Object.fromEntries(Object.entries(head.sensors).map(([name, [id]]) => [id, name]));
    this.sensors = this.sensors.map((sensor) => ({ ...sensor, name: this.sensorNames[sensor.id] }));
    if (this.playhead.isLive) clip.offset = head.t;
    if (clip === this.playhead.clip) this.world.overlays.setRoute(clip.episode.route);
  }

  onStep(step) {
    const clip = this.incoming;
    const last = clip.steps.at(-1);
    clip.addStep(step);
    for (const [name, count] of Object.entries(step.m ?? {})) {
      if (count > (last?.e === step.e ? (last?.m?.[name] ?? 0) : 0)) clip.addEvent({ f: step.f, t: step.t, what: name, text: EVENTS[name] ?? name });
    }
    if (step.end) clip.addEvent({ f: step.f, t: step.t, what: "end", text: `Episode ended: ${step.end.replaceAll("_", " ")}` });
  }

  onPaint({ head, arrays: [places] }) {
    const clip = this.incoming;
    const shape = { ...head, places, key: `${head.at} ${this.painted++}` };
    if (head.shape === "clear" && head.t === null) clip.shapes = clip.shapes.filter((other) => head.layer !== null && other.layer !== head.layer);
    else clip.shapes.push(shape);
    if (clip.shapes.length > 5000) clip.shapes.splice(0, 500);
    this.drawn = null;
  }

  painted = 0;

  setState(state, reason) {
    this.state = state;
    this.reason = reason;
    this.tellState();
  }

  tellState() {
    const where = this.source?.port ? `${this.source.host}:${this.source.port}` : "";
    const sentences = {
      absent: `Nothing listens on ${where}. The page goes on by itself when a simulator does.`,
      lost: `The simulator at ${where} has gone, or loads another world. Waiting for it.`,
      refused: this.reason,
      elsewhere: this.reason,
      ended: "This environment has ended. What was seen of it can still be played.",
      none: this.reason,
    };
    if (this.connection?.refused) this.status.show("viewer", "This viewer wants the token: open the address that it printed.", { big: true });
    else if (this.isLost) this.status.show("viewer", "The viewer has gone, or the way to it is broken. Trying again.");
    else if (this.replay) this.status.show("replay");
    else if (this.plays && this.state !== "refused") this.status.show("watching");
    else this.status.show(this.state, sentences[this.state] ?? this.waiting, { big: this.state === "none" });
  }

  /** Whether a followed episode is still played, whatever happens to its world meanwhile. */
  get plays() {
    const { clip, isAtEnd } = this.playhead;
    return this.isFollowing && clip.frames.length > 1 && !isAtEnd;
  }

  /** Goes on with another environment of the run when the watched one has ended, as after a restore. */
  succeed() {
    if (this.replay || this.plays || !this.source?.env) return;
    const own = this.sources.find((source) => source.id === this.source.id);
    const other = own?.present ? null : this.sources.find((source) => source.present && !source.away && source.env && source.run === this.source.run);
    if (other) this.watch(other.id);
  }

  get waiting() {
    const isWaiting = this.isFollowing && this.state === "watching" && !this.playhead.clip.frames.length;
    return isWaiting ? "Waiting for the next episode to begin." : "";
  }

  // What is chosen

  pause() {
    const { playhead } = this;
    if (playhead.isPaused && playhead.isAtEnd && !playhead.isLive) playhead.t = playhead.clip.start;
    playhead.isPaused = !playhead.isPaused;
  }

  seek(t) {
    this.playhead.seek(t);
    this.drawn = null;
  }

  stepFrame(count) {
    const { clip } = this.playhead;
    const at = clip.around(this.playhead.t);
    if (!at) return;
    const index = Math.min(Math.max(at.index + count, 0), clip.frames.length - 1);
    this.seek(clip.frames[index].t);
  }

  live() {
    if (this.replay) return this.leaveReplay(true);
    this.playhead.isPaused = false;
    if (this.isFollowing) this.askNext(true);
    else this.playhead.t = this.playhead.clip.end;
    return undefined;
  }

  setSpeed(speed) {
    this.playhead.speed = speed;
    chosen.set("speed", speed);
  }

  setFollow(follow) {
    this.follows = follow;
    chosen.set("follow", follow);
    if (this.source) this.watch(this.source.id);
  }

  askNext(now) {
    const seen = this.playhead.clip.number;
    if (now && this.next?.frames.length) return this.playNext();
    if (this.asked !== seen || now) {
      this.asked = seen;
      this.connection.send({ do: "next", seen: seen ?? -1 });
    }
    return undefined;
  }

  playNext() {
    const { speed } = this.playhead;
    const clip = this.next;
    this.next = null;
    this.showClip(clip, false);
    for (const message of clip.pending) this.take(message);
    this.playhead.speed = speed;
  }

  /** A sentence for a few seconds. */
  say(text) {
    const place = $("#legend");
    setText(place, text);
    toggle(place, true);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => toggle(place, false), SAY_SECONDS * 1000);
  }

  keep() {
    this.connection.send({ do: "keep", seen: this.playhead.clip.number });
  }

  /** Writes the episode that is shown into an MP4 file, at the present speed. */
  async film() {
    if (this.filming) return this.filming.abort();
    this.filming = new AbortController();
    try {
      await film(this, this.filming.signal);
    } catch (error) {
      this.say(`The film could not be made: ${error.message}`);
    } finally {
      this.filming = null;
      this.drawn = null;
    }
    return undefined;
  }

  select(id) {
    this.picked = id;
    this.drawn = null;
    this.connection?.send({ do: "note", select: [id, this.followed].filter(Boolean) });
  }

  /** Chooses the actor that is the next farther one from the hero than the chosen one. */
  selectNext() {
    const { shown } = this.world.actors;
    const hero = shown.get(this.hero) ?? shown.values().next().value;
    const away = ([, at]) => Math.hypot(at.x - hero.x, at.y - hero.y);
    const ids = [...shown].sort((a, b) => away(a) - away(b)).map(([id]) => id);
    if (ids.length) this.select(ids[(ids.indexOf(this.picked) + 1) % ids.length]);
  }

  followActor(id) {
    this.followed = id;
    this.connection.send({ do: "note", select: [this.picked, id].filter(Boolean) });
    if (this.world.cameras.view === "free") this.setView("chase");
    this.drawn = null;
  }

  listen(id, on) {
    if (on) this.listens.add(id);
    else this.listens.delete(id);
    for (const name of [`sensor/${id}`]) on ? this.watched.add(name) : this.watched.delete(name);
    this.connection.send({ do: "note", listen: [...this.listens] });
    this.drawn = null;
  }

  showPicture(name, on) {
    if (on) this.watched.add(name);
    else this.watched.delete(name);
    const lasting = [...this.watched].filter((one) => !one.startsWith("sensor/"));
    chosen.set("pictures", lasting);
    this.connection.send({ do: "note", pictures: lasting });
  }

  setView(view) {
    this.world.cameras.setView(view);
    chosen.set("view", view);
    this.onView?.(view);
  }

  // Recorded episodes

  /** Plays messages that were recorded. */
  play(messages, replay) {
    this.leaveReplay();
    this.replay = replay;
    this.forgetWorld();
    const clip = new Clip(replay.name);
    clip.isWhole = true;
    this.showClip(clip, false);
    for (const message of messages) if (message.kind !== Kind.REPLAY) this.take(message);
    clip.ended = true;
    this.showClip(clip, false);
    this.playhead.speed = chosen.get("speed", 1);
    this.tellState();
  }

  leaveReplay(resume = false) {
    if (!this.replay) return;
    this.replay = null;
    const source = this.source;
    if (resume && source) this.watch(source.id);
    else if (resume) this.forgetWorld();
    this.tellState();
  }

  // Time goes on

  loop() {
    const now = performance.now();
    const seconds = (now - this.last) / 1000;
    this.last = now;
    try {
      this.tick(seconds, now / 1000);
    } catch (error) {
      console.error(error);
    }
    requestAnimationFrame(() => this.loop());
  }

  tick(seconds, now) {
    if (this.filming) return;
    const moved = this.playhead.advance(seconds, now);
    this.followOn(now);
    const moment = this.playhead.clip.around(this.playhead.t);
    const shown = moment ? `${this.playhead.t} ${moment.from.f} ${moment.to.f}` : "";
    if (moved || shown !== this.drawn) {
      this.drawn = shown;
      this.showMoment(moment);
    }
    const at = this.world.actors.shown.get(this.followed || this.hero);
    const wasDrawn = this.world.render(at, seconds);
    if (wasDrawn) {
      const { overlays, actors, project } = this.world;
      overlays.updateNames(actors, this.hero, this.picked, project);
      if (moment) this.stats.firstPicture ||= now * 1000 - this.stats.began;
    }
    if (now > this.panelsDue && !document.hidden) {
      this.panelsDue = now + PANEL_SECONDS;
      this.updatePanels(moment, now);
    }
  }

  /** Goes from one followed episode to the next. */
  followOn(now) {
    const { playhead } = this;
    if (!this.isFollowing || playhead.isPaused || this.replay || !playhead.clip.ended) return;
    const { next } = this;
    if (next?.ended && next.frames.length < 2) {
      this.next = null; // over before anything of it was seen
      this.connection.send({ do: "next", seen: next.number });
    }
    if (playhead.remaining < NEXT_SECONDS) this.askNext(false);
    if (!playhead.isAtEnd) return;
    this.endedAt ||= now;
    if (this.next?.frames.length > 1 && now - this.endedAt > REST_SECONDS) this.playNext();
  }

  get hero() {
    return this.heroNow ?? 0;
  }

  showMoment(moment) {
    const { actors, signals, overlays } = this.world;
    const { clip, t } = this.playhead;
    if (!moment) {
      actors.update(NOBODY, 0);
      this.heroNow = 0;
    } else {
      this.heroNow = moment.from.hero;
      actors.update(moment, this.hero);
      signals.update(moment.from.lights);
    }
    this.shownAt = t;
    const frame = moment?.from.f ?? 0;
    overlays.updateTrail(clip, t, this.followed || this.hero);
    overlays.mark(actors, this.hero, this.picked);
    overlays.updatePoints(clip, frame, this.pointNames);
    overlays.updateShapes(clip.shapes, t);
    this.world.isDirty = true;
  }

  get pointNames() {
    if (this.replay) return [...this.playhead.clip.points.keys()];
    return this.sensors.filter((sensor) => this.listens.has(sensor.id) && /lidar|radar/.test(sensor.type)).map((sensor) => `sensor/${sensor.id}`);
  }

  updatePanels(moment, now) {
    const { clip, t } = this.playhead;
    const frame = moment?.from;
    const { shown } = this.world.actors;
    this.succeed();
    const own = this.followed ? shown.get(this.followed) : null; // a car that was chosen, rather than the agent's
    const pedals = own ? { c: frame?.about?.find(({ id }) => id === this.followed)?.control } : (frame ?? {});
    this.hud.update(pedals, frame ? (own ?? shown.get(this.hero)) : null, frame && !own ? clip.stepAt(frame.f) : null);
    this.timebar.update({
      playhead: this.playhead, follows: this.isFollowing, canFollow: Boolean(this.source?.env),
      canKeep: Boolean(this.hello?.keeps) && !this.replay && clip.frames.length > 0, isReplay: Boolean(this.replay),
      canFilm: canFilm() && !this.playhead.isLive && clip.frames.length > 1 && clip.ended, isFilming: Boolean(this.filming),
    });
    this.side.update({
      clip, t, now, frame, hero: this.hero, picked: this.picked, shown: frame ? shown : NO_ACTORS, watched: this.watchedPictures,
      sensors: this.replay ? [] : this.sensors, sensorName: (name) => this.pictureTitle(name),
    });
    if ((this.state === "watching" || this.isFollowing) && !this.isLost && !this.replay) this.tellState();
  }

  get watchedPictures() {
    return this.replay ? new Set(this.playhead.clip.pictures.keys()) : this.watched;
  }

  pictureTitle(name) {
    const sensor = this.sensors.find((one) => `sensor/${one.id}` === name);
    return sensor ? sensorTitle(sensor) : name.charAt(0).toUpperCase() + name.slice(1);
  }
}

const NOBODY = {
  from: { ids: new Uint32Array(), places: new Float32Array(), turns: new Int16Array() },
  to: { ids: new Uint32Array(), places: new Float32Array(), turns: new Int16Array() },
  share: 0,
};

const EVENTS = {
  collisions_pedestrian: "Collision with a pedestrian",
  collisions_vehicle: "Collision with a vehicle",
  collisions_static: "Collision with the scenery",
  red_lights_run: "Ran a red light",
  stop_signs_run: "Ran a stop sign",
};
