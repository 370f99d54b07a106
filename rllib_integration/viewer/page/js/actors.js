// Vehicles, walkers and props as instances of a few low-poly bodies, each of the size of its bounding box.

import {
  BufferAttribute, BufferGeometry, Color, DynamicDrawUsage, Euler, Group, InstancedMesh, LineBasicMaterial,
  LineSegments, MathUtils, Matrix4, MeshBasicMaterial, Quaternion, Vector3,
} from "../vendor/three.js";
import { theme } from "./palette.js";

const MOST = 64; // instances at first; doubled when more come
const GLASS = 0.34; // shades, as an eye sees them
const TYRE = 0.14;

/** Collects quads with one shade each; forward is x, up is y, right is z, all from -1 to 1. */
class Body {
  constructor() {
    this.places = [];
    this.shades = [];
  }

  quad(a, b, c, d, shade) {
    this.places.push(...a, ...b, ...c, ...a, ...c, ...d);
    for (let n = 0; n < 6; n++) this.shades.push(shade, shade, shade);
  }

  /** A block whose top may be shorter and narrower than its bottom. `shade` scales all sides, `top` the roof alone. */
  block([x0, x1], [y0, y1], z, { topX = [x0, x1], topZ = z, shade = 1, top = shade, glass = false } = {}) {
    const [front, side, back] = glass ? [shade * 1.15, shade, shade] : [shade * 0.94, shade * 0.82, shade * 0.74];
    const bottom = (x, s) => [x, y0, s * z];
    const upper = (x, s) => [x, y1, s * topZ];
    this.quad(bottom(x1, -1), bottom(x1, 1), upper(topX[1], 1), upper(topX[1], -1), front);
    this.quad(bottom(x0, 1), bottom(x0, -1), upper(topX[0], -1), upper(topX[0], 1), back);
    for (const s of [-1, 1]) this.quad(bottom(x0, s), bottom(x1, s), upper(topX[1], s), upper(topX[0], s), side);
    this.quad(upper(topX[0], -1), upper(topX[1], -1), upper(topX[1], 1), upper(topX[0], 1), top);
  }

  geometry() {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(this.places), 3));
    const linear = Float32Array.from(this.shades, (shade) => shade ** 2.2);
    geometry.setAttribute("color", new BufferAttribute(linear, 3));
    return geometry;
  }
}

function car() {
  const body = new Body();
  for (const x of [-0.62, 0.64]) for (const z of [-1, 1]) wheel(body, x, z * 0.86, 0.17, -0.58, 0.42);
  body.block([-0.985, 0.985], [-0.72, -0.1], 0.97, { topX: [-1, 0.96], topZ: 0.96 });
  body.block([-1, 0.96], [-0.1, 0.12], 0.96, { topX: [-0.97, 0.88], topZ: 0.9, top: 1.06 });
  body.block([-0.86, 0.44], [0.12, 0.86], 0.88, { topX: [-0.6, 0.1], topZ: 0.7, shade: GLASS, glass: true });
  body.block([-0.6, 0.1], [0.86, 0.98], 0.7, { topX: [-0.54, 0.04], topZ: 0.64, top: 1.1 });
  return body.geometry();
}

function van() {
  const body = new Body();
  for (const x of [-0.62, 0.66]) for (const z of [-1, 1]) wheel(body, x, z * 0.88, 0.13, -0.72, 0.28);
  body.block([-1, 1], [-0.8, 0.05], 0.97, { topX: [-1, 0.97], topZ: 0.96 });
  body.block([-0.99, 0.96], [0.05, 0.6], 0.95, { topX: [-0.98, 0.84], topZ: 0.92, shade: GLASS, glass: true });
  body.block([-0.97, 0.5], [0.04, 0.62], 0.965, { topZ: 0.94 });
  body.block([-0.98, 0.84], [0.6, 0.98], 0.93, { topX: [-0.96, 0.76], topZ: 0.9, top: 1.1 });
  return body.geometry();
}

