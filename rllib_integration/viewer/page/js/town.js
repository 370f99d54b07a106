// A town's geometry: made once from the packed mesh, coloured by the theme.
// CARLA's x, y, z (z up, left-handed) stand as x, z, y in three.js.

import {
  BufferAttribute, BufferGeometry, Color, CylinderGeometry, Group, IcosahedronGeometry, InstancedMesh, Matrix4, Mesh,
  MeshBasicMaterial, Quaternion, Vector3,
} from "../vendor/three.js";
import { theme } from "./palette.js";

const MARKING_WIDTH = 0.13;
const DOUBLE_GAP = 0.14;
const DASH = 3.0;
const DASH_GAP = 4.5;
const SURFACE_HEIGHTS = [0, -0.015, -0.01, 0.02, -0.005, -0.02, -0.04]; // [m] so that what overlaps does not flicker
const MARKING_HEIGHT = 0.03;
const CROSSING_HEIGHT = 0.025;
const TERRAIN_CELL = 9;
const TERRAIN_MARGIN = 140;
const TERRAIN_BELOW = 0.35;
const UP = new Vector3(0, 1, 0);

/** Reads counts, starts and differences back into lines of `width` numbers a point. */
function* lines(counts, starts, differences, width, unit) {
  let at = 0;
  for (let line = 0; line < counts.length; line++) {
    const points = new Float32Array(counts[line] * width);
    const place = starts.slice(line * width, (line + 1) * width);
    for (let n = 0; n < counts[line]; n++) {
      if (n) for (let k = 0; k < width; k++) place[k] += differences[at++];
      for (let k = 0; k < width; k++) points[n * width + k] = place[k] * unit;
    }
    yield points;
  }
}

class Triangles {
  constructor() {
    this.places = [];
    this.indices = [];
    this.colours = null;
  }

  /** A strip between a left and a right edge, each [x, y, z] in CARLA's frame. */
  strip(left, right, count, height) {
    const first = this.places.length / 3;
    for (let n = 0; n < count; n++) {
      for (const edge of [left, right]) {
        this.places.push(edge[3 * n], edge[3 * n + 2] + height, edge[3 * n + 1]);
      }
      if (n) {
        const a = first + 2 * (n - 1);
        this.indices.push(a, a + 1, a + 2, a + 1, a + 3, a + 2);
      }
    }
  }

  quad(a, b, c, d, height) {
    const first = this.places.length / 3;
    for (const [x, y, z] of [a, b, c, d]) this.places.push(x, z + height, y);
    this.indices.push(first, first + 1, first + 2, first, first + 2, first + 3);
  }

  mesh(colour, order) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(this.places), 3));
    geometry.setIndex(new BufferAttribute(new Uint32Array(this.indices), 1));
    const material = new MeshBasicMaterial({ color: colour, side: 2, polygonOffset: true });
    material.polygonOffsetFactor = -order;
    material.polygonOffsetUnits = -order * 2;
    const mesh = new Mesh(geometry, material);
    mesh.renderOrder = order;
    return mesh;
  }
}

export class Town {
  /** @param {{head, arrays}} message the packed mesh */
  constructor({ head, arrays }) {
    this.group = new Group();
    this.name = head.town;
    this.layers = { buildings: [], vegetation: [], markings: [] };
    this.paints = []; // [(palette) => colour, mesh]
    const [kinds, counts, starts, steps, forms, lineCounts, lineStarts, lineSteps, boxes] = arrays;
    this.strips = [...lines(counts, starts, steps, 6, head.unit)];
    this.kinds = kinds;
    this.measure();
    this.addTerrain();
    this.addSurfaces();
    this.addMarkings(forms, [...lines(lineCounts, lineStarts, lineSteps, 3, head.unit)]);
    this.addCrossings(head.crossings);
    this.addBoxes(boxes, head.labels);
    this.recolour();
  }

  measure() {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (const points of this.strips) {
      for (let n = 0; n < points.length; n++) {
        low[n % 3] = Math.min(low[n % 3], points[n]);
        high[n % 3] = Math.max(high[n % 3], points[n]);
      }
    }
    if (!Number.isFinite(low[0])) [low.fill(-50), high.fill(50)];
    this.low = low;
    this.high = high;
    this.centre = low.map((value, axis) => (value + high[axis]) / 2);
    this.radius = Math.hypot(high[0] - low[0], high[1] - low[1]) / 2;
  }

  paint(mesh, colour) {
    this.paints.push([colour, mesh]);
    this.group.add(mesh);
    return mesh;
  }

