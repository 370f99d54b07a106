// Colours of the scene and of curves. The series are those of Okabe and Ito, which all kinds of eyes tell apart.

export const SERIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f98", "#b8a500"];
const SERIES_DARK = ["#4ea8de", "#f0b13c", "#2dc597", "#e39ac4", "#8ccbf2", "#f5793a", "#a6adb8", "#e5d44a"];

const SCENES = {
  light: {
    sky: "#dfe6ec", ground: "#e9ebe4", terrain: "#e4e8dd",
    surfaces: ["#b4bbc3", "#c2c8ce", "#bdc4cb", "#d8d9d7", "#c7b9a6", "#d3dccb"],
    markings: ["#ffffff", "#4b86c9", "#5f9f6b", "#d0574a", "#ffffff", "#e0a52c"],
    crossing: "#f4f6f8", building: ["#f2efe9", "#ddd8cf", "#cbc5ba"], wall: "#cfc9bd", fence: "#b9b7b0", pole: "#8b9097",
    tree: "#a9c3a0", trunk: "#9a8d7c", vehicle: "#5b7690", walker: "#8a4fb0", prop: "#a08a6c", hero: "#ea6a12",
    route: "#2c7be5", trail: "#ea6a12", speed: "#24435f", ring: "#ffffff", box: "#24435f", shadow: "#2b3440",
    signPole: "#8b9097", housing: "#39424c", glass: 0.3,
  },
  dark: {
    sky: "#0d1116", ground: "#10151a", terrain: "#131a1d",
    surfaces: ["#2b333c", "#252c34", "#29313a", "#3a424a", "#3d3833", "#1d2823"],
    markings: ["#c9d1d9", "#5f9be0", "#67b077", "#e06a5c", "#c9d1d9", "#d9a941"],
    crossing: "#8f9aa5", building: ["#4a5561", "#394350", "#303945"], wall: "#3b434c", fence: "#3a4148", pole: "#6b7580",
    tree: "#2f4f3e", trunk: "#463d33", vehicle: "#6f93b5", walker: "#c58be8", prop: "#8d7759", hero: "#ff8a34",
    route: "#4ea1ff", trail: "#ff8a34", speed: "#a9c7e4", ring: "#ffffff", box: "#a9c7e4", shadow: "#000000",
    signPole: "#6b7580", housing: "#1a2027", glass: 0.16,
  },
};

/** Red, yellow, green of lights: told apart by brightness and place, too. */
export const LIGHTS = { r: "#e8452c", y: "#f5c518", g: "#12b886", o: "#5b6570", u: "#5b6570" };

export const theme = {
  name: "dark",
  get scene() {
    return SCENES[this.name];
  },
  series(number) {
    const list = this.name === "dark" ? SERIES_DARK : SERIES;
    return list[number % list.length];
  },
};

/** Blue through white to orange for -1 to 1: no red beside green. */
export function diverging(value) {
  const v = Math.max(-1, Math.min(1, value));
  const ends = v < 0 ? [0.26, 0.58, 0.9] : [0.96, 0.55, 0.15];
  const share = Math.abs(v);
  return ends.map((end) => 0.93 + (end - 0.93) * share);
}

const RAMP = [[0.27, 0.0, 0.33], [0.23, 0.32, 0.55], [0.13, 0.57, 0.55], [0.37, 0.79, 0.38], [0.99, 0.91, 0.14]];

/** Viridis for 0 to 1. */
export function sequential(value) {
  const at = Math.max(0, Math.min(0.9999, value)) * (RAMP.length - 1);
  const low = Math.floor(at);
  return RAMP[low].map((part, i) => part + (RAMP[low + 1][i] - part) * (at - low));
}

/** CARLA's colours of semantic tags. */
export const TAGS = [
  [0, 0, 0], [128, 64, 128], [244, 35, 232], [70, 70, 70], [102, 102, 156], [190, 153, 153], [153, 153, 153],
  [250, 170, 30], [220, 220, 0], [107, 142, 35], [152, 251, 152], [70, 130, 180], [220, 20, 60], [255, 0, 0],
  [0, 0, 142], [0, 0, 70], [0, 60, 100], [0, 80, 100], [0, 0, 230], [119, 11, 32], [110, 190, 160], [170, 120, 50],
  [55, 90, 80], [45, 60, 150], [157, 234, 50], [81, 0, 81], [150, 100, 100], [230, 150, 140], [180, 165, 180],
];
