// The side: what was clicked on, pictures, curves, sensors, events.

import { Chart } from "./curves.js";
import { chosen, clock, el, icon, number, setText, toggle, words } from "./dom.js";
import { lastAt } from "./timeline.js";

const MOST_POINTS = 400; // of a curve on so little room
const MOST_PARTS = 8;

function card(title, kind = "") {
  const body = el("div.body");
  const heading = el("h2", {}, title);
  const tools = el("div");
  const element = el(`section.card${kind}`, {}, el("header", {}, heading, tools), body);
  return { element, body, heading, tools };
}

export class Side {
  /** @param app seek(t), select(id), listen(id, bool), showPicture(name, bool), followActor(id) */
  constructor(element, app) {
    this.app = app;
    this.actor = new ActorCard(app);
    this.pictures = new PictureCard(app);
    this.curves = new CurveCard(app);
    this.sensors = new SensorCard(app);
    this.events = new EventCard(app);
    this.cards = [this.actor, this.pictures, this.curves, this.sensors, this.events];
    element.append(...this.cards.map((one) => one.element));
  }

  update(moment) {
    for (const one of this.cards) one.update(moment);
  }

  recolour() {
    this.curves.recolour();
  }
}

/** What is known of the actor that was clicked on. */
class ActorCard {
  constructor(app) {
    Object.assign(this, card("Actor"));
    this.app = app;
    this.list = el("dl.facts");
    this.follow = el("button.pill", { onclick: () => app.followActor(app.picked) }, icon("car"), "Follow with the camera");
    this.body.append(this.list, el("div", { style: { marginTop: "10px" } }, this.follow));
    this.tools.append(el("button.tool", { title: "Close (Esc)", onclick: () => app.select(0) }, icon("close")));
    this.rows = new Map();
    this.element.id = "actor";
  }

  update({ picked, shown, frame, hero }) {
    const at = shown.get(picked);
    toggle(this.element, Boolean(picked));
    if (!picked) return;
    const about = frame?.about?.find((one) => one.id === picked);
    const actor = at?.actor;
    setText(this.heading, actor ? words(actor.type.split(".").slice(1).join(" ")) : `Actor ${picked}`);
    const facts = { Id: String(picked) };
    if (!at) facts.State = "is not here any more";
    else {
      if (actor) {
        Object.assign(facts, { Type: actor.type, Role: actor.role || "–" });
        facts.Size = `${actor.box.slice(0, 3).map((half) => number(half * 2, 1)).join(" × ")} m`;
      }
      facts.Position = `${number(at.x)}, ${number(at.y)}, ${number(at.z)} m`;
      facts.Heading = `${number(at.yaw, 0)}°`;
      facts.Speed = `${number(at.speed * 3.6)} km/h`;
    }
    if (about) {
      facts.Acceleration = `${number(about.acceleration, 1)} m/s²`;
      facts["Yaw rate"] = `${number(about.turning, 1)} °/s`;
      if (about.control) {
        const [throttle, steer, brake] = about.control;
        facts.Control = `throttle ${number(throttle, 2)}, steer ${number(steer, 2)}, brake ${number(brake, 2)}`;
        facts["Speed limit"] = `${about.limit} km/h`;
      }
      if (about.at_light) facts["At light"] = about.at_light;
    }
    if (picked === hero) facts.Role = `${facts.Role ?? ""} (followed)`;
    for (const [name, text] of Object.entries(facts)) {
      if (!this.rows.has(name)) {
        const value = el("dd");
        this.rows.set(name, value);
        this.list.append(el("dt", {}, name), value);
      }
      setText(this.rows.get(name), text);
    }
    for (const [name, value] of this.rows) {
      toggle(value, name in facts);
      toggle(value.previousElementSibling, name in facts);
    }
  }
}

/** What the agent observes, and the cameras that were switched on. */
class PictureCard {
  constructor(app) {
    Object.assign(this, card("Observation"));
    this.app = app;
    this.place = el("div.pictures");
    this.choices = el("div.rows");
    this.body.append(this.place, this.choices);
    this.shots = new Map();
    this.known = new Map();
    this.element.id = "pictures";
  }

  /** What somebody looks at is drawn; all else costs nothing. */
  update({ clip, frame, watched, sensorName }) {
    const offered = [...clip.pictures.keys()].filter((name) => !name.startsWith("sensor/"));
    for (const name of offered) {
      if (!this.known.has(name)) this.addChoice(name);
    }
    const shown = [...watched].filter((name) => clip.pictures.get(name)?.length);
    const isChoice = offered.length > 1 || offered.some((name) => !watched.has(name));
    toggle(this.choices, isChoice);
    toggle(this.element, shown.length > 0 || isChoice);
    setText(this.heading, offered.length ? "Observation" : "Cameras");
    for (const [name, shot] of this.shots) {
      if (!shown.includes(name)) {
        shot.figure.remove();
        URL.revokeObjectURL(shot.image.src);
        this.shots.delete(name);
      }
    }
    for (const name of shown) this.show(name, clip.pictureAt(name, frame?.f ?? Infinity), sensorName(name));
  }

