// Where the scene is looked at from: above, behind, inside, or wherever a person moves it.

import { MapControls, MathUtils, PerspectiveCamera, Vector3 } from "../vendor/three.js";

export const VIEWS = ["top", "chase", "driver", "free"];
const SETTLE = 7; // [1/s] how quickly the camera comes to where it should be
const TOP_HEIGHT = 170;
const WIDE = 55; // [degrees]
const NARROW = 26; // seen from high above, so that houses do not lean over the roads
const CHASE_DISTANCE = 13;

export class Cameras {
  constructor(canvas) {
    this.camera = new PerspectiveCamera(WIDE, 1, 0.3, 4000);
    this.camera.position.set(0, 200, 200);
    this.controls = new MapControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.dampingFactor = 0.15;
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.minDistance = 4;
    this.controls.maxDistance = 2500;
    this.view = "chase";
    this.zoom = { top: 1, chase: 1, driver: 1 };
    this.turn = 0; // [rad] around the hero, by dragging
    this.tilt = 0;
    this.moved = false;
    this.jump = true;
    this.look = new Vector3();
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.watchDrag(canvas);
    this.controls.addEventListener("change", () => (this.moved = true));
  }

  setView(view) {
    this.view = view;
    this.jump = view !== "free";
    this.turn = this.tilt = 0;
    this.camera.fov = view === "top" ? NARROW : WIDE;
    this.camera.updateProjectionMatrix();
    this.moved = true;
  }

  onWheel(event) {
    if (this.view === "free") return;
    event.preventDefault();
    this.come(Math.exp(event.deltaY * 0.0012));
  }

  /** Changes the distance by a factor. */
  come(factor) {
    if (this.view === "free") {
      const { target } = this.controls;
      this.camera.position.sub(target).multiplyScalar(factor).add(target);
    } else this.zoom[this.view] = MathUtils.clamp(this.zoom[this.view] * factor, 0.25, 8);
    this.moved = true;
  }

  watchDrag(canvas) {
    let last = null;
    const pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      last = event;
    });
    window.addEventListener("pointerup", (event) => {
      pointers.delete(event.pointerId);
      last = null;
    });
    window.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId) || this.view === "free") return;
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        const before = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        pointers.set(event.pointerId, event);
        const [c, d] = [...pointers.values()];
        const after = Math.hypot(c.clientX - d.clientX, c.clientY - d.clientY);
        if (after > 0) this.zoom[this.view] = MathUtils.clamp((this.zoom[this.view] * before) / after, 0.25, 8);
      } else if (last && this.view === "chase") {
        this.turn -= (event.clientX - last.clientX) * 0.006;
        this.tilt = MathUtils.clamp(this.tilt + (event.clientY - last.clientY) * 0.004, -0.25, 1);
      }
      last = event;
      this.moved = true;
    });
  }

  /** Looks at all of a town, as long as there is nobody to follow. */
  overlook(town) {
    const distance = Math.max(town.radius * 1.15, 60);
    const [x, y, z] = town.centre;
    this.controls.target.set(x, z, y);
    this.camera.position.set(x, z + distance * 0.95, y + distance * 0.75);
    this.moved = this.jump = true;
  }

  /** Keeps up with the hero; true if the picture has changed. */
  follow(at, seconds) {
    const wasMoved = this.moved;
    this.moved = false;
    if (this.view === "free" || !at) {
      this.controls.enabled = true;
      this.camera.up.set(0, 1, 0);
      return this.controls.update() || wasMoved;
    }
    this.controls.enabled = false;
    const { goal, look, up } = this[this.view](at);
    const share = this.jump || this.view === "driver" ? 1 : 1 - Math.exp(-SETTLE * seconds);
    const jumped = this.camera.position.distanceTo(goal) > 150;
    this.camera.position.lerp(goal, jumped ? 1 : share);
    this.look.lerp(look, jumped ? 1 : share);
    this.camera.up.copy(up);
    this.camera.lookAt(this.look);
    this.controls.target.copy(this.look);
    this.jump = false;
    const settled = this.camera.position.distanceTo(goal) < 0.02 && this.look.distanceTo(look) < 0.02;
    return wasMoved || !settled;
  }

  top(at) {
    const height = TOP_HEIGHT * this.zoom.top;
    const look = new Vector3(at.x, at.z, at.y);
    return { goal: new Vector3(at.x, at.z + height, at.y), look, up: new Vector3(0, 0, -1) };
  }

  chase(at) {
    const yaw = MathUtils.degToRad(at.yaw) + this.turn;
    const distance = CHASE_DISTANCE * this.zoom.chase;
    const pitch = MathUtils.clamp(0.36 + this.tilt, 0.05, 1.5);
    const [back, height] = [distance * Math.cos(pitch), distance * Math.sin(pitch) + 1.2];
    const goal = new Vector3(at.x - Math.cos(yaw) * back, at.z + height, at.y - Math.sin(yaw) * back);
    const ahead = Math.min(6, distance * 0.35);
    const look = new Vector3(at.x + Math.cos(yaw) * ahead, at.z + 1.2, at.y + Math.sin(yaw) * ahead);
    return { goal, look, up: new Vector3(0, 1, 0) };
  }

  driver(at) {
    const yaw = MathUtils.degToRad(at.yaw);
    const [ex, , ez, cx, , cz] = at.actor?.box ?? [2, 1, 0.7, 0, 0, 0.7];
    const isVehicle = !at.actor?.type.startsWith("walker");
    const forward = isVehicle ? cx + ex * 0.55 : 0.3;
    const eye = at.z + cz + ez * (isVehicle ? 0.75 : 0.85);
    const goal = new Vector3(at.x + Math.cos(yaw) * forward, eye, at.y + Math.sin(yaw) * forward);
    const rise = Math.sin(MathUtils.degToRad(at.pitch)) * 20 - 0.6;
    const look = new Vector3(at.x + Math.cos(yaw) * 20, eye + rise, at.y + Math.sin(yaw) * 20);
    return { goal, look, up: new Vector3(0, 1, 0) };
  }
}