function twoWheeler() {
  const body = new Body();
  for (const x of [-0.62, 0.62]) wheel(body, x, 0, 0.35, -0.62, 0.38, 0.12);
  body.block([-0.6, 0.66], [-0.55, -0.2], 0.2, { topX: [-0.72, 0.5] });
  body.block([0.44, 0.6], [-0.2, 0.15], 0.75, { topX: [0.4, 0.5], topZ: 0.8, shade: 0.5 });
  body.block([-0.36, 0.2], [-0.2, 0.55], 0.55, { topX: [-0.22, 0.22], topZ: 0.65, shade: 0.75 });
  body.block([-0.1, 0.26], [0.58, 1.0], 0.34, { topX: [-0.02, 0.2], topZ: 0.26, shade: 0.55 });
  return body.geometry();
}

function wheel(body, x, z, radius, centre, height, half = 0.13) {
  const corners = 8;
  for (let n = 0; n < corners; n++) {
    const [a, b] = [n, n + 1].map((k) => (2 * Math.PI * k) / corners);
    const rim = (angle, side) => [x + radius * Math.cos(angle), centre + height * Math.sin(angle), z + side * half];
    body.quad(rim(a, -1), rim(b, -1), rim(b, 1), rim(a, 1), TYRE);
    for (const side of [-1, 1]) body.quad([x, centre, z + side * half], rim(a, side), rim(b, side), rim(b, side), TYRE * 1.6);
  }
}

function walker() {
  const body = new Body();
  body.block([-0.4, 0.4], [-1, -0.1], 0.5, { topX: [-0.45, 0.45], topZ: 0.6, shade: 0.62 });
  body.block([-0.5, 0.5], [-0.1, 0.6], 0.75, { topX: [-0.45, 0.4], topZ: 0.85 });
  body.block([-0.36, 0.4], [0.64, 1.0], 0.36, { topX: [-0.3, 0.34], topZ: 0.3, shade: 1.15 });
  return body.geometry();
}

function crate() {
  const body = new Body();
  body.block([-1, 1], [-1, 1], 1);
  return body.geometry();
}

const BODIES = { car, van, twoWheeler, walker, crate };

/** Which body an actor gets. */
export function bodyOf(actor) {
  const base = actor.base.toLowerCase();
  if (actor.type.startsWith("walker")) return "walker";
  if (actor.type.startsWith("static")) return "crate";
  if (actor.wheels === 2 || /motorcycle|bicycle/.test(base)) return "twoWheeler";
  return /truck|van|bus/.test(base) ? "van" : "car";
}

/** The instances of one body. */
class Crowd {
  constructor(kind, group) {
    this.group = group;
    this.geometry = BODIES[kind]();
    this.material = new MeshBasicMaterial({ vertexColors: true, side: 2 });
    this.reserve(MOST);
  }

  reserve(most) {
    if (this.mesh) {
      this.group.remove(this.mesh);
      this.mesh.dispose();
    }
    this.mesh = new InstancedMesh(this.geometry, this.material, most);
    this.mesh.instanceMatrix.setUsage(DynamicDrawUsage);
    this.mesh.setColorAt(0, new Color());
    this.mesh.frustumCulled = false;
    this.mesh.userData.ids = [];
    this.group.add(this.mesh);
    this.most = most;
  }
}

const euler = new Euler();
const quaternion = new Quaternion();
const matrix = new Matrix4();
const place = new Vector3();
const size = new Vector3();
const centre = new Vector3();

export class Actors {
  constructor() {
    this.group = new Group();
    this.known = new Map(); // id -> description
    this.crowds = new Map();
    this.shown = new Map(); // id -> where it is now
    this.options = { speed: true, boxes: false };
    this.speeds = lineSegments(0.85);
    this.boxes = lineSegments(0.7);
    this.group.add(this.speeds, this.boxes);
    this.recolour();
  }

  describe(descriptions) {
    for (const description of descriptions) this.known.set(description.id, description);
    if (this.known.size > 8000) {
      for (const id of this.known.keys()) {
        if (this.known.size < 6000) break;
        if (!this.shown.has(id)) this.known.delete(id);
      }
    }
  }

