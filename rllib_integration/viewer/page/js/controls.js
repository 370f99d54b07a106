// Weather, standing still, single steps, and a car to drive by keyboard or gamepad; for viewers with --controls alone.

import { el, toggle, words } from "./dom.js";

const WEATHERS = ["ClearNoon", "CloudyNoon", "WetNoon", "HardRainNoon", "SoftRainSunset", "ClearSunset", "ClearNight"];
const PERIOD = 50; // [ms] between two looks at keys and gamepad
const KEYS = { w: "up", ArrowUp: "up", s: "down", ArrowDown: "down", a: "left", ArrowLeft: "left", d: "right", ArrowRight: "right", r: "reverse", " ": "brake" };

export class Controls {
  /** @param app connection, hooks, actions; this becomes its `driving` */
  constructor(place, app) {
    this.app = app;
    this.held = new Set();
    this.isDriving = false;
    this.steer = 0;
    const weather = el("select", { "aria-label": "Weather" }, ...WEATHERS.map((name) => el("option", { value: name }, words(name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase()))));
    weather.onchange = () => this.ask({ weather: weather.value });
    const pause = el("button.pill", { onclick: () => this.pause() }, "Stop the world");
    const step = el("button.pill", { onclick: () => this.ask({ step: true }), hidden: true }, "One step");
    const car = el("button.pill.primary", { onclick: () => this.drive(!this.isDriving) }, "Drive a car");
    Object.assign(this, { pauseButton: pause, step, car });
    const body = el("div.body", {}, el("div.badges", {}, car, weather, pause, step), el("p.muted", {}, "Arrows or W A S D, space brakes, R reverses; or a gamepad."));
    this.element = el("section.card", { id: "controls", hidden: true }, el("header", {}, el("h2", {}, "Controls")), body);
    place.prepend(this.element);
    app.hooks.run.push(({ controls, car: id }) => {
      if (controls) toggle(this.element, true);
      if (id && this.isDriving) app.followActor(id);
      if (id === 0) this.leave();
    });
    app.driving = this;
    addEventListener("keyup", (event) => this.held.delete(KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]));
    addEventListener("blur", () => this.held.clear());
    setInterval(() => this.tick(), PERIOD);
  }

  ask(wish) {
    this.app.connection.send({ do: "control", wish });
  }

  pause() {
    this.stands = !this.stands;
    this.pauseButton.textContent = this.stands ? "Let it go on" : "Stop the world";
    toggle(this.step, this.stands);
    this.ask({ pause: this.stands });
  }

  drive(on) {
    const { app } = this;
    if (on && app.isFollowing) app.watchNewest();
    this.held.clear();
    this.isDriving = on;
    this.car.textContent = on ? "Leave the car" : "Drive a car";
    this.ask({ car: on });
    if (on) app.live();
    app.world.canvas.focus(); // space is the brake now, and would else press the button again
    if (on) app.setView("chase");
    else app.followActor(0);
  }

  /** Another world is shown: whoever drives has left the car there. */
  leave() {
    this.isDriving = false;
    this.car.textContent = "Drive a car";
  }

  /** Whether a key is for the car. */
  takes(event) {
    const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!this.isDriving || !name) return false;
    event.preventDefault();
    if (name === "reverse" && !event.repeat) this.isReverse = !this.isReverse;
    this.held.add(name);
    return true;
  }

  tick() {
    if (!this.isDriving) return;
    const pad = navigator.getGamepads?.().find((one) => one);
    const wish = (this.held.has("right") ? 1 : 0) - (this.held.has("left") ? 1 : 0);
    this.steer += Math.max(-0.12, Math.min(0.12, wish * 0.7 - this.steer));
    const isReverse = this.isReverse ? 1 : 0;
    let pedals = [this.held.has("up") ? 0.8 : 0, this.steer, this.held.has("down") || this.held.has("brake") ? 1 : 0];
    if (pad && pad.buttons.concat(pad.axes.map((value) => ({ value }))).some(({ value }) => Math.abs(value) > 0.1)) {
      pedals = [pad.buttons[7]?.value ?? 0, Math.abs(pad.axes[0]) > 0.08 ? pad.axes[0] : 0, pad.buttons[6]?.value ?? 0];
    }
    this.ask({ drive: [...pedals.map((value) => Number(value.toFixed(3))), isReverse] });
  }
}
