// Recorded episodes as tiles, worst first, labelled by what went wrong; a click plays one, without any server.

import { el, number, setText, words } from "./dom.js";
import { unpackAll } from "./messages.js";
import { theme } from "./palette.js";
import { segmented } from "./timebar.js";

const WEIGHTS = { collisions_pedestrian: 5, collisions_vehicle: 4, collisions_static: 3, red_lights_run: 2, stop_signs_run: 1 };
const BAD_ENDS = /left|collision|fell|idle|red_light|lost|timeout|blocked/;
const GOOD_ENDS = /goal|route_done|distance_limit|finished/;

export class Gallery {
  /** @param app play(messages, about), showPage(name), authorization, say(text) */
  constructor(element, app) {
    this.app = app;
    this.element = element;
    this.rows = [];
    this.order = segmented([["Worst first", "worst"], ["Newest first", "newest"]], (order) => this.sort(order), "Order");
    this.heading = el("h1", {}, "Episodes");
    this.grid = el("div.gallery");
    element.append(el("header.head", {}, this.heading, this.order.element), this.grid);
    this.sort("worst");
    app.hooks.run.push((news) => news.replays && app.page === "replays" && this.open());
  }

  async open() {
    const answer = await fetch("replays", { headers: this.app.authorization });
    this.rows = answer.ok ? await answer.json() : [];
    this.sort(this.chosen);
  }

  sort(order) {
    this.chosen = order;
    this.order.choose(order);
    const badness = ({ metrics = {}, end = "" }) =>
      Object.entries(WEIGHTS).reduce((sum, [name, weight]) => sum + weight * (metrics[name] ?? 0), BAD_ENDS.test(end) ? 3 : GOOD_ENDS.test(end) ? -1 : 0);
    const rows = [...this.rows];
    if (order === "worst") rows.sort((a, b) => badness(b) - badness(a) || (a.return ?? 0) - (b.return ?? 0));
    setText(this.heading, rows.length ? `Episodes (${rows.length})` : "Episodes");
    this.grid.replaceChildren(...rows.map((row) => this.tile(row)));
    if (!rows.length) this.grid.append(el("p.empty", {}, "None is recorded yet. Press Keep below the picture, or drive with --record-episodes."));
  }

  tile(row) {
    const canvas = el("canvas", { width: 320, height: 150 });
    drawWay(canvas, row.way ?? []);
    const faults = Object.keys(WEIGHTS).filter((name) => row.metrics?.[name]);
    const badges = faults.map((name) => el("span.badge.bad", {}, `${words(name)} ${row.metrics[name]}`));
    if (row.end) badges.unshift(el(`span.badge${BAD_ENDS.test(row.end) ? ".bad" : GOOD_ENDS.test(row.end) ? ".good" : ""}`, {}, words(row.end)));
    const facts = [row.town, row.return === undefined ? "" : `return ${number(row.return)}`, row.steps ? `${row.steps} steps` : ""];
    const when = new Date(row.saved * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    const what = el("div.what", {}, el("b", {}, row.label ?? "Episode"), el("span", {}, facts.filter(Boolean).join(" · ")),
      el("span", {}, [row.run, when].filter(Boolean).join(" · ")), el("div.badges", {}, ...badges));
    return el("button.tile", { "data-number": String(row.number), onclick: () => this.play(row) }, canvas, what);
  }

  async play(row) {
    const answer = await fetch(`replay/${row.number}`, { headers: this.app.authorization });
    if (!answer.ok) {
      this.app.say("This episode is not there any more.");
      await this.open();
      return;
    }
    this.app.showPage("world");
    this.app.play([...unpackAll(await answer.arrayBuffer())], row);
  }

  recolour() {
    this.sort(this.chosen);
  }
}

/** The hero's way, as large as the tile allows. */
function drawWay(canvas, way) {
  const pen = canvas.getContext("2d");
  const palette = theme.scene;
  pen.fillStyle = palette.terrain;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (way.length < 2) return;
  const [xs, ys] = [way.map(([x]) => x), way.map(([, y]) => y)];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((canvas.width - 40) / Math.max(x1 - x0, 10), (canvas.height - 40) / Math.max(y1 - y0, 10));
  const put = ([x, y]) => [canvas.width / 2 + (x - (x0 + x1) / 2) * scale, canvas.height / 2 + (y - (y0 + y1) / 2) * scale];
  pen.lineJoin = pen.lineCap = "round";
  for (const [width, colour] of [[14, palette.surfaces[0]], [3, palette.trail]]) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.beginPath();
    way.forEach((place, n) => pen[n ? "lineTo" : "moveTo"](...put(place)));
    pen.stroke();
  }
  pen.fillStyle = palette.hero;
  pen.beginPath();
  pen.arc(...put(way.at(-1)), 6, 0, 7);
  pen.fill();
}