  forget() {
    this.known.clear();
    this.shown.clear();
  }

  recolour() {
    const palette = theme.scene;
    this.speeds.material.color.set(palette.speed);
    this.boxes.material.color.set(palette.box);
    this.colours = new Map();
  }

  colourOf(actor, isHero) {
    const key = isHero ? -1 : actor.id;
    let known = this.colours.get(key);
    if (!known) {
      const palette = theme.scene;
      if (isHero) known = new Color(palette.hero);
      else if (actor.type.startsWith("walker")) known = new Color(palette.walker);
      else if (actor.type.startsWith("static")) known = new Color(palette.prop);
      else {
        known = new Color(palette.vehicle);
        const own = actor.colour.split(",").map(Number);
        if (own.length === 3) known.lerp(new Color().setRGB(own[0] / 255, own[1] / 255, own[2] / 255, "srgb"), 0.28);
      }
      if (this.colours.size > 4000) this.colours.clear();
      this.colours.set(key, known);
    }
    return known;
  }

  /** Puts every actor of a moment between two frames where it is then. */
  update({ from, to, share }, hero) {
    this.shown = interpolate(from, to, share);
    const counts = new Map();
    const speeds = [];
    const boxes = [];
    for (const [id, at] of this.shown) {
      const actor = this.known.get(id);
      if (!actor) continue;
      at.actor = actor;
      const kind = bodyOf(actor);
      let crowd = this.crowds.get(kind);
      if (!crowd) this.crowds.set(kind, (crowd = new Crowd(kind, this.group)));
      const n = counts.get(crowd) ?? 0;
      if (n === crowd.most) {
        // The mesh is made anew, larger; what was put into it in this round has to be put in again.
        crowd.reserve(crowd.most * 2);
        this.update({ from, to, share }, hero);
        return;
      }
      counts.set(crowd, n + 1);
      this.put(crowd, n, id, actor, at, id === hero);
      if (this.options.speed && at.speed > 0.3) addArrow(speeds, actor, at);
      if (this.options.boxes) addBox(boxes, actor, at);
    }
    for (const crowd of this.crowds.values()) {
      crowd.mesh.count = counts.get(crowd) ?? 0;
      crowd.mesh.instanceMatrix.needsUpdate = true;
      crowd.mesh.instanceColor.needsUpdate = true;
      crowd.mesh.boundingSphere = null;
    }
    setSegments(this.speeds, speeds);
    setSegments(this.boxes, boxes);
  }

  put(crowd, n, id, actor, at, isHero) {
    const [ex, ey, ez, cx, cy, cz] = actor.box;
    euler.set(MathUtils.degToRad(at.roll), MathUtils.degToRad(-at.yaw), MathUtils.degToRad(at.pitch), "YZX");
    quaternion.setFromEuler(euler);
    // CARLA's walkers stand at their middle, its vehicles at their ground: the box's centre says which.
    centre.set(cx, cz, cy).applyQuaternion(quaternion);
    place.set(at.x + centre.x, at.z + centre.y, at.y + centre.z);
    size.set(Math.max(ex, 0.15), Math.max(ez, 0.15), Math.max(ey, 0.15));
    crowd.mesh.setMatrixAt(n, matrix.compose(place, quaternion, size));
    crowd.mesh.setColorAt(n, this.colourOf(actor, isHero));
    crowd.mesh.userData.ids[n] = id;
  }

  /** The id of the actor that a ray meets first, or null. */
  hit(raycaster) {
    let nearest = null;
    for (const { mesh } of this.crowds.values()) {
      if (!mesh.count) continue;
      mesh.computeBoundingSphere();
      const found = raycaster.intersectObject(mesh)[0];
      if (found && (!nearest || found.distance < nearest.distance)) {
        nearest = { distance: found.distance, id: mesh.userData.ids[found.instanceId] };
      }
    }
    return nearest?.id ?? null;
  }
}

