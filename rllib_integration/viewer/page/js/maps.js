// Where a policy drove and where its episodes ended, town by town. Kinds of ends differ in colour and in form.

import { el, words } from "./dom.js";
import { theme } from "./palette.js";

const GOOD = /distance_limit|time_limit|route_done|goal|finished|truncated/;
const COLOURS = { left_lane: 1, off_lane: 1, off_road: 5, collision: 5, red_light: 3, idle: 7, fell: 6, distance_limit: 0, route_done: 2, goal: 2, time_limit: 4 };
const FORMS = ["circle", "cross", "square", "triangle"];
const MARGIN = 14;
const HEIGHT = 300;

export const isGood = (end) => GOOD.test(end);

export class DriveMap {
  /** @param episodes [{track: [x, y][], place: [x, y], end}] in CARLA's frame, m, whose y axis points down, as here */
  constructor(town, episodes, app) {
    this.town = town;
    this.episodes = episodes;
    this.app = app;
    const bad = episodes.filter(({ end }) => !isGood(end)).length;
    const counts = new Map();
    for (const { end } of episodes) counts.set(end, (counts.get(end) ?? 0) + 1);
    this.ends = [...counts.keys()].sort((a, b) => isGood(a) - isGood(b) || counts.get(b) - counts.get(a));
    this.marks = this.ends.map(() => el("canvas", { width: 24, height: 24, "aria-hidden": "true" }));
    const keys = this.ends.map((end, n) => el("span", {}, this.marks[n], `${words(end)} ${counts.get(end)}`));
    this.canvas = el("canvas.map", { role: "img", "aria-label": `${town}: ${episodes.length} episodes, ${bad} ended early` });
    this.element = el("figure", {}, el("figcaption", {}, el("b", {}, town), ` ${episodes.length} episodes, ${bad} ended early`), this.canvas, el("div.ends", {}, ...keys));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  style(end) {
    const n = this.ends.indexOf(end);
    return [theme.series(COLOURS[end] ?? n + 1), FORMS[n % FORMS.length]];
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    if (!width) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(HEIGHT * ratio)];
    const pen = canvas.getContext("2d");
    const palette = theme.scene;
    pen.scale(ratio, ratio);
    pen.fillStyle = palette.terrain;
    pen.fillRect(0, 0, width, HEIGHT);
    const put = this.projection(width);
    const lanes = this.app.plans.get(this.app.townKeys.get(this.town)) ?? [];
    this.stroke(pen, lanes.map((flat) => Array.from({ length: flat.length / 2 }, (_, n) => put([flat[2 * n], flat[2 * n + 1]]))), palette.surfaces[0], 3);
    this.stroke(pen, this.episodes.map(({ track }) => track.map(put)), palette.speed, 1.2);
    for (const good of [true, false]) {
      for (const { place, end } of this.episodes) {
        if (isGood(end) === good && place?.length >= 2) mark(pen, ...put(place), ...this.style(end), good ? 3 : 4.5);
      }
    }
    this.marks.forEach((key, n) => {
      const small = key.getContext("2d");
      small.clearRect(0, 0, 24, 24);
      mark(small, 12, 12, ...this.style(this.ends[n]), 8);
    });
  }

  /** From places in metres to places on the canvas: all that was driven, as large as it goes. */
  projection(width) {
    const places = this.episodes.flatMap(({ track, place }) => [...track, ...(place?.length >= 2 ? [place] : [])]);
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const [x, y] of places) [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    if (!places.length) [x0, y0, x1, y1] = [-1, -1, 1, 1];
    const scale = Math.min((width - 2 * MARGIN) / Math.max(x1 - x0, 40), (HEIGHT - 2 * MARGIN) / Math.max(y1 - y0, 40));
    return ([x, y]) => [width / 2 + (x - (x0 + x1) / 2) * scale, HEIGHT / 2 + (y - (y0 + y1) / 2) * scale];
  }

  stroke(pen, lines, colour, width) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.lineJoin = pen.lineCap = "round";
    pen.beginPath();
    for (const line of lines) line.forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.stroke();
  }
}

function mark(pen, x, y, colour, form, size) {
  pen.fillStyle = pen.strokeStyle = colour;
  pen.lineWidth = size / 2;
  pen.beginPath();
  if (form === "circle") pen.arc(x, y, size, 0, 7);
  else if (form === "square") pen.rect(x - size, y - size, 2 * size, 2 * size);
  else if (form === "triangle") {
    pen.moveTo(x, y - size);
    pen.lineTo(x + size, y + size);
    pen.lineTo(x - size, y + size);
  } else {
    pen.moveTo(x - size, y - size);
    pen.lineTo(x + size, y + size);
    pen.moveTo(x + size, y - size);
    pen.lineTo(x - size, y + size);
    pen.stroke();
    return;
  }
  pen.fill();
}
