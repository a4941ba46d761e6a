// The law of motion. The state is in the traits; everything drawn is computed from them.

import { button, fieldRow, outside, readouts, select } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { FORMULAS, PACE } from "./formulas.js";
import { listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import {
  buildGradients, buildKernel, drawGradients, drawRegions, GRADIENTS, KERNEL, LEFT, REACH, RIGHT,
  TOP,
} from "./law_picture.js";
import { box, spoken } from "./nodes.js";
import { decade, doubled, snapped, square, within } from "./plot.js";
import { brief } from "./text.js";

const READOUTS = [
  { key: "ww", label: "$K_ww$", tone: "dpf-preferred" },
  { key: "ll", label: "$K_ll$", tone: "dpf-dispreferred" },
  { key: "wl", label: "$K_wl$" },
  { key: "cosine", label: "cosine of the two" },
  { key: "dw", label: "Δ log $π_w$ (nats)", tone: "dpf-preferred" },
  { key: "dl", label: "Δ log $π_l$ (nats)", tone: "dpf-dispreferred" },
  { key: "margin", label: "growth of the margin" },
  { key: "factor", label: "sizes, $l$ to $w$" },
];
const VECTORS = ["wx", "wy", "lx", "ly"];

export function solve({ wx, wy, lx, ly, pace }) {
  const [ww, wl, ll] = FORMULAS.kernel(wx, wy, lx, ly);
  const [dw, dl, margin, cosine] = FORMULAS.moves(ww, wl, ll, pace);
  return { ww, wl, ll, dw, dl, margin, cosine, factor: Math.abs(dl) / Math.abs(dw) };
}

const goes = (change) => (change > 0 ? "rises" : change < 0 ? "falls" : "stays");
const compared = (one, other) => (one > other ? ">" : one < other ? "<" : "=");

// Which response rises, falls or moves more, and the comparisons that decide it.
export function verdict({ ww, wl, ll, dw, dl }) {
  if (dw === 0 && dl === 0) return ["Nothing moves: ", "the two gradients are one."];
  const most = ll > ww ? "the dispreferred moves more" : ll < ww ? "the preferred moves more"
    : "both move by the same amount";
  return [
    `The preferred ${goes(dw)}, the dispreferred ${goes(dl)}; ${most}. `,
    `$K_wl ${compared(wl, ww)} K_ww$, $K_wl ${compared(wl, ll)} K_ll$, ` +
      `$K_ll ${compared(ll, ww)} K_ww$.`,
  ];
}

class Law extends Figure {
  static kind = "law";
  static traits = [...VECTORS, "pace", "preset", "presets"];
  static given = ["presets"];

  build() {
    const { id } = this;
    this.gradients = buildGradients(id);
    this.kernel = buildKernel(id);
    this.readouts = readouts(READOUTS);
    this.pace = this.row(PACE, {
      label: "$eta W$", name: "eta W", low: 1e-7, high: 1, marks: [1e-6, 1e-3, 1],
    });
    this.fields = this.fieldsFor({
      wx: "$g_w$, right", wy: "$g_w$, up", lx: "$g_l$, right", ly: "$g_l$, up",
    }, { signed: true });
    const presets = this.model.get("presets");
    this.pairs = presets.length > 0 && select({
      id, role: "preset", label: "Pair", take: (index) => this.takePreset(Number(index)),
      groups: [
        ["by hand", [{ value: "-1", label: "moved by hand" }]],
        ["measured", presets.map(({ name }, i) => ({ value: String(i), label: name }))],
      ],
    });
    return [
      ...(this.pairs ? [this.pairs.node] : []),
      box("dpf-planes", this.gradients.node, this.kernel.node), this.words, this.readouts.node,
      this.pace.node,
      fieldRow(this.fields, button("Reset", () => this.reset())),
    ];
  }

  // -- events --

  listen() {
    const { gradients, kernel } = this;
    const home = (names) =>
      this.place(Object.fromEntries(names.map((name) => [name, this.begin[name]])));
    const held = ["w", "l"].map((which) => {
      const { handle } = gradients.part[which];
      listenToKeys(handle, (right, up, fast) => this.stepVector(which, right, up, fast),
        () => home([`${which}x`, `${which}y`]));
      return listenToPointer(gradients.node, handle, () => this.frame,
        (a, b) => this.moveVector(which, a, b), { anywhere: false });
    });
    const { handle } = kernel.part;
    held.push(
      listenToPointer(kernel.node, handle, () => this.window, (x, y) => this.movePair(x, y)));
    listenToKeys(handle, (right, up, fast) => {
      const { ww, wl, ll } = solve(this.values());
      const size = (fast ? 0.1 : 0.02) * (this.window.high / RIGHT);
      this.movePair(wl / ww + right * size, ll / ww + up * size);
    }, () => home(VECTORS));
    this.held = () => held.some((one) => one());
  }

  // Moved vectors are not those of a measured pair any more.
  place(vectors) { this.change({ ...vectors, preset: -1 }); }

  get snap() { return decade(this.frame.high) / 100; }

  moveVector(which, a, b) {
    const { low, high } = this.frame;
    const [x, y] = [a, b].map((c) => snapped(c, this.snap, low, high));
    if (Math.hypot(x, y) > 0) this.place({ [`${which}x`]: x, [`${which}y`]: y });
  }

  stepVector(which, right, up, fast) {
    const values = this.values();
    const size = this.snap * (fast ? 10 : 2);
    this.moveVector(which, values[`${which}x`] + right * size, values[`${which}y`] + up * size);
  }

  // The point of the kernel's plane moves g_l; g_w stays.
  movePair(x, y) {
    const { wx, wy, lx, ly } = this.values();
    const { low, high, ceiling } = this.window;
    const side = wx * ly - wy * lx < 0 ? -1 : 1;
    const least = 1e-4 * ceiling; // keeps the length of the gradient above 0
    const top = within(y, least, ceiling);
    const [edge] = FORMULAS.widest(top);
    const right = within(x, Math.max(low, -edge), Math.min(high, edge));
    const [along, across] = FORMULAS.upright(right, top, side);
    const [nx, ny] = FORMULAS.placed(wx, wy, along, across).map((c) => Number(c.toPrecision(6)));
    this.place({ lx: nx, ly: ny });
  }

  takePreset(index) {
    if (index < 0) return this.change({ preset: -1 });
    const { ww, wl, ll } = this.model.get("presets")[index];
    const [wx, lx, ly] = FORMULAS.given(ww, wl, ll);
    return this.change({ preset: index, wx, wy: 0, lx, ly });
  }

  takeNumber(name, value, text) {
    const byHand = VECTORS.includes(name) ? { preset: -1 } : {};
    return this.give({ [name]: value, ...byHand }, text, this.model.get(name));
  }

  wrong({ wx, wy, lx, ly, pace, preset, presets }) {
    if (![wx, wy, lx, ly].every(Number.isFinite)) return "it is not a number";
    if (!(Math.hypot(wx, wy) > 0 && Math.hypot(lx, ly) > 0)) {
      return "a gradient of length 0 has no direction";
    }
    if (preset !== -1 && !(preset in presets)) return `there is no measured pair ${brief(preset)}`;
    return outside(pace, PACE);
  }

  // -- drawing --

  draw() {
    const state = this.values();
    const vectors = VECTORS.map((name) => state[name]);
    const n = solve(state);
    const pair = [n.wl / n.ww, n.ll / n.ww];
    // Keep the windows during a drag; else the handle would jump away from the pointer.
    if (!this.held?.()) this.frameAll(vectors, pair);
    drawGradients(this.gradients, this.frame, vectors);
    for (const [name, who] of [["w", "preferred"], ["l", "dispreferred"]]) {
      const [a, b] = [state[`${name}x`], state[`${name}y`]];
      placeHandle(this.gradients.part[name].handle, [this.frame.x(a), this.frame.y(b)], this.frame,
        `Gradient of the ${who}`, a, `right ${brief(a)}, up ${brief(b)}`);
    }
    const { window } = this;
    const right = within(pair[0], window.low, window.high);
    const up = Math.min(window.ceiling, pair[1]);
    placeHandle(this.kernel.part.handle, [window.x(right), window.y(up)], window,
      "The pair in the kernel's plane", pair[0],
      `K w l by K w w ${brief(pair[0])}, K l l by K w w ${brief(pair[1])}`);
    for (const [name, field] of Object.entries(this.fields)) field.show(state[name]);
    this.pace.show(state.pace);
    if (this.pairs) this.pairs.show(String(state.preset));
    this.readouts.show(n);
    const [first, second] = verdict(n);
    this.put({ strong: first }, second);
  }

  frameAll(vectors, [x, y]) {
    const high = doubled(REACH, Math.max(...vectors.map(Math.abs)));
    if (this.frame?.high !== high) {
      this.frame = square(GRADIENTS, [-high, high]);
      this.gradients.axes(this.frame, "parameters, in the plane of both", "");
    }
    let times = 1;
    while ((x > RIGHT * times || x < LEFT * times || y > TOP * times) && times < 1e9) times *= 2;
    if (this.window?.high !== RIGHT * times) {
      this.window = square(KERNEL, [LEFT * times, RIGHT * times], [0, TOP * times]);
      this.kernel.axes(this.window, "$K_wl / K_ww$", "$K_ll / K_ww$");
      drawRegions(this.kernel, this.window);
    }
  }

  say() {
    const n = solve(this.values());
    return `${verdict(n).map(spoken).join("")} Kernel: preferred ${brief(n.ww)}, both ` +
      `${brief(n.wl)}, dispreferred ${brief(n.ll)}. Changes in nats: preferred ${brief(n.dw)}, ` +
      `dispreferred ${brief(n.dl)}.`;
  }
}

export default anywidget(Law);
