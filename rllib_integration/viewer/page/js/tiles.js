// Every environment as a small map with its hero's way and its figures; the chosen one is large beside them.

import { el, number, setText } from "./dom.js";
import { theme } from "./palette.js";

const WAY = 160; // places kept of a hero's way
const REACH = 60; // [m] shown around the hero

export class Tiles {
  /** @param app watch(id), plans: town key -> lanes */
  constructor(element, app) {
    this.element = element;
    this.app = app;
    this.tiles = new Map();
    this.known = "";
  }

  /** Takes over what there is. */
  setSources(sources) {
    const listed = sources.filter((source) => source.env || sources.length > 1);
    const key = JSON.stringify(listed.map(({ id, label, run, present, node }) => [id, label, run, present, node]));
    this.element.hidden = listed.length < 2;
    if (key === this.known) return;
    this.known = key;
    const groups = new Map();
    for (const source of listed) {
      const name = source.node ? `${source.run ?? ""} on ${source.node}`.trim() : source.run;
      (groups.get(name) ?? groups.set(name, []).get(name)).push(source);
    }
    this.element.replaceChildren();
    for (const [name, members] of groups) {
      if (groups.size > 1 || name) this.element.append(el("h2", {}, name ?? "This machine"));
      for (const source of members) this.element.append(this.tile(source).element);
    }
  }

  tile(source) {
    let tile = this.tiles.get(source.id);
    if (!tile) {
      const [canvas, name, figure, detail, right] = [el("canvas"), el("b"), el("b.figure"), el("span"), el("span.figure")];
      const element = el("button.tile", { onclick: () => this.app.watch(source.id) }, canvas, el("div.what", {}, name, figure, detail, right));
      tile = { element, canvas, name, figure, detail, right, way: [], episode: null };
      this.tiles.set(source.id, tile);
    }
    tile.source = source;
    setText(tile.name, source.label);
    tile.element.classList.toggle("gone", !source.present);
    setText(tile.detail, !source.present ? "ended" : source.node ? `on ${source.node}` : `port ${source.port}`);
    return tile;
  }

  choose(id) {
    for (const [own, tile] of this.tiles) tile.element.setAttribute("aria-current", String(own === id));
  }

  /** Takes over where all heroes are. */
  update(news) {
    for (const { id, e, n, p, v, g, end, town } of news) {
      const tile = this.tiles.get(id);
      if (!tile || !p) continue;
      if (tile.episode !== e) {
        tile.episode = e;
        tile.way = [];
      }
      const last = tile.way.at(-1);
      if (!last || Math.hypot(p[0] - last[0], p[1] - last[1]) > 0.8) tile.way.push([p[0], p[1]]);
      if (tile.way.length > WAY) tile.way.shift();
      setText(tile.figure, number(g, 1));
      setText(tile.detail, end ? end.replaceAll("_", " ") : `episode ${e} · ${n}`);
      setText(tile.right, `${Math.round((v ?? 0) * 3.6)} km/h`);
      tile.place = p;
      tile.town = this.app.townKeys.get(town);
      this.draw(tile);
    }
  }

  recolour() {
    for (const tile of this.tiles.values()) if (tile.place) this.draw(tile);
  }

  draw({ canvas, way, source, town, place: [x, y, , yaw] }) {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    const palette = theme.scene;
    const scale = (width * ratio) / (2 * REACH);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = palette.terrain;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(scale, 0, 0, scale, canvas.width / 2 - x * scale, canvas.height / 2 - y * scale);
    pen.lineCap = pen.lineJoin = "round";
    const lanes = this.app.plans.get(town ?? source.town);
    if (lanes) {
      pen.strokeStyle = palette.surfaces[0];
      pen.lineWidth = 3.6;
      pen.beginPath();
      for (const lane of lanes) trace(pen, lane, x, y);
      pen.stroke();
    }
    pen.strokeStyle = palette.trail;
    pen.lineWidth = 1.6;
    pen.beginPath();
    way.forEach(([wx, wy], n) => (n ? pen.lineTo(wx, wy) : pen.moveTo(wx, wy)));
    pen.stroke();
    pen.translate(x, y);
    pen.rotate((yaw * Math.PI) / 180);
    pen.fillStyle = palette.hero;
    pen.fillRect(-2.4, -1.1, 4.8, 2.2);
  }
}

/** The parts of a lane that are near. */
function trace(pen, flat, x, y) {
  let isDrawn = false;
  for (let n = 0; n < flat.length; n += 2) {
    const isNear = Math.abs(flat[n] - x) < REACH * 2 && Math.abs(flat[n + 1] - y) < REACH * 2;
    if (isNear && isDrawn) pen.lineTo(flat[n], flat[n + 1]);
    else if (isNear) pen.moveTo(flat[n], flat[n + 1]);
    isDrawn = isNear;
  }
}
