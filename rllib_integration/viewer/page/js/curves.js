// Small charts over simulated time, with a line at the moment that is shown; a click on one goes there.

import uPlot from "../vendor/uplot.js";
import { el, number } from "./dom.js";
import { theme } from "./palette.js";

const HEIGHT = 88;

export class Chart {
  /**
   * @param {string} title
   * @param {{label: string, colour: number, digits?: number}[]} series
   * @param {{seek?: (t: number) => void, range?: [number, number], height?: number, unit?: string}} options
   */
  constructor(title, series, { seek, range, height = HEIGHT, unit = " s" } = {}) {
    this.height = height;
    this.unit = unit;
    this.series = series;
    this.range = range;
    this.seek = seek;
    this.moment = null;
    this.values = series.map(() => el("b"));
    const keys = series.map(({ label, colour }, n) => {
      const mark = el("i", { style: { background: theme.series(colour) } });
      return el("span", {}, mark, series.length > 1 ? label : null, this.values[n]);
    });
    this.marks = keys.map((key) => key.firstChild);
    this.place = el("div");
    this.element = el("div.chart", {}, el("div.title", {}, el("span", {}, title), el("div.keys", {}, ...keys)), this.place);
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  build(width) {
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const [line, faint] = ["--line", "--faint"].map((name) => style.getPropertyValue(name).trim());
    const font = "10.5px Inter, sans-serif";
    const axis = { stroke: faint, font, ticks: { show: false }, grid: { stroke: line, width: 1 } };
    this.plot = new uPlot(
      {
        width, height: this.height, legend: { show: false }, padding: [6, 10, 0, 0],
        cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
        scales: { x: { time: false }, y: { range: this.range ?? ((_, low, high) => spread(low, high)) } },
        axes: [
          { ...axis, size: 22, gap: 5, space: 60, grid: { show: false }, values: (_, ticks) => ticks.map((t) => (this.unit ? `${+t.toFixed(1)}${this.unit}` : brief(t))) },
          { ...axis, size: 38, gap: 4, space: 26 },
        ],
        series: [{}, ...this.series.map(({ label, colour }) => ({ label, stroke: theme.series(colour), width: 1.5, points: { show: false } }))],
        hooks: { draw: [(plot) => this.drawMoment(plot)] },
      },
      [[], ...this.series.map(() => [])],
      this.place,
    );
    this.plot.over.addEventListener("click", (event) => {
      const box = this.plot.over.getBoundingClientRect();
      if (this.seek) this.seek(this.plot.posToVal(event.clientX - box.left, "x"));
    });
    this.marks.forEach((mark, n) => (mark.style.background = theme.series(this.series[n].colour)));
  }

  resize() {
    const width = this.place.clientWidth;
    if (!width) return;
    if (!this.plot) this.build(width);
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.height });
    if (this.data) this.plot.setData(this.data);
  }

  recolour() {
    if (!this.plot) return;
    this.build(this.plot.width);
    if (this.data) this.plot.setData(this.data);
  }

  drawMoment(plot) {
    if (this.moment === null) return;
    const x = plot.valToPos(this.moment, "x", true);
    if (!(x >= plot.bbox.left && x <= plot.bbox.left + plot.bbox.width)) return;
    plot.ctx.save();
    plot.ctx.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--muted");
    plot.ctx.lineWidth = devicePixelRatio;
    plot.ctx.beginPath();
    plot.ctx.moveTo(x, plot.bbox.top);
    plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    plot.ctx.stroke();
    plot.ctx.restore();
  }

  /** @param {number[][]} data x, then the values of each series */
  set(data, moment) {
    this.data = data;
    this.moment = moment;
    this.plot?.setData(data);
  }

  /** The values at the moment, beside the title. */
  tell(values) {
    values.forEach((value, n) => {
      const text = value === undefined || value === null ? "" : number(value, this.series[n].digits ?? 1);
      if (this.values[n].textContent !== text) this.values[n].textContent = text;
    });
  }
}

/** 12000 as 12k. */
const brief = (value) => (value >= 1e6 ? `${+(value / 1e6).toFixed(2)}M` : value >= 1e3 ? `${+(value / 1e3).toFixed(1)}k` : String(+value.toFixed(2)));

function spread(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) return [low - 1, high + 1];
  const margin = (high - low) * 0.08;
  return [low >= 0 && low < (high - low) ? 0 : low - margin, high + margin];
}
