// Small helpers around the document. Names from outside go in as text, never as markup.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element: el("button.primary", { title: "Play", onclick: play }, "Play", child, ...). */
export function el(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "style") Object.assign(element.style, value);
    else if (name in element && !name.startsWith("aria") && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Sets a text only if it differs: a document that stays as it is costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toggle(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

export const number = (value, digits = 1) =>
  value === undefined || value === null || !Number.isFinite(value)
    ? "–"
    : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Seconds as m:ss.s */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

/** `left_lane` as "Left lane". */
export function words(name) {
  const text = String(name).replaceAll("_", " ").replaceAll("/", " / ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Keeps something that a user chose, for the next visit. */
export const chosen = {
  get(name, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(`viewer.${name}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`viewer.${name}`, JSON.stringify(value));
    } catch {
      // private windows may keep nothing
    }
  },
};