  addChoice(name) {
    const box = el("input.switch", { type: "checkbox", checked: this.app.watched.has(name) });
    box.onchange = () => this.app.showPicture(name, box.checked);
    const row = el("label.row", {}, el("span.grow", {}, words(name)), box);
    this.known.set(name, row);
    this.choices.append(row);
  }

  show(name, picture, title) {
    if (!picture) return;
    let shot = this.shots.get(name);
    if (!shot) {
      const image = el("img", { alt: title });
      const figure = el("figure.shot", { tabIndex: 0, role: "button", title: "Larger or smaller (Enter)" }, image, el("figcaption", {}, title));
      figure.onclick = () => figure.classList.toggle("large");
      figure.onkeydown = ({ key }) => {
        if (key === "Enter") figure.classList.toggle("large");
        else if (key === "Escape") figure.classList.remove("large");
      };
      shot = { image, figure, picture: null };
      this.shots.set(name, shot);
      this.place.append(figure);
    }
    if (shot.picture === picture) return;
    shot.picture = picture;
    const old = shot.image.src;
    shot.image.src = URL.createObjectURL(new Blob([picture.bytes], { type: picture.form }));
    shot.figure.classList.toggle("small", picture.size[0] < 280);
    if (old) URL.revokeObjectURL(old);
  }
}

/** Speed and control of the hero; of an environment also reward, its parts, return and any figure of `info`. */
class CurveCard {
  constructor(app) {
    Object.assign(this, card("Curves", ".flush"));
    this.app = app;
    this.charts = new Map();
    this.extra = new Set(chosen.get("curves", []));
    this.menu = el("select", { title: "Add a curve", "aria-label": "Add a curve" });
    this.menu.onchange = () => this.add(this.menu.value);
    this.tools.append(this.menu);
    this.offered = "";
    this.element.id = "curves";
    this.due = 0;
  }

  add(name) {
    this.menu.selectedIndex = 0;
    if (!name) return;
    if (this.extra.has(name)) {
      this.extra.delete(name);
      const id = `info ${name}`;
      this.charts.get(id)?.element.remove();
      this.charts.delete(id);
    } else this.extra.add(name);
    chosen.set("curves", [...this.extra]);
    this.offered = "";
  }

  chart(id, title, series, options = {}) {
    const key = series.map(({ label }) => label).join();
    let chart = this.charts.get(id);
    if (chart && chart.key !== key) {
      chart.element.remove();
      chart = null;
    }
    if (!chart) {
      chart = new Chart(title, series, { ...options, seek: (t) => this.app.seek(t + this.app.playhead.clip.offset) });
      chart.key = key;
      this.charts.set(id, chart);
      this.body.append(chart.element);
    }
    return chart;
  }

  update({ clip, t, now, hero }) {
    if (now < this.due) return;
    this.due = now + 0.2;
    const steps = clip.steps;
    toggle(this.element, Boolean(hero) || steps.length > 1);
    this.offer(steps);
    const moment = t - clip.offset;
    if (hero) this.showDriving(clip, t, moment, hero);
    if (steps.length > 1) this.showSteps(clip, steps, t, moment);
    for (const id of ["reward", "return"]) if (this.charts.has(id)) toggle(this.charts.get(id).element, steps.length > 1);
    for (const id of ["speed", "control"]) if (this.charts.has(id)) toggle(this.charts.get(id).element, Boolean(hero));
  }

  showDriving(clip, t, moment, hero) {
    const frames = thinned(clip.frames.filter((frame) => frame.c && frame.hero === hero));
    const x = frames.map((frame) => frame.t - clip.offset);
    const speeds = frames.map((frame) => {
      frame.rows ??= new Map(Array.from(frame.ids, (id, row) => [id, row]));
      const row = frame.rows.get(hero);
      return row === undefined ? null : (frame.turns[3 * row + 2] / 100) * 3.6;
    });
    const at = lastAt(frames, t, (frame) => frame.t);
    const speed = this.chart("speed", "Speed, km/h", [{ label: "speed", colour: 0, digits: 0 }]);
    speed.set([x, speeds], moment);
    speed.tell([speeds[at]]);
    const names = [{ label: "throttle", colour: 0, digits: 2 }, { label: "brake", colour: 5, digits: 2 }, { label: "steer", colour: 2, digits: 2 }];
    const control = this.chart("control", "Control", names, { range: [-1.05, 1.05] });
    const rows = [0, 2, 1].map((part) => frames.map((frame) => frame.c[part]));
    control.set([x, ...rows], moment);
    control.tell(rows.map((row) => row[at]));
  }