/** id -> x, y, z (m), yaw, pitch, roll (degrees), speed (m/s), at a share of the way between two frames. */
export function interpolate(from, to, share) {
  const shown = new Map();
  const rows = (to.rows ??= new Map(Array.from(to.ids, (id, row) => [id, row])));
  for (let row = 0; row < from.ids.length; row++) {
    const id = from.ids[row];
    const [p, q] = [4 * row, 3 * row];
    const at = {
      x: from.places[p], y: from.places[p + 1], z: from.places[p + 2], yaw: from.places[p + 3],
      pitch: from.turns[q] / 100, roll: from.turns[q + 1] / 100, speed: from.turns[q + 2] / 100,
    };
    const next = rows.get(id);
    if (next !== undefined && share > 0) {
      const [a, b] = [4 * next, 3 * next];
      const dx = to.places[a] - at.x;
      const dy = to.places[a + 1] - at.y;
      if (dx * dx + dy * dy < 900) {
        // farther than that it was put, not driven
        at.x += dx * share;
        at.y += dy * share;
        at.z += (to.places[a + 2] - at.z) * share;
        at.yaw += turned(at.yaw, to.places[a + 3]) * share;
        at.pitch += (to.turns[b] / 100 - at.pitch) * share;
        at.roll += turned(at.roll, to.turns[b + 1] / 100) * share;
        at.speed += (to.turns[b + 2] / 100 - at.speed) * share;
      }
    }
    shown.set(id, at);
  }
  return shown;
}

const turned = (from, to) => ((((to - from) % 360) + 540) % 360) - 180;

function lineSegments(opacity) {
  const lines = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ transparent: true, opacity }));
  lines.frustumCulled = false;
  return lines;
}

function setSegments(lines, places) {
  const have = lines.geometry.attributes.position;
  if (!have || have.count * 3 < places.length) {
    const attribute = new BufferAttribute(new Float32Array(Math.max(places.length * 2, 384)), 3);
    attribute.setUsage(DynamicDrawUsage);
    lines.geometry.dispose();
    lines.geometry = new BufferGeometry().setAttribute("position", attribute);
  }
  const attribute = lines.geometry.attributes.position;
  attribute.array.set(places);
  attribute.needsUpdate = true;
  lines.geometry.setDrawRange(0, places.length / 3);
}

/** A line on the ground ahead of an actor, as long as its way in a second. */
function addArrow(places, actor, at) {
  const [c, s] = [Math.cos(MathUtils.degToRad(at.yaw)), Math.sin(MathUtils.degToRad(at.yaw))];
  const [from, height] = [actor.box[0], at.z + (actor.type.startsWith("walker") ? 0.1 - actor.box[2] : 0.25)];
  const to = from + at.speed;
  const point = (along, aside) => [at.x + c * along - s * aside, height, at.y + s * along + c * aside];
  places.push(...point(from, 0), ...point(to, 0));
  const head = Math.min(0.8, at.speed * 0.3);
  for (const side of [-1, 1]) places.push(...point(to, 0), ...point(to - head, side * head * 0.5));
}

const EDGES = [[0, 1], [1, 3], [3, 2], [2, 0], [4, 5], [5, 7], [7, 6], [6, 4], [0, 4], [1, 5], [2, 6], [3, 7]];

function addBox(places, actor, at) {
  const [ex, ey, ez, cx, cy, cz] = actor.box;
  const [c, s] = [Math.cos(MathUtils.degToRad(at.yaw)), Math.sin(MathUtils.degToRad(at.yaw))];
  const corners = [];
  for (const k of [-1, 1]) {
    for (const j of [-1, 1]) {
      for (const i of [-1, 1]) {
        const [x, y] = [cx + i * ex, cy + j * ey];
        corners.push([at.x + c * x - s * y, at.z + cz + k * ez, at.y + s * x + c * y]);
      }
    }
  }
  for (const [a, b] of EDGES) places.push(...corners[a], ...corners[b]);
}
