// Runs beside the world: learning curves of several, and what one run's folder holds.

import { Chart } from "./curves.js";
import { chosen, el, number, setText, toggle, words } from "./dom.js";
import { DriveMap, isGood } from "./maps.js";

const WANTED = [
  /^env_runners\/(life|episode)_return_mean$/, /^evaluation\/env_runners\/(life|episode)_return_mean$/,
  /^env_runners\/episode_len_mean$/,
  /^env_runners\/(distance|speed|heading|end_goal|success|route_completion)/, /(total_loss|td_error_mean|policy_loss|vf_loss)$/,
  /entropy$/, /num_env_steps_sampled_lifetime_throughput$/,
];
const MOST_CHARTS = 8;
const MOST_RUNS = 8;

/** Curves over environment steps; the runs that are ticked are drawn into the same charts. */
export class Learning {
  constructor(element, app) {
    this.app = app;
    this.list = el("div.chips");
    this.menu = el("select", { "aria-label": "Add a curve" });
    this.menu.onchange = () => this.add(this.menu.value);
    this.grid = el("div.charts");
    this.runs = [];
    this.data = new Map(); // number -> {steps, curves}
    this.extra = new Set(chosen.get("figures", []));
    this.ticked = null;
    element.append(el("header.head", {}, el("h1", {}, "Learning"), this.list, this.menu), this.grid);
    app.hooks.hello.push(({ runs, compare }) => this.setRuns(runs, compare));
    app.hooks.run.push(({ changed }) => changed && app.page === "learning" && this.load(changed.filter((run) => this.ticked?.has(run))));
  }

  /** @param compare whether somebody asked for just these runs, so that all of them are drawn */
  setRuns(runs, compare) {
    this.runs = runs;
    const first = compare ? runs.slice(-MOST_RUNS).map((run) => run.number) : [this.current(runs)];
    this.ticked ??= runs.length ? new Set(first) : null;
    const chip = ({ number: run, name }) => {
      const box = el("input", { type: "checkbox", checked: this.ticked.has(run) });
      box.onchange = () => this.tick(run, box.checked);
      return el("label.pill", { title: name }, box, name);
    };
    this.list.replaceChildren(...runs.map(chip));
    if (this.app.page === "learning") this.open();
  }

  /** The run whose world is shown, else the last one. */
  current(runs) {
    const name = this.app.source?.run;
    if (!runs.length) return undefined;
    return (runs.find((run) => run.name === name) ?? runs.at(-1)).number;
  }

  tick(run, on) {
    if (on) this.ticked.add(run);
    else this.ticked.delete(run);
    if (this.ticked.size > MOST_RUNS) this.ticked.delete(this.ticked.values().next().value);
    this.open();
  }

  open() {
    return this.load([...(this.ticked ?? [])]);
  }

  async load(runs) {
    for (const run of runs) {
      const answer = await fetch(`run/${run}/curves`, { headers: this.app.authorization });
      if (answer.ok) this.data.set(run, await answer.json());
    }
    this.draw();
  }

  add(name) {
    if (name) this.extra.has(name) ? this.extra.delete(name) : this.extra.add(name);
    chosen.set("figures", [...this.extra]);
    this.draw();
  }

  draw() {
    const shown = this.runs.filter((run) => this.ticked?.has(run.number) && this.data.get(run.number)?.steps.length);
    const names = [...new Set(shown.flatMap((run) => Object.keys(this.data.get(run.number).curves)))];
    const picked = [...new Set([...WANTED.flatMap((wish) => names.filter((name) => wish.test(name)).slice(0, 2)).slice(0, MOST_CHARTS), ...names.filter((name) => this.extra.has(name))])];
    this.menu.replaceChildren(el("option", { value: "" }, "Add a curve …"), ...names.map((name) => el("option", { value: name }, `${this.extra.has(name) ? "✓ " : ""}${name}`)));
    const key = JSON.stringify([picked, shown.map((run) => run.number)]);
    if (key !== this.key) {
      this.key = key;
      const series = shown.map((run, n) => ({ label: run.name, colour: n, digits: 2 }));
      this.charts = new Map(picked.map((name) => [name, new Chart(titleOf(name), series, { height: 190, unit: "" })]));
      this.grid.replaceChildren(...[...this.charts.values()].map((chart) => el("section.card.flush", {}, chart.element)));
      if (!picked.length) this.grid.append(el("p.empty", {}, this.runs.length ? "No iteration has ended yet." : "There is no run here. Start one: carla-rllib train quickstart"));
    }
    for (const [name, chart] of this.charts ?? []) {
      const parts = shown.map((run) => this.data.get(run.number));
      chart.set(merged(parts.map(({ steps, curves }) => [steps, curves[name] ?? steps.map(() => null)])), null);
      chart.tell(parts.map(({ curves }) => curves[name]?.findLast((value) => value !== null)));
    }
  }

  recolour() {
    for (const chart of this.charts?.values() ?? []) chart.recolour();
  }
}

