// The page begins here: theme, views, layers, keys, pages.

import { App } from "./app.js";
import { VIEWS } from "./cameras.js";
import { Controls } from "./controls.js";
import { $, $$, chosen, el, icon, toggle } from "./dom.js";
import { Gallery } from "./gallery.js";
import { theme } from "./palette.js";
import { Learning, RunPage } from "./runs.js";
import { segmented } from "./timebar.js";

function setTheme(name) {
  theme.name = name;
  document.documentElement.dataset.theme = name;
}

const system = matchMedia("(prefers-color-scheme: light)");
setTheme(chosen.get("theme", system.matches ? "light" : "dark"));

const token = /(?:^#|&)token=([\w-]+)/.exec(location.hash)?.[1] ?? sessionStorage.getItem("token") ?? "";
if (token) sessionStorage.setItem("token", token);
if (location.hash.includes("token=")) history.replaceState(null, "", location.pathname);

const app = new App(token);
window.viewer = app; // for tests, and for curious people

// Theme

function switchTheme() {
  setTheme(theme.name === "dark" ? "light" : "dark");
  chosen.set("theme", theme.name);
  app.world.recolour();
  app.side.recolour();
  app.tiles.recolour();
  for (const page of app.pages.values()) page.recolour?.();
  app.drawn = null;
}
$("#button-theme").onclick = switchTheme;

// Views

const TITLES = { top: "Top", chase: "Chase", driver: "Driver", free: "Free" };
const views = segmented(VIEWS.map((view) => [TITLES[view], view]), (view) => app.setView(view), "View");
views.element.classList.remove("flat");
$("#views").replaceWith(Object.assign(views.element, { id: "views" }));
views.element.classList.add("views");
app.onView = (view) => views.choose(view);
app.setView(chosen.get("view", "chase"));
app.playhead.speed = chosen.get("speed", 1);

// Layers

const layers = {
  buildings: ["Buildings", true, (on) => app.world.town?.show("buildings", on)],
  vegetation: ["Trees and poles", true, (on) => app.world.town?.show("vegetation", on)],
  markings: ["Markings", true, (on) => app.world.town?.show("markings", on)],
  signals: ["Lights and signs", true, (on) => (app.world.signals.group.visible = on)],
  route: ["Route", true, (on) => (app.world.overlays.options.route = on)],
  trail: ["Trail", true, (on) => (app.world.overlays.options.trail = on)],
  speed: ["Speed arrows", true, (on) => (app.world.actors.options.speed = on)],
  boxes: ["Bounding boxes", false, (on) => (app.world.actors.options.boxes = on)],
  names: ["Names", false, (on) => (app.world.overlays.options.names = on)],
};
const shownLayers = { ...Object.fromEntries(Object.entries(layers).map(([name, [, on]]) => [name, on])), ...chosen.get("layers", {}) };

app.applyLayers = () => {
  for (const [name, [, , apply]] of Object.entries(layers)) apply(shownLayers[name]);
  app.drawn = null;
};
app.applyLayers();

function setLayer(name, on) {
  shownLayers[name] = on;
  chosen.set("layers", shownLayers);
  app.applyLayers();
}

function fillLayers() {
  const row = (title, on, change) => {
    const box = el("input.switch", { type: "checkbox", checked: on });
    box.onchange = () => change(box.checked);
    return el("label.row", {}, el("span.grow", {}, title), box);
  };
  const { hiddenLayers } = app.world.overlays.options;
  const painted = [...new Set(app.playhead.clip.shapes.map((shape) => shape.layer).filter(Boolean))];
  $("#layers").replaceChildren(
    el("h3", {}, "Layers"),
    ...Object.entries(layers).map(([name, [title]]) => row(title, shownLayers[name], (on) => setLayer(name, on))),
    ...(painted.length ? [el("h3", {}, "Painted")] : []),
    ...painted.map((layer) =>
      row(layer, !hiddenLayers.has(layer), (on) => {
        on ? hiddenLayers.delete(layer) : hiddenLayers.add(layer);
        app.drawn = null;
      }),
    ),
  );
}

function showLayers(on) {
  if (on) fillLayers();
  toggle($("#layers"), on);
  $("#button-layers").setAttribute("aria-expanded", String(on));
}
$("#button-layers").onclick = () => showLayers($("#layers").hidden);
document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("#layers, #button-layers")) showLayers(false);
});

// The side

function showSide(on) {
  toggle($("#side"), on);
  $("#page-world").classList.toggle("no-side", !on);
  $("#button-side").classList.toggle("on", on);
  chosen.set("side", on);
}
$("#button-side").onclick = () => showSide($("#side").hidden);
showSide(chosen.get("side", true));

// Clicks on actors

