// What is laid over the world: the route, the trail, marks around actors, measured points, painted shapes, names.

import {
  BufferAttribute, BufferGeometry, Color, Group, LineBasicMaterial, LineSegments, MathUtils, Mesh, MeshBasicMaterial, Points, PointsMaterial,
  RingGeometry, Vector3,
} from "../vendor/three.js";
import { el } from "./dom.js";
import { diverging, sequential, TAGS, theme } from "./palette.js";

const ROUTE_WIDTH = 1.4;
const TRAIL_WIDTH = 0.4;
const TRAIL_SECONDS = 30;
const MOST_NAMES = 60;

/** A flat ribbon along a line; its triangles are made anew with every line. */
class Ribbon {
  constructor(width, opacity, order) {
    this.width = width;
    this.material = new MeshBasicMaterial({ transparent: true, opacity, side: 2, depthWrite: false, polygonOffset: true });
    this.material.polygonOffsetFactor = this.material.polygonOffsetUnits = -order * 2;
    this.mesh = new Mesh(new BufferGeometry(), this.material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = order;
  }

  /** @param {number[]} flat x, y, z of CARLA's frame, point after point */
  set(flat, height) {
    const count = flat.length / 3;
    const places = new Float32Array(Math.max(count, 1) * 6);
    const indices = [];
    for (let n = 0; n < count; n++) {
      const [a, b] = [Math.max(n - 1, 0) * 3, Math.min(n + 1, count - 1) * 3];
      const [dx, dy] = [flat[b] - flat[a], flat[b + 1] - flat[a + 1]];
      const length = Math.hypot(dx, dy) || 1;
      const [sx, sy] = [(-dy / length) * this.width * 0.5, (dx / length) * this.width * 0.5];
      const [x, y, z] = [flat[3 * n], flat[3 * n + 1], flat[3 * n + 2] + height];
      places.set([x - sx, z, y - sy, x + sx, z, y + sy], 6 * n);
      if (n) indices.push(2 * n - 2, 2 * n - 1, 2 * n, 2 * n - 1, 2 * n + 1, 2 * n);
    }
    this.mesh.geometry.dispose();
    this.mesh.geometry = new BufferGeometry();
    this.mesh.geometry.setAttribute("position", new BufferAttribute(places, 3));
    this.mesh.geometry.setIndex(indices);
  }
}

export class Overlays {
  /** @param {HTMLElement} names holds the texts that stand over the canvas */
  constructor(names) {
    this.group = new Group();
    this.route = new Ribbon(ROUTE_WIDTH, 0.38, 10);
    this.trail = new Ribbon(TRAIL_WIDTH, 0.6, 11);
    this.heroRing = ring(1, 1.12, 0.9);
    this.pickRing = ring(1, 1.1, 1);
    this.clouds = new Map();
    this.shapes = new Group();
    this.group.add(this.route.mesh, this.trail.mesh, this.heroRing, this.pickRing, this.shapes);
    this.names = names;
    this.labels = [];
    this.texts = [];
    this.shapesKey = "";
    this.options = { route: true, trail: true, names: false, hiddenLayers: new Set() };
    this.recolour();
  }

  recolour() {
    const palette = theme.scene;
    this.route.material.color.set(palette.route);
    this.trail.material.color.set(palette.trail);
    this.heroRing.material.color.set(palette.hero);
    this.pickRing.material.color.set(palette.ring);
  }

  setRoute(places) {
    this.route.set(places ?? [], 0.09);
  }

  /** The hero's way in the last half minute. */
  updateTrail(clip, t, hero) {
    const flat = [];
    if (this.options.trail && hero) {
      let index = clip.around(t)?.index ?? -1;
      let last = null;
      for (; index >= 0 && clip.frames[index].t > t - TRAIL_SECONDS; index--) {
        const frame = clip.frames[index];
        frame.rows ??= new Map(Array.from(frame.ids, (id, row) => [id, row]));
        const row = frame.rows.get(hero);
        if (row === undefined) break;
        const [x, y, z] = frame.places.subarray(4 * row, 4 * row + 3);
        if (last && Math.hypot(x - last[0], y - last[1]) > 25) break; // it was put, not driven
        if (!last || Math.hypot(x - last[0], y - last[1]) > 0.3) {
          flat.push(x, y, z);
          last = [x, y];
        }
      }
    }
    this.trail.set(flat, 0.12);
    this.route.mesh.visible = this.options.route;
  }