const titleOf = (name) => words(name.replace(/^env_runners\//, "").replace(/^learners\/default_policy\//, "loss: ").replace("evaluation/env_runners/", "evaluation: "));

/** Several curves over one axis: uPlot wants the same x for all. */
function merged(curves) {
  const all = [...new Set(curves.flatMap(([steps]) => steps))].sort((a, b) => a - b);
  const place = new Map(all.map((step, n) => [step, n]));
  const rows = curves.map(([steps, values]) => {
    const row = new Array(all.length).fill(undefined); // undefined is passed over, null would be a gap
    steps.forEach((step, n) => (row[place.get(step)] = values[n] ?? undefined));
    return row;
  });
  return [all, ...rows];
}

/** One run's folder: how it was started, checkpoints, evaluations, configuration, log. */
export class RunPage {
  constructor(element, app) {
    this.app = app;
    this.element = element;
    this.menu = el("select", { "aria-label": "Run" });
    this.menu.onchange = () => this.open(Number(this.menu.value));
    this.title = el("h1", {}, "Run");
    this.body = el("div.run");
    element.append(el("header.head", {}, this.title, this.menu), this.body);
    app.hooks.hello.push(({ runs }) => {
      this.runs = runs;
      if (runs.length) this.run ??= (runs.find((one) => one.name === app.source?.run) ?? runs.at(-1)).number;
      this.menu.replaceChildren(...runs.map((one) => el("option", { value: one.number, selected: one.number === this.run }, one.name)));
      toggle(this.menu, runs.length > 1);
      if (app.page === "run") this.open();
    });
    app.hooks.run.push(({ changed }) => changed?.includes(this.run) && app.page === "run" && this.open());
  }

  async open(run = this.run) {
    if (run === undefined) return void this.body.replaceChildren(el("p.empty", {}, "There is no run here."));
    this.run = run;
    const answer = await fetch(`run/${run}`, { headers: this.app.authorization });
    if (answer.ok) this.show(await answer.json());
    return undefined;
  }

  show({ name, folder, starts, configuration, checkpoints, evaluation, tests, places, logs, town_keys: keys }) {
    setText(this.title, name);
    const start = starts.at(-1) ?? {};
    const facts = {
      Folder: folder, Started: start.started, Command: start.command?.join(" "), Machine: start.machine?.host, Seed: start.seed,
      Commit: start.git?.commit?.slice(0, 12), Versions: Object.entries(start.versions ?? {}).map((pair) => pair.join(" ")).join(", "),
      Starts: starts.length > 1 ? starts.length : undefined,
    };
    const known = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const list = el("dl.facts", {}, ...known.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, String(value))]));
    const when = (seconds) => new Date(seconds * 1000).toLocaleString();
    const saved = checkpoints.map((one) => [one.name, when(one.saved), one.best ? `best${one.score === null ? "" : `, ${number(one.score, 2)}`}` : ""]);
    const ends = (row) => Object.entries(row).filter(([key]) => key.startsWith("end_")).map(([key, share]) => `${words(key.slice(4))} ${Math.round(100 * share)} %`).join(", ");
    const judged = evaluation.map((row) => [row.iteration, row.town, number(row.episodes, 0), number(row.median_distance), number(row.speed), number(row.return, 2), ends(row), row.infractions]);
    const open = new Set([...this.body.querySelectorAll("details[open]")].map((one) => one.dataset.name));
    const text = (title, content) => el("details.card", { "data-name": title, open: open.has(title) }, el("summary", {}, el("h2", {}, title)), el("div.body", {}, el("pre", {}, content)));
    this.maps = [];
    this.body.replaceChildren(
      card("Origin", list),
      card("Checkpoints", saved.length ? table(["Name", "Saved", ""], saved) : none("None is saved yet.")),
      card("Evaluation", judged.length ? table(["Iteration", "Town", "Episodes", "Median m", "km/h", "Return", "Ended by", "Infractions a km"], judged) : none("No evaluation has been made; --evaluation-interval asks for them.")),
      ...tests.map((test) => card(`Driving test: ${test.name}`, table(TEST_HEAD, test.rows.map((row) => testRow(row, test.best))), ...this.maps_of(test.towns))),
      ...(Object.keys(places.towns).length ? [card(places.of === "evaluation" ? `Where evaluation ${places.iteration} ended` : "Where the last training episodes ended", ...this.maps_of(places.towns))] : []),
      text("Configuration", configuration || "–"),
      ...Object.entries(logs).map(([file, content]) => text(`Log: ${file}`, content)),
    );
    for (const map of this.maps) {
      map.draw();
      if (keys[map.town]) this.app.learnTown(map.town, keys[map.town]).then((isNew) => isNew && map.draw());
    }
  }

  maps_of(towns) {
    const maps = Object.entries(towns).map(([town, episodes]) => new DriveMap(town, episodes, this.app));
    this.maps.push(...maps);
    return [el("div.maps", {}, ...maps.map((map) => map.element))];
  }

  recolour() {
    for (const map of this.maps ?? []) map.draw();
  }
}

const TEST_HEAD = ["Policy", "Town", "Episodes", "Median m", "Mean m", "Worst tenth m", "Off lane", "km/h", "Score", "Ended by"];
const percent = (share) => `${number(100 * share, 0)} %`;

function testRow(row, best) {
  const ends = Object.entries(row.ends ?? {}).sort(([a], [b]) => isGood(a) - isGood(b)).map(([end, share]) => `${words(end)} ${percent(share)}`);
  const name = `${row.policy}${row.policy === best ? " (best)" : ""}`;
  return [name, row.town, row.episodes, number(row.median), number(row.mean), number(row.worst_tenth), percent(row.off_lane), number(row.speed), number(row.driving_score), ends.join(", ")];
}

const none = (text) => el("p.empty", {}, text);
const card = (title, ...content) => el("section.card", {}, el("header", {}, el("h2", {}, title)), el("div.body", {}, ...content));

function table(head, rows) {
  const line = (cells, tag) => el("tr", {}, ...cells.map((cell) => el(tag, {}, String(cell))));
  return el("div.wide", {}, el("table", {}, el("thead", {}, line(head, "th")), el("tbody", {}, ...rows.map((row) => line(row, "td")))));
}