  showSteps(clip, all, t, moment) {
    const steps = thinned(all);
    const x = steps.map((step) => step.t - clip.offset);
    const at = lastAt(steps, t, (step) => step.t);
    const parts = [...new Set(steps.flatMap((step) => Object.keys(step.parts ?? {})))].slice(0, MOST_PARTS);
    const names = parts.length > 1 ? parts : ["reward"];
    const reward = this.chart("reward", parts.length > 1 ? "Reward parts" : "Reward", names.map((label, n) => ({ label: words(label), colour: n, digits: 2 })));
    const rows = parts.length > 1 ? parts.map((name) => steps.map((step) => step.parts?.[name] ?? null)) : [steps.map((step) => step.r)];
    reward.set([x, ...rows], moment);
    reward.tell(rows.map((row) => row[at]));
    const sum = this.chart("return", "Return", [{ label: "return", colour: 1, digits: 1 }]);
    const returns = steps.map((step) => step.g);
    sum.set([x, returns], moment);
    sum.tell([returns[at]]);
    for (const name of this.extra) {
      const values = steps.map((step) => step.i?.[name] ?? null);
      if (!values.some((value) => value !== null)) continue;
      const chart = this.chart(`info ${name}`, words(name), [{ label: name, colour: 3, digits: 2 }]);
      chart.set([x, values], moment);
      chart.tell([values[at]]);
    }
  }

  /** What `info` has, to choose from. */
  offer(steps) {
    const names = Object.keys(steps.at(-1)?.i ?? {});
    const key = `${names.join()} ${[...this.extra].join()}`;
    toggle(this.menu, names.length > 0);
    if (key === this.offered || !names.length) return;
    this.offered = key;
    this.menu.replaceChildren(
      el("option", { value: "" }, "Add a curve …"),
      ...names.map((name) => el("option", { value: name }, `${this.extra.has(name) ? "✓ " : ""}${words(name)}`)),
    );
  }

  recolour() {
    for (const chart of this.charts.values()) chart.recolour();
  }
}

/** Not more points than there are pixels for. */
function thinned(list) {
  const every = Math.ceil(list.length / MOST_POINTS);
  return every > 1 ? list.filter((_, n) => n % every === 0 || n === list.length - 1) : list;
}

/** What can be listened to. A simulator works for every listener, so each is off until it is switched on. */
class SensorCard {
  constructor(app) {
    Object.assign(this, card("Sensors"));
    this.app = app;
    this.list = el("div.rows");
    this.body.append(this.list);
    this.key = "";
    this.element.id = "sensors";
    this.readings = new Map();
    this.boxes = new Map();
  }

  update({ sensors, clip }) {
    const key = sensors.map((sensor) => `${sensor.id} ${sensor.name}`).join();
    toggle(this.element, sensors.length > 0);
    for (const event of clip.events.slice(-20)) {
      if (event.what === "reading" && this.readings.has(event.sensor)) setText(this.readings.get(event.sensor), event.text);
    }
    for (const [id, box] of this.boxes) box.checked = this.app.listens.has(id);
    if (key === this.key) return;
    this.key = key;
    this.readings.clear();
    this.boxes.clear();
    this.list.replaceChildren(...sensors.map((sensor) => this.row(sensor)));
  }

  row(sensor) {
    const box = el("input.switch", { type: "checkbox", checked: this.app.listens.has(sensor.id) });
    box.onchange = () => this.app.listen(sensor.id, box.checked);
    const reading = el("small", {}, sensorDetail(sensor));
    this.readings.set(sensor.id, reading);
    this.boxes.set(sensor.id, box);
    const name = el("span.grow", { title: sensor.type }, sensorTitle(sensor), el("br"), reading);
    return el("label.row", {}, name, box);
  }
}

export function sensorTitle(sensor) {
  const kind = words(sensor.type.replace("sensor.", "").replace("camera.", "camera ").replace("other.", "").replace("lidar.", "lidar ").replaceAll(".", " "));
  return sensor.name ? `${words(sensor.name)} · ${kind.toLowerCase()}` : kind;
}

function sensorDetail({ attributes }) {
  if (attributes.image_size_x) return `${attributes.image_size_x} × ${attributes.image_size_y}, ${attributes.fov ?? 90}°`;
  if (attributes.channels) return `${attributes.channels} channels, ${number(Number(attributes.range), 0)} m`;
  if (attributes.range) return `${number(Number(attributes.range), 0)} m`;
  return "";
}

/** What happened, newest first; a click goes there. */
class EventCard {
  constructor(app) {
    Object.assign(this, card("Events"));
    this.app = app;
    this.list = el("div.events");
    this.body.append(this.list);
    this.key = "";
    this.element.id = "events";
  }

  update({ clip }) {
    const events = clip.events.filter((event) => event.what !== "reading");
    toggle(this.element, events.length > 0);
    const key = `${clip.number} ${events.length} ${events.at(-1)?.f}`;
    if (key === this.key) return;
    this.key = key;
    this.list.replaceChildren(
      ...events.slice(-80).reverse().map((event) =>
        el("button.event", { onclick: () => this.app.seek(event.t) }, el("span", {}, clock(event.t - clip.offset)), event.text)),
    );
  }
}
