// The scene and its pictures: drawn only when something has changed, and no finer than the machine can.

import { Color, Fog, Raycaster, Scene, Vector2, Vector3, WebGLRenderer } from "../vendor/three.js";
import { Actors } from "./actors.js";
import { Cameras } from "./cameras.js";
import { Overlays } from "./overlays.js";
import { theme } from "./palette.js";
import { Signals } from "./signals.js";

const SLOW = 55; // [ms] a picture, above which the next ones are made coarser
const QUICK = 14;
const COARSEST = 0.6;

export class World {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} names
   */
  constructor(canvas, names) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: !isSoftware(), powerPreference: "high-performance" });
    this.scene = new Scene();
    this.scene.fog = new Fog("#000", 200, 900);
    this.cameras = new Cameras(canvas);
    this.actors = new Actors();
    this.signals = new Signals();
    this.overlays = new Overlays(names);
    this.scene.add(this.signals.group, this.actors.group, this.overlays.group);
    this.town = null;
    this.isDirty = true;
    this.pictures = 0;
    this.finest = Math.min(window.devicePixelRatio || 1, 2);
    this.fineness = isSoftware() ? Math.min(this.finest, 0.8) : this.finest;
    this.cost = QUICK;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.recolour();
    this.resize();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setPixelRatio(this.fineness);
    this.renderer.setSize(width, height, false);
    this.cameras.camera.aspect = width / height;
    this.cameras.camera.updateProjectionMatrix();
    this.size = { width, height };
    this.isDirty = true;
  }

  recolour() {
    const palette = theme.scene;
    this.scene.background = new Color(palette.sky);
    this.scene.fog.color.set(palette.sky);
    this.town?.recolour();
    this.actors.recolour();
    this.signals.recolour();
    this.overlays.recolour();
    this.isDirty = true;
  }

  setTown(town) {
    if (this.town) {
      this.scene.remove(this.town.group);
      this.town.dispose();
    }
    this.town = town;
    if (town) {
      this.scene.add(town.group);
      this.scene.fog.near = Math.max(250, town.radius * 0.9);
      this.scene.fog.far = Math.max(900, town.radius * 4);
      this.cameras.overlook(town);
    }
    this.isDirty = true;
  }

  /** Draws, if there is anything new to see; true if it did. */
  render(followed, seconds) {
    const moves = this.cameras.follow(followed, Math.min(seconds, 1));
    if (!(moves || this.isDirty) || !this.size) return false;
    this.isDirty = false;
    const began = performance.now();
    this.renderer.render(this.scene, this.cameras.camera);
    this.pictures++;
    this.adapt(performance.now() - began, seconds * 1000);
    return true;
  }

  /** Coarser pictures where they take long: the time between two tells, as the drawing itself goes on behind. */
  adapt(own, between) {
    const taken = Math.max(own, Math.min(between, 200));
    this.cost += (taken - this.cost) * 0.06;
    const before = this.fineness;
    if (this.cost > SLOW) this.fineness = Math.max(COARSEST, this.fineness * 0.85);
    else if (this.cost < QUICK + 4 && !isSoftware()) this.fineness = Math.min(this.finest, this.fineness * 1.1);
    if (this.fineness !== before) {
      this.cost = (SLOW + QUICK) / 2;
      this.resize();
    }
  }

  /** Where a place of the scene is on the canvas, or null if it is behind or outside. */
  project = (place) => {
    const depth = place.distanceTo(this.cameras.camera.position);
    const at = place.project(this.cameras.camera);
    if (at.z > 1 || Math.abs(at.x) > 1.05 || Math.abs(at.y) > 1.05) return null;
    return { x: ((at.x + 1) / 2) * this.size.width, y: ((1 - at.y) / 2) * this.size.height, depth };
  };

  /** The actor under a place of the window, or null. */
  pick(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const at = new Vector2(((clientX - box.left) / box.width) * 2 - 1, 1 - ((clientY - box.top) / box.height) * 2);
    const raycaster = new Raycaster();
    raycaster.setFromCamera(at, this.cameras.camera);
    const exact = this.actors.hit(raycaster);
    return exact ?? this.nearestOnScreen(clientX - box.left, clientY - box.top, 18);
  }

  /** Small things are hard to hit: the nearest within some pixels will do. */
  nearestOnScreen(x, y, reach) {
    let [best, distance] = [null, reach];
    for (const [id, at] of this.actors.shown) {
      const place = this.project(new Vector3(at.x, at.z + 0.8, at.y));
      const away = place ? Math.hypot(place.x - x, place.y - y) : Infinity;
      if (away < distance) [best, distance] = [id, away];
    }
    return best;
  }
}

let software;

/** Whether pictures are computed by the processor. */
export function isSoftware() {
  if (software === undefined) {
    const context = document.createElement("canvas").getContext("webgl2");
    const names = context?.getExtension("WEBGL_debug_renderer_info");
    const name = names ? context.getParameter(names.UNMASKED_RENDERER_WEBGL) : "";
    software = /swiftshader|llvmpipe|software/i.test(name);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return software;
}
