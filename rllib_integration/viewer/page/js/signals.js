// Traffic lights by their states, their stop lines, and signs.

import {
  BoxGeometry, BufferAttribute, BufferGeometry, CanvasTexture, CircleGeometry, Color, CylinderGeometry, Group, InstancedMesh,
  MathUtils, Matrix4, Mesh, MeshBasicMaterial, PlaneGeometry, Quaternion, SphereGeometry, SRGBColorSpace, Vector3,
} from "../vendor/three.js";
import { LIGHTS, theme } from "./palette.js";

const HEAD_HEIGHT = 4.6; // [m] of the lowest lamp
const LAMP_SPACING = 0.42;
const LAMPS = ["g", "y", "r"]; // from below
// Colours alone do not say it to everybody: the more a light forbids, the thicker is its line.
const LINE_DEPTH = { r: 1.0, y: 0.7, g: 0.4, o: 0.2, u: 0.2 };
const LINE_HEIGHT = 0.06;
const SIGN_HEIGHT = 2.3;
const UP = new Vector3(0, 1, 0);
const ONE = new Vector3(1, 1, 1);

export class Signals {
  constructor() {
    this.group = new Group();
    this.states = null;
    this.signs = new Group();
    this.group.add(this.signs);
  }

  /** Takes over where lights, stop lines and signs are. */
  place({ head, arrays: [lights, lines, signs] }) {
    this.clear();
    this.count = lights.length / 4;
    this.lines = lines;
    this.addPoles(lights);
    this.addLamps(lights);
    this.addLines();
    head.signs.forEach((kind, n) => this.addSign(kind, signs.subarray(4 * n, 4 * n + 4)));
    this.states = null;
  }

  clear() {
    for (const part of [this.poles, this.heads, this.lamps, this.stopLines]) {
      if (part) {
        this.group.remove(part);
        part.geometry.dispose();
        part.material.dispose();
      }
    }
    this.poles = this.heads = this.lamps = this.stopLines = null;
    this.signs.clear();
  }

  addPoles(lights) {
    const palette = theme.scene;
    const most = Math.max(this.count, 1);
    this.poles = new InstancedMesh(new CylinderGeometry(0.08, 0.1, 1, 6), new MeshBasicMaterial({ color: palette.signPole }), most);
    this.heads = new InstancedMesh(new BoxGeometry(0.35, 1.4, 0.5), new MeshBasicMaterial({ color: palette.housing }), most);
    const matrix = new Matrix4();
    for (let n = 0; n < this.count; n++) {
      const [x, y, z, yaw] = lights.subarray(4 * n, 4 * n + 4);
      const turn = new Quaternion().setFromAxisAngle(UP, MathUtils.degToRad(-yaw));
      this.poles.setMatrixAt(n, matrix.compose(new Vector3(x, z + HEAD_HEIGHT / 2, y), turn, new Vector3(1, HEAD_HEIGHT, 1)));
      this.heads.setMatrixAt(n, matrix.compose(new Vector3(x, z + HEAD_HEIGHT + LAMP_SPACING, y), turn, ONE));
    }
    for (const mesh of [this.poles, this.heads]) {
      mesh.count = this.count;
      this.group.add(mesh);
    }
  }

  addLamps(lights) {
    const most = Math.max(this.count * 3, 1);
    this.lamps = new InstancedMesh(new SphereGeometry(0.24, 8, 6), new MeshBasicMaterial(), most);
    const matrix = new Matrix4();
    for (let n = 0; n < this.count; n++) {
      const [x, y, z] = lights.subarray(4 * n, 4 * n + 3);
      for (let k = 0; k < 3; k++) {
        matrix.makeTranslation(x, z + HEAD_HEIGHT + k * LAMP_SPACING, y);
        this.lamps.setMatrixAt(3 * n + k, matrix);
        this.lamps.setColorAt(3 * n + k, new Color("#333"));
      }
    }
    this.lamps.count = this.count * 3;
    this.group.add(this.lamps);
  }