  addSurfaces() {
    const bySurface = SURFACE_HEIGHTS.map(() => new Triangles());
    this.strips.forEach((points, line) => {
      const count = points.length / 6;
      const left = new Float32Array(count * 3);
      const right = new Float32Array(count * 3);
      for (let n = 0; n < count; n++) {
        left.set(points.subarray(6 * n, 6 * n + 3), 3 * n);
        right.set(points.subarray(6 * n + 3, 6 * n + 6), 3 * n);
      }
      const surface = this.kinds[line];
      bySurface[surface].strip(left, right, count, SURFACE_HEIGHTS[surface]);
    });
    const order = [5, 3, 4, 2, 4, 1, 0]; // driving lanes lie above what they meet
    bySurface.forEach((triangles, surface) => {
      if (triangles.indices.length) this.paint(triangles.mesh("#888", order[surface] + 1), (p) => p.surfaces[surface] ?? p.surfaces[1]);
    });
  }

  addMarkings(forms, all) {
    const byColour = new Map();
    all.forEach((points, line) => {
      const [form, colour] = forms.subarray(2 * line, 2 * line + 2);
      const triangles = byColour.get(colour) ?? byColour.set(colour, new Triangles()).get(colour);
      if (form === 2) {
        this.addLine(triangles, points, DOUBLE_GAP, false);
        this.addLine(triangles, points, -DOUBLE_GAP, false);
      } else this.addLine(triangles, points, 0, form === 1);
    });
    for (const [colour, triangles] of byColour) {
      const mesh = this.paint(triangles.mesh("#fff", 8), (p) => p.markings[colour] ?? p.markings[0]);
      this.layers.markings.push(mesh);
    }
  }

  addLine(triangles, points, aside, isBroken) {
    const half = MARKING_WIDTH / 2;
    let along = 0;
    for (let n = 0; n + 5 < points.length; n += 3) {
      const [x0, y0, z0, x1, y1, z1] = points.subarray(n, n + 6);
      const length = Math.hypot(x1 - x0, y1 - y0);
      if (length < 1e-3) continue;
      const [ux, uy, uz] = [(x1 - x0) / length, (y1 - y0) / length, (z1 - z0) / length];
      const put = (from, to) => {
        const corner = (s, off) => [x0 + ux * s - uy * (aside + off), y0 + uy * s + ux * (aside + off), z0 + uz * s];
        triangles.quad(corner(from, -half), corner(to, -half), corner(to, half), corner(from, half), MARKING_HEIGHT);
      };
      if (!isBroken) put(0, length);
      else {
        const period = DASH + DASH_GAP;
        for (let dash = Math.floor(along / period) * period; dash < along + length; dash += period) {
          const [from, to] = [Math.max(dash - along, 0), Math.min(dash + DASH - along, length)];
          if (to > from) put(from, to);
        }
      }
      along += length;
    }
  }

  addCrossings(crossings) {
    const triangles = new Triangles();
    for (const flat of crossings) {
      if (flat.length !== 12) continue;
      const corners = [0, 3, 6, 9].map((n) => flat.slice(n, n + 3));
      const side = (a, b) => Math.hypot(corners[a][0] - corners[b][0], corners[a][1] - corners[b][1]);
      // Stripes lie along the cars' way: across the longer side of the crossing.
      const [a, b, c, d] = side(0, 1) >= side(1, 2) ? corners : [...corners.slice(1), corners[0]];
      const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
      const between = (p, q, s) => p.map((value, axis) => value + (q[axis] - value) * s);
      for (let at = 0.25; at < length; at += 1.0) {
        const [s, e] = [at / length, Math.min(at + 0.5, length) / length];
        triangles.quad(between(a, b, s), between(a, b, e), between(d, c, e), between(d, c, s), CROSSING_HEIGHT);
      }
    }
    if (triangles.indices.length) {
      this.layers.markings.push(this.paint(triangles.mesh("#fff", 7), (p) => p.crossing));
    }
  }