const canvas = $("#canvas");
let pressed = null;
canvas.addEventListener("pointerdown", (event) => (pressed = [event.clientX, event.clientY]));
canvas.addEventListener("pointerup", (event) => {
  const isClick = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5;
  pressed = null;
  if (isClick && event.button === 0) app.select(app.world.pick(event.clientX, event.clientY) ?? 0);
});
canvas.addEventListener("dblclick", () => app.picked && app.followActor(app.picked));

// Pages

const PAGES = [["world", "World"]];

app.showPage = (name) => {
  for (const [other] of PAGES) toggle($(`#page-${other}`), other === name);
  for (const tab of $$("#tabs button")) tab.setAttribute("aria-selected", String(tab.dataset.page === name));
  for (const button of ["#button-layers", "#button-side"]) toggle($(button), name === "world");
  app.page = name;
  app.pages.get(name)?.open?.();
};

app.addPage = (name, title, page) => {
  PAGES.push([name, title]);
  app.pages.set(name, page);
  drawTabs();
};

function drawTabs() {
  $("#tabs").replaceChildren(
    ...PAGES.map(([name, title]) => el("button", { role: "tab", "data-page": name, "aria-selected": String(name === (app.page ?? "world")), onclick: () => app.showPage(name) }, title)),
  );
  toggle($("#tabs"), PAGES.length > 1);
}
drawTabs();
new Controls($("#side"), app);
app.addPage("learning", "Learning", new Learning($("#page-learning"), app));
app.addPage("run", "Run", new RunPage($("#page-run"), app));
app.addPage("replays", "Episodes", new Gallery($("#page-replays"), app));
$(".brand").onclick = (event) => {
  event.preventDefault();
  app.showPage("world");
};

// Keys

const KEYS = [
  ["space", "Pause or play"],
  ["← →", "One frame back or on (with Shift: one second)"],
  ["End", "Back to what happens now"],
  ["1 2 3 4", "View from above, behind, inside, or free"],
  ["F", "Follow whole episodes, or show the newest"],
  ["[ ]", "Slower, faster"],
  ["N P", "Next or previous environment"],
  ["K", "Keep this episode"],
  ["A", "Choose the next actor, the nearest one first"],
  ["H", "Back to the hero"],
  ["+ -", "Nearer, farther"],
  ["L B T", "Layers, side panel, dark or light"],
  ["Esc", "Forget the chosen actor"],
];
const SPEEDS = [0.5, 1, 2, 5];

function shiftSpeed(by) {
  const at = SPEEDS.indexOf(app.playhead.speed);
  app.setSpeed(SPEEDS[Math.min(Math.max((at < 0 ? 1 : at) + by, 0), SPEEDS.length - 1)]);
}

function shiftSource(by) {
  const at = app.sources.findIndex((source) => source.id === app.source?.id);
  if (app.sources.length > 1) app.watch(app.sources[(at + by + app.sources.length) % app.sources.length].id);
}

const actions = {
  " ": () => app.pause(),
  ArrowLeft: (event) => (event.shiftKey ? app.seek(app.playhead.t - 1) : app.stepFrame(-1)),
  ArrowRight: (event) => (event.shiftKey ? app.seek(app.playhead.t + 1) : app.stepFrame(1)),
  End: () => app.live(),
  f: () => app.source?.env && app.setFollow(!app.isFollowing),
  "[": () => shiftSpeed(-1),
  "]": () => shiftSpeed(1),
  n: () => shiftSource(1),
  p: () => shiftSource(-1),
  k: () => app.keep(),
  a: () => app.selectNext(),
  h: () => app.followActor(0),
  "+": () => app.world.cameras.come(0.8),
  "-": () => app.world.cameras.come(1.25),
  l: () => showLayers($("#layers").hidden),
  b: () => showSide($("#side").hidden),
  t: switchTheme,
  "?": () => showHelp(),
  Escape: () => app.select(0),
};
VIEWS.forEach((view, n) => (actions[n + 1] = () => app.setView(view)));
app.actions = actions;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
  if (event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
  if (app.driving?.takes(event)) return;
  if (event.key === " " && event.target.closest("button")) return;
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || ((app.page ?? "world") !== "world" && !"t?".includes(event.key))) return;
  event.preventDefault();
  action(event);
});

function showHelp() {
  const rows = [...KEYS, ...(app.moreKeys ?? [])].flatMap(([keys, text]) => [el("div", {}, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("div", {}, text)]);
  const close = el("button.tool", { onclick: () => $("#help").close(), title: "Close" }, icon("close"));
  const heading = el("div", { style: { display: "flex", justifyContent: "space-between" } }, el("h2", {}, "Keys"), close);
  $("#help").replaceChildren(heading, el("div.keys-table", {}, ...rows));
  $("#help").showModal();
}
$("#button-help").onclick = showHelp;
$("#help").addEventListener("click", (event) => event.target === $("#help") && $("#help").close());