  addLines() {
    const count = this.lines.length / 6;
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(count * 12), 3));
    geometry.setAttribute("color", new BufferAttribute(new Float32Array(count * 12), 3));
    const indices = [];
    for (let n = 0; n < count; n++) indices.push(4 * n, 4 * n + 1, 4 * n + 2, 4 * n, 4 * n + 2, 4 * n + 3);
    geometry.setIndex(indices);
    const material = new MeshBasicMaterial({ vertexColors: true, side: 2, polygonOffset: true });
    material.polygonOffsetFactor = material.polygonOffsetUnits = -12;
    this.stopLines = new Mesh(geometry, material);
    this.stopLines.renderOrder = 9;
    this.stopLines.frustumCulled = false;
    this.group.add(this.stopLines);
  }

  /** Shows the states of all lights, a letter each. */
  update(states) {
    if (states === this.states || !this.lamps) return;
    this.states = states;
    const colour = new Color();
    for (let n = 0; n < this.count; n++) {
      const state = states[n] ?? "u";
      LAMPS.forEach((lamp, k) => {
        colour.set(LIGHTS[lamp]);
        if (lamp !== state) colour.multiplyScalar(0.12);
        this.lamps.setColorAt(3 * n + k, colour);
      });
    }
    if (this.lamps.instanceColor) this.lamps.instanceColor.needsUpdate = true;
    const { position, color } = this.stopLines.geometry.attributes;
    for (let n = 0; n * 6 < this.lines.length; n++) {
      const [x, y, z, yaw, half, light] = this.lines.subarray(6 * n, 6 * n + 6);
      const state = states[light] ?? "u";
      const [c, s] = [Math.cos(MathUtils.degToRad(yaw)), Math.sin(MathUtils.degToRad(yaw))];
      const depth = LINE_DEPTH[state];
      colour.set(LIGHTS[state]);
      [[0, -1], [0, 1], [-1, 1], [-1, -1]].forEach(([back, side], k) => {
        const [along, aside] = [back * depth, side * half * 0.9];
        position.setXYZ(4 * n + k, x + c * along - s * aside, z + LINE_HEIGHT, y + s * along + c * aside);
        color.setXYZ(4 * n + k, colour.r, colour.g, colour.b);
      });
    }
    position.needsUpdate = color.needsUpdate = true;
  }

  addSign(kind, [x, y, z, yaw]) {
    const face = signFace(kind);
    if (!face) return;
    const turn = MathUtils.degToRad(-yaw);
    const pole = new Mesh(new CylinderGeometry(0.04, 0.04, SIGN_HEIGHT, 5), new MeshBasicMaterial({ color: theme.scene.signPole }));
    pole.position.set(x, z + SIGN_HEIGHT / 2, y);
    face.position.set(x, z + SIGN_HEIGHT + 0.3, y);
    face.rotation.y = turn + Math.PI / 2;
    // From above a sign is a line: a small one lies on the ground, too.
    const ground = signFace(kind);
    ground.rotation.set(-Math.PI / 2, 0, turn + Math.PI / 2);
    ground.position.set(x, z + 0.08, y);
    ground.scale.setScalar(1.2);
    this.signs.add(pole, face, ground);
  }

  recolour() {
    if (!this.poles) return;
    this.poles.material.color.set(theme.scene.signPole);
    this.heads.material.color.set(theme.scene.housing);
  }
}

const textures = new Map();

function signFace(kind) {
  const limit = /speed_limit\.(\d+)/.exec(kind)?.[1];
  const name = limit ? `limit ${limit}` : kind === "traffic.stop" ? "stop" : kind === "traffic.yield" ? "yield" : null;
  if (!name) return null;
  if (!textures.has(name)) textures.set(name, drawSign(name, limit));
  const shape = name === "stop" ? new CircleGeometry(0.48, 8, Math.PI / 8) : name === "yield" ? new PlaneGeometry(1, 0.9) : new CircleGeometry(0.45, 24);
  return new Mesh(shape, new MeshBasicMaterial({ map: textures.get(name), side: 2, transparent: name === "yield" }));
}

function drawSign(name, limit) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const pen = canvas.getContext("2d");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const write = (text, px, colour) => {
    pen.fillStyle = colour;
    pen.font = `700 ${px}px Inter, sans-serif`;
    pen.fillText(text, 64, 68);
  };
  if (name === "yield") {
    const triangle = (inset) => {
      pen.beginPath();
      pen.moveTo(4 + inset * 1.7, 6 + inset);
      pen.lineTo(124 - inset * 1.7, 6 + inset);
      pen.lineTo(64, 122 - inset * 2);
      pen.fill();
    };
    pen.fillStyle = "#c8352b";
    triangle(0);
    pen.fillStyle = "#ffffff";
    triangle(16);
  } else {
    pen.fillStyle = name === "stop" ? "#c8352b" : "#ffffff";
    pen.fillRect(0, 0, 128, 128);
    if (name === "stop") write("STOP", 38, "#ffffff");
    else {
      pen.strokeStyle = "#c8352b";
      pen.lineWidth = 16;
      pen.beginPath();
      pen.arc(64, 64, 54, 0, 2 * Math.PI);
      pen.stroke();
      write(limit, 54, "#20262c");
    }
  }
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  return texture;
}