  /** Ground a little below the roads, and smooth where there are none. */
  addTerrain() {
    const [x0, y0] = [this.low[0] - TERRAIN_MARGIN, this.low[1] - TERRAIN_MARGIN];
    const cell = Math.max(TERRAIN_CELL, (2 * this.radius + 2 * TERRAIN_MARGIN) / 260);
    const columns = Math.ceil((this.high[0] + TERRAIN_MARGIN - x0) / cell) + 1;
    const rows = Math.ceil((this.high[1] + TERRAIN_MARGIN - y0) / cell) + 1;
    const heights = new Float32Array(rows * columns).fill(NaN);
    const note = (x, y, z) => {
      const [j, i] = [(x - x0) / cell, (y - y0) / cell];
      for (let row = Math.floor(i) - 1; row <= Math.ceil(i) + 1; row++) {
        for (let column = Math.floor(j) - 1; column <= Math.ceil(j) + 1; column++) {
          const at = row * columns + column;
          if (!(heights[at] <= z)) heights[at] = z;
        }
      }
    };
    for (const points of this.strips) {
      for (let n = 0; n + 5 < points.length; n += 6) {
        const [ax, ay, az] = [0, 1, 2].map((k) => (points[n + k] + points[n + 3 + k]) / 2);
        note(ax, ay, az);
        if (n + 11 >= points.length) continue;
        const [bx, by, bz] = [6, 7, 8].map((k) => (points[n + k] + points[n + 3 + k]) / 2);
        const pieces = Math.floor(Math.hypot(bx - ax, by - ay) / cell);
        for (let k = 1; k <= pieces; k++) {
          const s = k / (pieces + 1);
          note(ax + (bx - ax) * s, ay + (by - ay) * s, az + (bz - az) * s);
        }
      }
    }
    const known = heights.map((z) => (Number.isNaN(z) ? 0 : 1));
    for (let at = 0; at < heights.length; at++) heights[at] = known[at] ? heights[at] - TERRAIN_BELOW : this.low[2] - TERRAIN_BELOW;
    for (let round = 0; round < 30; round++) {
      for (let row = 1; row < rows - 1; row++) {
        for (let column = 1; column < columns - 1; column++) {
          const at = row * columns + column;
          if (known[at]) continue;
          heights[at] = (heights[at - 1] + heights[at + 1] + heights[at - columns] + heights[at + columns]) / 4;
        }
      }
    }
    const places = new Float32Array(heights.length * 3);
    const indices = [];
    for (let at = 0; at < heights.length; at++) {
      const [row, column] = [Math.floor(at / columns), at % columns];
      places.set([x0 + column * cell, heights[at], y0 + row * cell], 3 * at);
      if (row && column) indices.push(at, at - 1, at - columns, at - 1, at - columns - 1, at - columns);
    }
    const triangles = new Triangles();
    triangles.places = places;
    triangles.indices = indices;
    this.paint(triangles.mesh("#888", 0), (p) => p.terrain);
  }

  addBoxes(boxes, labels) {
    const byLabel = labels.map(() => []);
    for (let n = 0; n < boxes.length; n += 8) byLabel[boxes[n]].push(Array.from(boxes.subarray(n + 1, n + 8), (v) => v / 100));
    const of = (name) => byLabel[labels.indexOf(name)] ?? [];
    this.addBlocks([...of("Buildings"), ...of("Bridge")], (p) => p.building, "buildings");
    this.addBlocks([...of("Walls"), ...of("Static")], (p) => [p.wall, p.wall, p.wall], "buildings");
    this.addBlocks([...of("Fences"), ...of("GuardRail")], (p) => [p.fence, p.fence, p.fence], "buildings");
    this.addTrees(of("Vegetation"));
    this.addPoles(of("Poles"));
  }

