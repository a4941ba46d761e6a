// The loss gallery: two panels for one pair. The state is in the traits; everything drawn is computed
// from them.

import { button, choices, fieldRow, outside, writeValue } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { INPUTS, WINDOW } from "./formulas.js";
import { BY_NAME, exists, over, Panel } from "./loss_panel.js";
import { html, htmlLabel, write } from "./nodes.js";
import { decade, doubled, snapped } from "./plot.js";
import { brief, cut } from "./text.js";

const READOUTS = [
  { key: "loss", label: "loss $L$" },
  { key: "along", label: "$∂L/∂u$", tone: "dpf-preferred" },
  { key: "across", label: "$∂L/∂v$", tone: "dpf-dispreferred" },
  { key: "factor", label: "$|∂L/∂u| / |∂L/∂v|$" },
  { key: "preferred", label: "push on preferred", tone: "dpf-preferred" },
  { key: "dispreferred", label: "push on dispreferred", tone: "dpf-dispreferred" },
  { key: "margin", label: "of $u − v$ only" },
  { key: "reads", label: "reads beside $u$, $v$", tone: "dpf-long" },
];
const BOTH = ["a", "b"];

function buildTable() {
  const cells = {};
  const heads = BOTH.map(() => html("th", { scope: "col" }));
  const rows = READOUTS.map(({ key, label, tone = "" }) =>
    html("tr", { class: tone }, html("th", { scope: "row" }, htmlLabel(label)), BOTH.map((which) =>
      (cells[`${which}-${key}`] = html("td", { "data-value": `${which}-${key}` })))));
  const node = html("table", { class: "dpf-table" },
    html("caption", { class: "dpf-unseen" }, "Both losses at the pair"),
    html("thead", {}, html("tr", {}, html("td", {}), heads)), html("tbody", {}, rows));
  const show = (titles, found) => {
    heads.forEach((head, i) => write(head, titles[i]));
    for (const [key, cell] of Object.entries(cells)) writeValue(cell, found[key]);
  };
  return { node, show };
}

const goes = (partial) =>
  partial < 0 ? "rises" : partial > 0 ? "falls" : partial === 0 ? "stays" : "–";

// The values shown for a loss at a pair; `up` and `down` are words for the moves of the two responses.
function numbers(loss, params, pair, u, v) {
  const [value, along, across] = over(loss, params, pair)(u, v);
  return {
    loss: value, along, across, factor: Math.abs(along) / Math.abs(across),
    up: goes(along), down: goes(across),
    preferred: loss.preferred, dispreferred: loss.dispreferred,
    margin: loss.marginOnly ? "yes" : "no", reads: loss.inputs.join(", ") || "nothing",
  };
}

// A sentence that compares the two steps.
function relation(one, two) {
  const [p, q] = [Math.hypot(one.along, one.across), Math.hypot(two.along, two.across)];
  if (!(p > 0 && q > 0)) return p > 0 || q > 0 ? "One of them is at rest." : "Both are at rest.";
  const across = (one.along * two.across - one.across * two.along) / p / q;
  const along = (one.along * two.along + one.across * two.across) / p / q;
  if (Math.abs(across) < 1e-9 && along > 0) {
    if (Math.abs(p / q - 1) < 1e-9) return "Same direction, same size.";
    return p > q ? `Same direction, A's step is ${brief(p / q)} times B's.`
      : `Same direction, B's step is ${brief(q / p)} times A's.`;
  }
  const degrees = (Math.atan2(Math.abs(across), along) * 180) / Math.PI;
  return `The two steps are ${brief(degrees, 3)}° apart.`;
}

class Gallery extends Figure {
  static kind = "gallery";
  static traits = ["a", "b", "params_a", "params_b", "u", "v", "window", "pair"];

  get state() {
    const { a, b, params_a: paramsA, params_b: paramsB, ...rest } = this.values();
    return { a: BY_NAME[a], b: BY_NAME[b], params: { a: paramsA, b: paramsB }, ...rest };
  }

  build() {
    const { id } = this;
    this.panels = { a: new Panel(this, "a"), b: new Panel(this, "b") };
    this.tabs = choices({
      id, role: "tabs", legend: "Loss shown",
      options: BOTH.map((which) => ({ value: which, label: `Loss ${which.toUpperCase()}` })),
      take: (which) => this.turnTo(which),
    });
    this.table = buildTable();
    this.zoom = this.row({ name: "window", label: "window ±" }, { ...WINDOW, marks: [1, 10, 100] });
    const inputs = Object.fromEntries(INPUTS.map(({ name, label }) => [name, label]));
    this.fields = this.fieldsFor({ u: "$u$ (nats)", v: "$v$ (nats)", ...inputs }, { signed: true });
    return [
      this.tabs.node, this.panels.a.node, this.panels.b.node, this.words, this.table.node,
      this.zoom.node,
      fieldRow(this.fields, button("Reset", () => this.reset())),
    ];
  }