  mark(actors, hero, picked) {
    this.putRing(this.heroRing, actors.shown.get(hero));
    this.putRing(this.pickRing, picked && picked !== hero ? actors.shown.get(picked) : null);
  }

  putRing(mesh, at) {
    mesh.visible = Boolean(at?.actor);
    if (!mesh.visible) return;
    const [ex, ey, ez, , , cz] = at.actor.box;
    const size = Math.hypot(ex, ey) * 1.08 + 0.15;
    mesh.position.set(at.x, at.z + (cz < 0.3 ? -ez : 0) + 0.12, at.y);
    mesh.rotation.set(MathUtils.degToRad(at.roll), MathUtils.degToRad(-at.yaw), MathUtils.degToRad(at.pitch), "YZX");
    mesh.scale.setScalar(size);
  }

  // Points of lidars and radars

  updatePoints(clip, frame, names) {
    for (const [name, cloud] of this.clouds) {
      if (!names.includes(name)) {
        this.group.remove(cloud.points);
        cloud.points.geometry.dispose();
        cloud.points.material.dispose();
        this.clouds.delete(name);
      }
    }
    for (const name of names) {
      const scan = clip.pointsAt(name, frame);
      let cloud = this.clouds.get(name);
      if (!cloud) {
        const material = new PointsMaterial({ size: 2.2, sizeAttenuation: false, vertexColors: true });
        cloud = { points: new Points(new BufferGeometry(), material), scan: null };
        cloud.points.frustumCulled = false;
        this.clouds.set(name, cloud);
        this.group.add(cloud.points);
      }
      if (cloud.scan !== scan) {
        cloud.scan = scan;
        cloud.points.geometry.dispose();
        cloud.points.geometry = scan ? scanGeometry(scan) : new BufferGeometry();
        cloud.points.material.size = scan?.style === "velocity" ? 5 : 2.2;
      }
      cloud.points.visible = Boolean(scan);
    }
  }

  // Painted shapes

  updateShapes(shapes, t) {
    const living = livingShapes(shapes, t).filter((shape) => !this.options.hiddenLayers.has(shape.layer));
    const key = living.map((shape) => shape.key).join();
    if (key === this.shapesKey) return;
    this.shapesKey = key;
    for (const child of this.shapes.children) {
      child.geometry.dispose();
      child.material.dispose();
    }
    this.shapes.clear();
    this.texts = living.filter((shape) => shape.shape === "text");
    for (const shape of living) {
      if (shape.shape === "points") this.shapes.add(dots(shape));
      if (shape.shape === "lines") this.shapes.add(strokes(shape), hairlines(shape));
    }
  }

  // Texts over the canvas