  /** Boxes with a lighter top and two shades of sides: no lamp has to be computed. */
  addBlocks(blocks, shades, layer) {
    if (!blocks.length) return;
    const places = [];
    const indices = [];
    const shade = [];
    for (const [x, y, z, ex, ey, ez, yaw] of blocks) {
      const [c, s] = [Math.cos((yaw * Math.PI) / 180), Math.sin((yaw * Math.PI) / 180)];
      const corner = (i, j, k) => [x + c * i * ex - s * j * ey, z + k * ez, y + s * i * ex + c * j * ey];
      const faces = [
        [0, [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
        [1, [-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, -1, 1]],
        [1, [-1, 1, -1], [1, 1, -1], [1, 1, 1], [-1, 1, 1]],
        [2, [-1, -1, -1], [-1, 1, -1], [-1, 1, 1], [-1, -1, 1]],
        [2, [1, -1, -1], [1, 1, -1], [1, 1, 1], [1, -1, 1]],
      ];
      for (const [tone, ...corners] of faces) {
        const first = places.length / 3;
        for (const [i, j, k] of corners) {
          places.push(...corner(i, j, k));
          shade.push(tone);
        }
        indices.push(first, first + 1, first + 2, first, first + 2, first + 3);
      }
    }
    const triangles = new Triangles();
    triangles.places = places;
    triangles.indices = indices;
    const mesh = triangles.mesh("#fff", 0);
    mesh.material.polygonOffset = false;
    mesh.material.vertexColors = true;
    mesh.geometry.setAttribute("color", new BufferAttribute(new Float32Array(places.length), 3));
    mesh.userData.recolour = (palette) => {
      const tones = shades(palette).map((name) => new Color(name));
      const colours = mesh.geometry.attributes.color;
      shade.forEach((tone, n) => colours.setXYZ(n, tones[tone].r, tones[tone].g, tones[tone].b));
      colours.needsUpdate = true;
    };
    this.paint(mesh, null);
    this.layers[layer].push(mesh);
  }

  addTrees(trees) {
    if (!trees.length) return;
    const crowns = new InstancedMesh(new IcosahedronGeometry(1, 1), new MeshBasicMaterial({ vertexColors: true }), trees.length);
    shadeByHeight(crowns.geometry, 0.72, 1.06);
    const tall = trees.filter((tree) => tree[5] > 1.2);
    const trunks = new InstancedMesh(new CylinderGeometry(1, 1, 1, 5), new MeshBasicMaterial(), Math.max(tall.length, 1));
    const matrix = new Matrix4();
    trees.forEach(([x, y, z, ex, ey, ez, yaw], n) => {
      const isTall = ez > 1.2;
      const turn = new Quaternion().setFromAxisAngle(UP, (-yaw * Math.PI) / 180 + n);
      const height = isTall ? ez * 0.72 : ez;
      matrix.compose(new Vector3(x, z + (isTall ? ez * 0.28 : 0), y), turn, new Vector3(ex * 0.95, height, ey * 0.95));
      crowns.setMatrixAt(n, matrix);
    });
    tall.forEach(([x, y, z, ex, , ez], n) => {
      const thick = Math.min(0.3, ex * 0.15);
      matrix.compose(new Vector3(x, z - ez * 0.6, y), new Quaternion(), new Vector3(thick, ez * 0.9, thick));
      trunks.setMatrixAt(n, matrix);
    });
    trunks.count = tall.length;
    this.layers.vegetation.push(this.paint(crowns, (p) => p.tree), this.paint(trunks, (p) => p.trunk));
  }

  addPoles(poles) {
    if (!poles.length) return;
    const mesh = new InstancedMesh(new CylinderGeometry(1, 1, 2, 5), new MeshBasicMaterial(), poles.length);
    const matrix = new Matrix4();
    poles.forEach(([x, y, z, ex, ey, ez], n) => {
      const thick = Math.min(0.12, Math.max(0.05, Math.min(ex, ey)));
      matrix.compose(new Vector3(x, z, y), new Quaternion(), new Vector3(thick, ez, thick));
      mesh.setMatrixAt(n, matrix);
    });
    this.layers.vegetation.push(this.paint(mesh, (p) => p.pole));
  }

  recolour() {
    const palette = theme.scene;
    for (const [colour, mesh] of this.paints) {
      if (colour) mesh.material.color.set(colour(palette));
      else mesh.userData.recolour(palette);
    }
  }

  show(layer, isShown) {
    for (const mesh of this.layers[layer] ?? []) mesh.visible = isShown;
  }

  /** The middle of every driving lane as flat [x, y, x, y, ...] lists, for maps in two dimensions. */
  get plan() {
    this.planned ??= this.strips
      .filter((_, line) => this.kinds[line] === 0)
      .map((points) => {
        const flat = new Float32Array(points.length / 3);
        for (let n = 0; n * 6 < points.length; n++) {
          flat[2 * n] = (points[6 * n] + points[6 * n + 3]) / 2;
          flat[2 * n + 1] = (points[6 * n + 1] + points[6 * n + 4]) / 2;
        }
        return flat;
      });
    return this.planned;
  }

  dispose() {
    for (const [, mesh] of this.paints) {
      mesh.geometry.dispose();
      mesh.material.dispose();
    }
  }
}

/** Darker below, lighter above, as vertex colours that a material's colour multiplies. */
export function shadeByHeight(geometry, low, high) {
  const places = geometry.attributes.position;
  const colours = new Float32Array(places.count * 3);
  for (let n = 0; n < places.count; n++) colours.fill(low + ((high - low) * (places.getY(n) + 1)) / 2, 3 * n, 3 * n + 3);
  geometry.setAttribute("color", new BufferAttribute(colours, 3));
}
