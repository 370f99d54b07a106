// What stands over the picture: speed and pedals, the agent's figures, and the state of the connection.

import { $, el, icon, number, setText, toggle, words } from "./dom.js";

/** Speed, pedals, wheel; with an environment also action, reward and return. */
export class Hud {
  constructor(element) {
    this.element = element;
    this.speed = el("b");
    this.gear = el("span.gear");
    this.meters = { throttle: meter(""), brake: meter("brake"), steer: meter("steer") };
    this.figures = el("div.figures");
    this.values = new Map();
    element.append(
      el("div.speed", {}, this.speed, el("span", {}, "km/h"), this.gear),
      el("div.bars", {},
        "Throttle", this.meters.throttle.bar, "Brake", this.meters.brake.bar, "Steering", this.meters.steer.bar),
      this.figures,
    );
  }

  update(frame, hero, step) {
    toggle(this.element, Boolean(hero));
    if (!hero) return;
    setText(this.speed, String(Math.round(hero.speed * 3.6)));
    const [throttle, steer, brake, hand, reverse] = frame.c ?? [0, 0, 0, 0, 0];
    setText(this.gear, hand ? "P" : reverse ? "R" : "");
    fill(this.meters.throttle, 0, throttle);
    fill(this.meters.brake, 0, brake);
    fill(this.meters.steer, Math.min(0.5, 0.5 + steer / 2), Math.max(0.5, 0.5 + steer / 2));
    const shown = step
      ? [["Reward", number(step.r, 2)], ["Return", number(step.g, 1)], ["Step", number(step.n, 0)], ["Action", action(step.a)]]
      : [];
    for (const [name, text] of shown) {
      if (!this.values.has(name)) {
        const value = el("b");
        this.values.set(name, value);
        this.figures.append(el("div", {}, el("span", {}, name), value));
      }
      setText(this.values.get(name), text);
    }
    toggle(this.figures, shown.length > 0);
  }
}

function meter(kind) {
  const part = el("i");
  return { part, bar: el(`div.meter${kind ? `.${kind}` : ""}`, {}, part) };
}

function fill({ part }, from, to) {
  part.style.left = `${(from * 100).toFixed(1)}%`;
  part.style.width = `${((to - from) * 100).toFixed(1)}%`;
}

/** An action in few characters. */
export function action(value) {
  if (value === undefined || value === null) return "–";
  if (Array.isArray(value)) return value.slice(0, 3).map((part) => number(part, 2)).join(" ");
  if (typeof value === "object") return Object.entries(value).slice(0, 2).map(([name, part]) => `${name} ${action(part)}`).join(" ");
  return typeof value === "number" ? (Number.isInteger(value) ? String(value) : number(value, 2)) : String(value);
}

const STATES = {
  connecting: ["warn", "Connecting"],
  watching: ["good", "Live"],
  absent: ["warn", "No simulator"],
  lost: ["warn", "Simulator lost"],
  refused: ["bad", "Refused"],
  elsewhere: ["", "Another machine"],
  ended: ["", "Ended"],
  viewer: ["bad", "Viewer lost"],
  replay: ["", "Replay"],
  none: ["", "Nothing to show"],
};

/** The chip in the bar, and a sentence over the picture where there is something to say. */
export class Status {
  constructor() {
    this.chip = $("#state");
    this.notice = $("#notice");
    this.sentence = el("span");
    this.notice.append(el("i.dot"), this.sentence);
  }

  show(state, sentence = "", { big = false } = {}) {
    const [kind, text] = STATES[state] ?? ["", words(state)];
    this.chip.className = `chip ${kind}`;
    this.chip.dataset.state = state;
    setText(this.chip.lastElementChild, text);
    setText(this.sentence, sentence);
    toggle(this.notice, sentence !== "");
    this.notice.classList.toggle("big", big);
  }
}

/** The town, and the weather as an icon and a word. */
export function tellWeather(weather) {
  const place = $("#fact-weather");
  const [name, text] = weatherWords(weather);
  if (place.dataset.name === name + text) return;
  place.dataset.name = name + text;
  place.replaceChildren(icon(name), text);
}

function weatherWords(weather) {
  if (!weather) return ["sun", ""];
  const isNight = weather.sun_altitude_angle < 0;
  const low = weather.sun_altitude_angle < 20 ? (isNight ? ", night" : ", low sun") : "";
  if (weather.precipitation > 60) return ["rain", `Heavy rain${low}`];
  if (weather.precipitation > 10) return ["rain", `Rain${low}`];
  if (weather.fog_density > 40) return ["fog", `Fog${low}`];
  if (weather.cloudiness > 60) return ["cloud", `Cloudy${low}`];
  const ground = weather.precipitation_deposits > 30 ? ", wet road" : "";
  return isNight ? ["night", `Clear night${ground}`] : ["sun", `${weather.cloudiness > 20 ? "Some clouds" : "Clear"}${low}${ground}`];
}
