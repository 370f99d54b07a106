// What has come of a world, in order of simulated time, and the moment that is shown of it.

const SECONDS_KEPT = 120; // of a world that goes on for ever
const MOST_FRAMES = 12000;
const MOST_PICTURES = 900;
const PICTURE_BYTES = 24e6;
const LAG = 0.12; // [s] of life by which a moving world is shown late, so that there is a frame to move towards
const STILL = 0.35; // [s] of life without a frame after which a world stands still
const NEAR = 1e-3; // [s] from its goal, at which a moment is there: halving what is left would never end

/** Index of the last element of a sorted list whose key is not above a value; -1 if there is none. */
export function lastAt(list, value, key) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const timeOf = (entry) => entry.t;
const frameOf = (entry) => entry.f;

/** One stretch: a followed episode, a recorded one, or what was seen of a world lately. */
export class Clip {
  constructor(number = null) {
    this.number = number;
    this.isWhole = false;
    this.ended = false;
    this.frames = [];
    this.steps = [];
    this.events = [];
    this.shapes = [];
    this.pictures = new Map(); // name -> [{f, bytes, form}]
    this.points = new Map(); // name -> [{f, ...}]
    this.pictureBytes = 0;
    this.episode = null;
    this.offset = 0; // [s] of the first frame, from which the clock counts
  }

  get start() {
    return this.frames.length ? this.frames[0].t : 0;
  }

  get end() {
    return this.frames.length ? this.frames.at(-1).t : 0;
  }

  addFrame({ head, arrays: [ids, places, turns] }, isEndless) {
    const last = this.frames.at(-1);
    if (last && head.f === last.f) {
      last.about = head.about;
      return last;
    }
    if (last && head.f < last.f) return null;
    const frame = { f: head.f, t: head.t, hero: head.hero, c: head.c, about: head.about, ids, places, turns, rows: null };
    this.giveHero(frame);
    frame.lights = head.lights ?? last?.lights ?? "";
    this.frames.push(frame);
    if (this.frames.length === 1) this.offset = this.episode?.n === 0 ? this.episode.t : frame.t;
    if (isEndless) this.forget(frame.t - SECONDS_KEPT);
    return frame;
  }

  setEpisode(episode) {
    this.episode = episode;
    for (let n = this.frames.length - 1; n >= 0 && this.frames[n].f >= episode.f; n--) this.giveHero(this.frames[n]);
  }

  /** The world's process does not know at first which of several agents' heroes is this environment's. */
  giveHero(frame) {
    const own = this.episode?.hero;
    if (!own || own === frame.hero || frame.f < this.episode.f) return;
    frame.hero = own;
    frame.c = undefined;
  }

  forget(before) {
    let gone = lastAt(this.frames, before, timeOf) + 1;
    gone = Math.max(gone, this.frames.length - MOST_FRAMES);
    if (gone < 20) return;
    this.frames.splice(0, gone);
    const first = this.frames[0].f;
    for (const list of [this.steps, this.events, ...this.points.values()]) {
      const old = list.findIndex((entry) => entry.f >= first);
      if (old > 0) list.splice(0, old);
    }
    for (const list of this.pictures.values()) {
      while (list.length > 1 && list[0].f < first) this.pictureBytes -= list.shift().bytes.length;
    }
  }

  addStep(step) {
    const last = this.steps.at(-1);
    if (!last || step.f > last.f || step.e !== last.e) this.steps.push(step);
  }

  addPicture({ head, arrays }) {
    const list = this.pictures.get(head.name) ?? this.pictures.set(head.name, []).get(head.name);
    if (!arrays.length) return; // there is one, but nobody has asked for it
    const bytes = arrays[0].slice();
    list.push({ f: head.f, bytes, form: head.form, size: head.size });
    this.pictureBytes += bytes.length;
    while (list.length > MOST_PICTURES || (this.pictureBytes > PICTURE_BYTES && list.length > 2)) {
      this.pictureBytes -= list.shift().bytes.length;
    }
  }

  addPoints({ head, arrays: [offsets, values] }) {
    const list = this.points.get(head.name) ?? this.points.set(head.name, []).get(head.name);
    list.push({ ...head, offsets, values });
    if (list.length > 120) list.shift();
  }

  addEvent(event) {
    this.events.push(event);
    if (this.events.length > 500) this.events.shift();
  }

  /** Between which two frames a moment lies, and how far on the way. */
  around(t) {
    const { frames } = this;
    if (!frames.length) return null;
    const index = Math.max(0, lastAt(frames, t + 1e-6, timeOf));
    const from = frames[index];
    const to = frames[Math.min(index + 1, frames.length - 1)];
    const share = to.t > from.t ? Math.min(1, Math.max(0, (t - from.t) / (to.t - from.t))) : 0;
    return { index, from, to, share };
  }

  stepAt(frame) {
    return this.steps[lastAt(this.steps, frame, frameOf)] ?? null;
  }

  pictureAt(name, frame) {
    const list = this.pictures.get(name) ?? [];
    return list[Math.max(0, lastAt(list, frame, frameOf))] ?? null;
  }

  pointsAt(name, frame) {
    const list = this.points.get(name) ?? [];
    return list[lastAt(list, frame, frameOf)] ?? null;
  }

  timeOfFrame(frame) {
    const index = lastAt(this.frames, frame, frameOf);
    return index >= 0 ? this.frames[index].t : this.start;
  }
}

/** The moment that is shown: it follows the newest frame, or plays a clip at a speed, or stands where it was put. */
export class Playhead {
  constructor() {
    this.clip = new Clip();
    this.t = 0;
    this.speed = 1;
    this.isPaused = false;
    this.isLive = true; // shows what happens now, rather than playing a clip
    this.rate = 1; // simulated seconds a second of life, of a live world
    this.arrival = 0;
  }

  show(clip, { live }) {
    this.clip = clip;
    this.isLive = live;
    this.isPaused = false;
    this.t = clip.start;
    this.rate = 1;
  }

  /** Hears of a frame that has come, at a time of life (s). */
  noteArrival(frame, now) {
    const passed = now - this.arrival;
    const previous = this.clip.frames.at(-2);
    if (previous && passed > 1e-4 && passed < 2) {
      const rate = (frame.t - previous.t) / passed;
      this.rate += (Math.min(rate, 200) - this.rate) * Math.min(1, passed * 2);
    }
    this.arrival = now;
    if (this.clip.frames.length === 1) this.t = frame.t;
  }

  /** Moves on by so many seconds of life; true if another moment is shown now. */
  advance(seconds, now) {
    const { clip } = this;
    if (this.isPaused || !clip.frames.length) return false;
    const before = this.t;
    if (this.isLive) {
      const isStill = now - this.arrival > STILL;
      const goal = isStill ? clip.end : clip.end - LAG * this.rate;
      this.t += isStill ? 0 : seconds * this.rate;
      const off = goal - this.t;
      const isFar = Math.abs(off) > Math.max(0.6, this.rate);
      this.t = isFar || Math.abs(off) < NEAR ? goal : this.t + off * Math.min(1, seconds * (isStill ? 12 : 3));
    } else {
      this.t += seconds * this.speed;
    }
    this.t = Math.min(Math.max(this.t, clip.start), clip.end);
    return this.t !== before;
  }

  seek(t) {
    this.isPaused = true;
    this.t = Math.min(Math.max(t, this.clip.start), this.clip.end);
  }

  get isAtEnd() {
    return this.clip.frames.length > 0 && this.t >= this.clip.end - 1e-3;
  }

  /** Seconds of life until a clip that plays is over. */
  get remaining() {
    return (this.clip.end - this.t) / this.speed;
  }
}