  // -- events --

  listen() {
    for (const which of BOTH) this.panels[which].listen();
  }

  // On a narrow page one panel is shown at a time.
  turnTo(which) {
    this.root.dataset.shown = which;
    this.tabs.show(which);
  }

  takeLoss(which, name) {
    this.change({ [which]: name, [`params_${which}`]: {} });
  }

  takeParam(which, { name, default: usual }, value, text) {
    const params = this.state.params[which];
    return this.give({ [`params_${which}`]: { ...params, [name]: value } }, text, params[name] ?? usual);
  }

  takeNumber(name, value, text) {
    const { pair } = this.state;
    if (!(name in pair)) return super.takeNumber(name, value, text);
    return this.give({ pair: { ...pair, [name]: value } }, text, pair[name]);
  }

  wrong({ a, b, params_a: paramsA, params_b: paramsB, u, v, window, pair }) {
    for (const [name, params] of [[a, paramsA], [b, paramsB]]) {
      if (!Object.hasOwn(BY_NAME, name)) return `there is no loss “${cut(name)}”`;
      for (const [key, value] of Object.entries(params)) {
        const parameter = BY_NAME[name].params.find((p) => p.name === key);
        if (!parameter) return `${BY_NAME[name].title} has no “${cut(key)}”`;
        if (outside(value, parameter)) return outside(value, parameter);
      }
    }
    const whole = INPUTS.every(({ name }) => Object.hasOwn(pair, name)) &&
      Object.keys(pair).length === INPUTS.length;
    if (!whole) return "the pair’s data are not whole";
    const [bad] = INPUTS.map((input) => outside(pair[input.name], input)).filter(Boolean);
    if (bad) return bad;
    if (!(window > 0 && Number.isFinite(window))) return "a window reaches a positive number of nats";
    if (![u, v].every(Number.isFinite)) return "it is not a number";
    return exists(u, v, pair) ? "" : "the two probabilities together would exceed 1";
  }

  // Drags and steps are rounded to a grid that depends on the window.
  get snap() { return decade(this.window) / 200; }

  moveTo(p, q) {
    const { u, v, pair } = this.state;
    const [nu, nv] = [p, q].map((c) => snapped(c, this.snap, -this.window, this.window));
    if (exists(nu, nv, pair) && (nu !== u || nv !== v)) this.change({ u: nu, v: nv });
  }

  step(right, up, fast) {
    const { u, v } = this.state;
    const size = this.snap * (fast ? 20 : 4);
    this.moveTo(u + right * size, v + up * size);
  }

  home() { this.change({ u: 0, v: 0 }); }

  // -- drawing --

  draw() {
    const { a, b, params, u, v, window, pair } = this.state;
    if (!exists(u, v, pair)) return; // half of a change from the kernel: the rest follows
    if (!this.root.dataset.shown) this.turnTo("a");
    // Keep the window during a drag; else the pair would jump away from the pointer.
    if (!BOTH.some((which) => this.panels[which].held?.())) {
      this.window = doubled(window, Math.max(Math.abs(u), Math.abs(v)));
    }
    const [one, two] = [a, b].map((loss, i) => {
      const own = params[BOTH[i]];
      this.panels[BOTH[i]].draw({ loss, params: own, pair, u, v }, this.window);
      return numbers(loss, own, pair, u, v);
    });
    const found = [one, two].flatMap((n, i) =>
      Object.entries(n).map(([key, value]) => [`${BOTH[i]}-${key}`, value]));
    this.table.show([a.title, b.title], Object.fromEntries(found));
    this.zoom.show(window);
    for (const [name, field] of Object.entries(this.fields)) {
      field.show({ u, v, ...pair }[name]);
    }
    const here = [one, two].map((n) => `preferred ${n.up}, dispreferred ${n.down}. `);
    const words = here[0] === here[1] ? [`Both: ${here[0]}`]
      : [a, b].map((loss, i) => `${loss.title}: ${here[i]}`);
    this.put(...words, { strong: relation(one, two) });
  }

  say() {
    const { a, b, params, u, v, pair } = this.state;
    if (!exists(u, v, pair)) return "";
    const found = [a, b].map((loss, i) => numbers(loss, params[BOTH[i]], pair, u, v));
    const words = [a, b].map((loss, i) => {
      const n = found[i];
      return `${loss.title}: loss ${brief(n.loss)}, partial derivatives ${brief(n.along)} and ` +
        `${brief(n.across)}; preferred ${n.up}, dispreferred ${n.down}.`;
    });
    return `u ${brief(u)}, v ${brief(v)}. ${words.join(" ")} ${relation(...found)}`;
  }
}

export default anywidget(Gallery);
