// Writes the episode that is shown into an MP4 file: every picture is drawn anew, however slowly, and encoded here.

import { ArrayBufferTarget, Muxer } from "../vendor/mp4-muxer.js";
import { clock, setText } from "./dom.js";

const RATE = 20; // pictures a second of the film
const MOST_WAITING = 4;
const BITS = 4e6; // a second
const LONGEST = 300; // [s] of film
const CODECS = [["avc", "avc1.640028"], ["avc", "avc1.640033"], ["vp9", "vp09.00.51.08"], ["av1", "av01.0.12M.08"]];

/** Browsers encode only in pages of this machine, or behind https. */
export const canFilm = () => "VideoEncoder" in window;

/** The first that this browser can write; those without H.264 have VP9 or AV1. */
async function chooseCodec(width, height) {
  for (const [kind, codec] of CODECS) {
    const { supported } = await VideoEncoder.isConfigSupported({ codec, width, height, bitrate: BITS, framerate: RATE });
    if (supported) return [kind, codec];
  }
  throw new Error(`this browser writes no film of ${width} × ${height}`);
}

/** Draws, encodes and offers the file; `signal` ends it early, with what there is. */
export async function film(app, signal) {
  const { playhead, world } = app;
  const { clip, speed } = playhead;
  const [width, height] = [world.canvas.width & ~1, world.canvas.height & ~1];
  const target = new ArrayBufferTarget();
  const [kind, codec] = await chooseCodec(width, height);
  const muxer = new Muxer({ target, video: { codec: kind, width, height }, fastStart: "in-memory" });
  let failure = null;
  const encoder = new VideoEncoder({
    output: (chunk, more) => muxer.addVideoChunk(chunk, more),
    error: (error) => (failure = error),
  });
  encoder.configure({ codec, width, height, bitrate: BITS, framerate: RATE });
  const picture = new OffscreenCanvas(width, height);
  const pen = picture.getContext("2d");
  const count = Math.ceil(Math.min((clip.end - clip.start) / speed, LONGEST) * RATE) + 1;
  const label = app.timebar.film.lastElementChild;
  try {
    for (let n = 0; n < count && !signal.aborted && !failure; n++) {
      playhead.t = Math.min(clip.start + (n / RATE) * speed, clip.end);
      drawMoment(app, n === 0 ? 10 : 1 / RATE);
      pen.drawImage(world.canvas, 0, 0);
      caption(pen, app, width, height);
      const frame = new VideoFrame(picture, { timestamp: (n * 1e6) / RATE, duration: 1e6 / RATE });
      encoder.encode(frame, { keyFrame: n % (RATE * 5) === 0 });
      frame.close();
      setText(label, `${Math.round((100 * n) / count)} %`);
      do await new Promise((done) => setTimeout(done)); while (encoder.encodeQueueSize > MOST_WAITING && !failure);
    }
    await encoder.flush();
    if (failure) throw failure;
    muxer.finalize();
    offer(new Blob([target.buffer], { type: "video/mp4" }), `${nameOf(app)}.mp4`);
  } finally {
    if (encoder.state !== "closed") encoder.close();
    setText(label, "MP4");
  }
}

function drawMoment(app, seconds) {
  const moment = app.playhead.clip.around(app.playhead.t);
  app.showMoment(moment);
  app.world.render(app.world.actors.shown.get(app.followed || app.hero), seconds);
}

function caption(pen, app, width, height) {
  const { clip, t } = app.playhead;
  const hero = app.world.actors.shown.get(app.hero);
  const step = clip.stepAt(clip.around(t).from.f);
  const parts = [clock(t - clip.offset)];
  if (hero) parts.push(`${Math.round(hero.speed * 3.6)} km/h`);
  if (step) parts.push(`return ${step.g.toFixed(1)}`);
  if (step?.end) parts.push(step.end.replaceAll("_", " "));
  const size = Math.max(12, Math.round(height / 26));
  pen.font = `600 ${size}px Inter, sans-serif`;
  const text = parts.join("   ");
  pen.fillStyle = "rgb(0 0 0 / 0.55)";
  pen.fillRect(0, height - size * 2, pen.measureText(text).width + size * 1.6, size * 2);
  pen.fillStyle = "#fff";
  pen.fillText(text, size * 0.8, height - size * 0.68);
}

const nameOf = (app) => String(app.replay?.label ?? `episode ${app.playhead.clip.number ?? ""}`).replace(/[^\w-]+/g, "_");

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