  /** @param project gives the place on the canvas of a place of the scene, or null */
  updateNames(actors, hero, picked, project) {
    const wanted = [];
    for (const text of this.texts) {
      const [x, y, z] = text.places;
      wanted.push({ at: project(new Vector3(x, z, y)), text: text.text, colour: text.colour, kind: "shape" });
    }
    for (const [id, at] of actors.shown) {
      if (!at.actor || !(this.options.names || id === picked)) continue;
      const top = at.z + at.actor.box[5] + at.actor.box[2] + 0.6;
      const name = id === hero ? "hero" : at.actor.type.split(".").slice(-1)[0].replaceAll("_", " ");
      const speed = at.speed > 0.3 ? ` · ${Math.round(at.speed * 3.6)} km/h` : "";
      wanted.push({ at: project(new Vector3(at.x, top, at.y)), text: `${name}${speed}`, kind: id === picked ? "picked" : "actor" });
    }
    const shown = wanted.filter((label) => label.at).sort((a, b) => a.at.depth - b.at.depth).slice(0, MOST_NAMES);
    while (this.labels.length < shown.length) {
      const label = el("div.name");
      this.labels.push(label);
      this.names.append(label);
    }
    this.labels.forEach((label, n) => {
      const wish = shown[n];
      label.hidden = !wish;
      if (!wish) return;
      if (label.textContent !== wish.text) label.textContent = wish.text;
      label.className = `name ${wish.kind}`;
      label.style.color = wish.colour ?? "";
      label.style.transform = `translate(${wish.at.x.toFixed(1)}px, ${wish.at.y.toFixed(1)}px) translate(-50%, -100%)`;
    });
  }
}

function ring(inner, outer, opacity) {
  const geometry = new RingGeometry(inner, outer, 40).rotateX(-Math.PI / 2);
  const material = new MeshBasicMaterial({ transparent: true, opacity, side: 2, depthWrite: false, polygonOffset: true });
  material.polygonOffsetFactor = material.polygonOffsetUnits = -40;
  const mesh = new Mesh(geometry, material);
  mesh.renderOrder = 12;
  mesh.visible = false;
  return mesh;
}

function scanGeometry({ offsets, values, origin, unit, style }) {
  const count = values.length;
  const places = new Float32Array(count * 3);
  const colours = new Float32Array(count * 3);
  for (let n = 0; n < count; n++) {
    const [x, y, z] = [0, 1, 2].map((axis) => origin[axis] + offsets[3 * n + axis] * unit);
    places.set([x, z, y], 3 * n);
    const value = values[n] / 100;
    if (style === "tags") colours.set((TAGS[Math.round(value)] ?? TAGS[0]).map((part) => 0.15 + (part / 255) * 0.85), 3 * n);
    else if (style === "velocity") colours.set(diverging(value / 12), 3 * n);
    else colours.set(sequential((value - origin[2] + 2.6) / 6), 3 * n);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(places, 3));
  geometry.setAttribute("color", new BufferAttribute(colours, 3));
  return geometry;
}

/** The shapes that show at a simulated time; each lives from when it was drawn until its end or until it is cleared. */
export function livingShapes(shapes, t) {
  let living = [];
  for (const shape of shapes) {
    if (shape.t !== null && shape.t > t + 1e-3) continue;
    if (shape.shape === "clear") living = living.filter((other) => shape.layer !== null && other.layer !== shape.layer);
    else if (shape.life === null || shape.t === null || t < shape.t + shape.life) living.push(shape);
  }
  return living;
}

/** Points of a size in metres, or, where they have one, in pixels. */
function dots({ places, size, colour, pixels }) {
  const count = places.length / 3;
  const geometry = new BufferGeometry();
  const flipped = new Float32Array(places.length);
  for (let n = 0; n < count; n++) flipped.set([places[3 * n], places[3 * n + 2], places[3 * n + 1]], 3 * n);
  geometry.setAttribute("position", new BufferAttribute(flipped, 3));
  const material = { size: pixels ? Math.min(Math.max(pixels, 4), 60) : size * 1.6, sizeAttenuation: !pixels };
  const points = new Points(geometry, new PointsMaterial({ ...material, color: new Color(colour) }));
  points.frustumCulled = false;
  return points;
}

/** The same lines one pixel wide, so that they show also from afar. */
function hairlines({ places, lengths, colour }) {
  const corners = [];
  let at = 0;
  for (const length of lengths) {
    for (let n = at; n + 1 < at + length; n++) {
      for (const point of [n, n + 1]) corners.push(places[3 * point], places[3 * point + 2], places[3 * point + 1]);
    }
    at += length;
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(corners), 3));
  const mesh = new LineSegments(geometry, new LineBasicMaterial({ color: new Color(colour) }));
  mesh.frustumCulled = false;
  return mesh;
}

/** Lines of a width in metres: flat ribbons, doubled by upright ones so that they show from the side. */
function strokes({ places, lengths, size, colour }) {
  const corners = [];
  const indices = [];
  let at = 0;
  for (const length of lengths) {
    for (let n = at; n + 1 < at + length; n++) {
      const [ax, ay, az, bx, by, bz] = places.subarray(3 * n, 3 * n + 6);
      const run = Math.hypot(bx - ax, by - ay);
      const [sx, sy] = run > 1e-6 ? [(-(by - ay) / run) * size * 0.5, ((bx - ax) / run) * size * 0.5] : [size * 0.5, 0];
      for (const [ox, oy, oz] of [[sx, sy, 0], [0, 0, size * 0.5]]) {
        const first = corners.length / 3;
        corners.push(ax - ox, az - oz, ay - oy, ax + ox, az + oz, ay + oy, bx - ox, bz - oz, by - oy, bx + ox, bz + oz, by + oy);
        indices.push(first, first + 1, first + 2, first + 1, first + 3, first + 2);
      }
    }
    at += length;
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(corners), 3));
  geometry.setIndex(indices);
  const mesh = new Mesh(geometry, new MeshBasicMaterial({ color: new Color(colour), side: 2 }));
  mesh.frustumCulled = false;
  return mesh;
}
