// Play, pause, scrub, speed, and back to what happens now.

import { clock, el, icon, setText, toggle } from "./dom.js";

const SPEEDS = [0.5, 1, 2, 5];

export class Timebar {
  /** @param app what happens on a press: pause(), stepFrame(n), seek(t), live(), setSpeed(x), setFollow(bool), keep() */
  constructor(element, app) {
    this.app = app;
    this.play = el("button.tool.play", { onclick: () => app.pause(), title: "Pause or play (space)" });
    const back = el("button.tool", { onclick: () => app.stepFrame(-1), title: "One frame back (←)" }, icon("back"));
    const on = el("button.tool", { onclick: () => app.stepFrame(1), title: "One frame on (→)" }, icon("forward"));
    this.slider = el("input", { type: "range", min: 0, max: 1000, value: 1000, "aria-label": "Time" });
    this.slider.oninput = () => {
      const { start, end } = app.playhead.clip;
      app.seek(start + ((end - start) * this.slider.value) / 1000);
    };
    this.marks = el("div.marks");
    this.now = el("b");
    this.all = el("span");
    this.speeds = segmented(SPEEDS.map((speed) => [`${speed}×`, speed]), (speed) => app.setSpeed(speed), "Speed");
    this.modes = segmented([["Follow", true], ["Newest", false]], (follow) => app.setFollow(follow), "Mode");
    this.modes.element.title = "Follow shows whole episodes at a speed to watch; Newest shows what happens now (F)";
    this.live = el("button.pill", { onclick: () => app.live(), title: "Back to what happens now (End)" }, icon("live"), el("span"));
    this.keep = el("button.pill", { onclick: () => app.keep(), title: "Save this episode (K)" }, icon("keep"), el("span", {}, "Keep"));
    this.film = el("button.pill", { onclick: () => app.film(), title: "Save this episode as an MP4 film" }, icon("download"), el("span", {}, "MP4"));
    element.append(
      this.play, back, on, el("div.scrub", {}, this.marks, this.slider),
      el("div.times", {}, this.now, this.all), this.speeds.element, this.modes.element, this.live, this.keep, this.film,
    );
    this.marked = "";
  }

  update({ playhead, follows, canFollow, canKeep, canFilm, isFilming, isReplay }) {
    const { clip } = playhead;
    const isPaused = playhead.isPaused;
    if (this.play.dataset.icon !== String(isPaused)) {
      this.play.dataset.icon = String(isPaused);
      this.play.replaceChildren(icon(isPaused ? "play" : "pause"));
    }
    const length = clip.end - clip.start;
    const isNow = playhead.isLive && !isPaused; // shown a moment late, which nobody has to see
    const share = length > 0 && !isNow ? (playhead.t - clip.start) / length : 1;
    if (document.activeElement !== this.slider || !isPaused) this.slider.value = Math.round(share * 1000);
    this.slider.style.setProperty("--played", `${(share * 100).toFixed(2)}%`);
    setText(this.now, clock(Math.max(0, playhead.t - clip.offset)));
    setText(this.all, playhead.isLive ? "" : ` / ${clock(Math.max(0, clip.end - clip.offset))}`);
    toggle(this.speeds.element, !playhead.isLive);
    this.speeds.choose(playhead.speed);
    toggle(this.modes.element, canFollow && !isReplay);
    this.modes.choose(follows);
    toggle(this.keep, canKeep);
    toggle(this.film, canFilm || isFilming);
    const isAway = isPaused || (playhead.isLive && clip.end - playhead.t > 2);
    this.live.classList.toggle("on", playhead.isLive && !isAway);
    setText(this.live.lastElementChild, isReplay ? "Leave replay" : follows ? "Next episode" : isAway ? "Back to live" : "Live");
    this.updateMarks(clip);
  }

  /** Where something happened. */
  updateMarks(clip) {
    const length = clip.end - clip.start;
    const key = `${clip.events.length} ${length.toFixed(0)} ${clip.start.toFixed(0)}`;
    if (key === this.marked) return;
    this.marked = key;
    const marks = clip.events.filter((event) => event.what !== "reading" && event.t >= clip.start && length > 0);
    this.marks.replaceChildren(
      ...marks.slice(-60).map((event) => el("i", { title: event.text, style: { left: `${(((event.t - clip.start) / length) * 100).toFixed(2)}%` } })),
    );
  }
}

/** Buttons of which one is chosen. */
export function segmented(entries, choose, label) {
  const buttons = entries.map(([text, value]) =>
    el("button", { role: "radio", "aria-checked": "false", onclick: () => choose(value) }, text),
  );
  const element = el("div.segmented.flat", { role: "radiogroup", "aria-label": label }, ...buttons);
  return {
    element,
    choose(value) {
      entries.forEach(([, own], n) => {
        const state = String(own === value);
        if (buttons[n].getAttribute("aria-checked") !== state) buttons[n].setAttribute("aria-checked", state);
      });
    },
  };
}
