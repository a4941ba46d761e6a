// The run player: the cloud of pairs over the field, and how fast they move. Only records are shown;
// nothing is interpolated.

import { button, choices, numberField, playButton, readouts, select, slider } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { FORMULAS } from "./formulas.js";
import { handleNode, listenToKeys, placeHandle, placeIn } from "./handle.js";
import { box, html, htmlLabel, svg } from "./nodes.js";
import {
  arrowNodes, disc, drawArrows, plane, polyline, referenceMark, square, within,
} from "./plot.js";
import { brief, cut, short } from "./text.js";

const PLANE = { left: 54, top: 8, side: 280, size: 340, tall: 336 };
const RATES = { left: 46, top: 8, side: 284, rise: 108, size: 340, tall: 164 };
const GRID = 13; // arrows per side
const WINDOW = 2.6; // largest ratio shown
const BINS = 24;
const NEAR = 24; // px, largest distance at which a pointer selects a pair
const TITLES = { "log-ratio": "log-ratios", ratio: "ratios" };
const READOUTS = [
  { key: "u", label: "mean $u$ (nats)", tone: "dpf-preferred" },
  { key: "v", label: "mean $v$ (nats)", tone: "dpf-dispreferred" },
  { key: "rateU", label: "mean $Δu$ a step", tone: "dpf-preferred" },
  { key: "rateV", label: "mean $Δv$ a step", tone: "dpf-dispreferred" },
  { key: "margin", label: "mean margin (nats)" },
  { key: "loss", label: "mean loss (nats)" },
];

const mean = (numbers) => numbers.reduce((total, one) => total + one, 0) / numbers.length;

// Changes per step since the previous record; none at the first.
function ratesOf(paths, step, record) {
  if (record === 0) return [];
  const time = step[record] - step[record - 1];
  return paths[record].map((now, i) => (now - paths[record - 1][i]) / time);
}

export function solve({ step, u, v, beta, record }) {
  const [us, vs] = [u[record], v[record]];
  const [ratesU, ratesV] = [u, v].map((paths) => ratesOf(paths, step, record));
  const formula = FORMULAS["log-ratio"].loss; // null if it depends on more than u and v
  const loss = formula ? us.map((one, i) => formula(one, vs[i], beta)[0]) : [NaN];
  return {
    ratesU, ratesV, u: mean(us), v: mean(vs), margin: mean(us.map((one, i) => one - vs[i])),
    rateU: record ? mean(ratesU) : NaN, rateV: record ? mean(ratesV) : NaN, loss: mean(loss),
    above: us.filter((one) => one > 0).length, below: vs.filter((one) => one < 0).length,
    more: ratesU.filter((one, i) => Math.abs(ratesV[i]) > Math.abs(one)).length, all: us.length,
  };
}

// Windows for both log-ratios, on the same scale and centred on the paths.
function around(u, v) {
  const ends = [u, v].map((paths) => paths.flat()).map((all) => [Math.min(0, ...all), Math.max(0, ...all)]);
  const half = 0.53 * Math.max(1, ...ends.map(([low, high]) => high - low));
  return ends.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
}

function verdict({ above, below, more, all }, { step, record }) {
  if (record === 0) return ["All pairs start at one point.", "Play the run, or take it step by step."];
  return [
    `After ${step[record]} steps the preferred is up in ${above} of ${all} pairs, ` +
      `the dispreferred down in ${below}.`,
    `Since step ${step[record - 1]} the dispreferred moved more in ${more}.`,
  ];
}

class Player extends Figure {
  static kind = "player";
  static traits = ["chart", "record", "pair", "step", "u", "v", "texts", "title", "beta"];
  static given = ["step", "u", "v", "texts", "title", "beta"];

  build() {
    const { id } = this;
    const { texts, title } = this.values();
    this.charts = choices({
      id, role: "charts", legend: "Coordinates",
      options: Object.keys(FORMULAS).map((value) => ({ value, label: TITLES[value] })),
      take: (chart) => this.change({ chart }),
    });
    this.field = numberField({ id, role: "step", take: (at, text) => this.takeStep(at, text) });
    this.field.label.append("step");
    this.track = slider({
      name: "step", low: 0, high: this.last, log: false, whole: true,
      words: (i) => String(this.model.get("step")[i]), take: (record) => this.goTo(record),
    });
    this.pairs = select({
      id, role: "pair", label: "Pair", take: (pair) => this.change({ pair: Number(pair) }),
      groups: [[title || "pairs", texts.map(([prompt], i) => ({
        value: String(i), label: `${i + 1}: ${prompt}`,
      }))]],
    });
    this.play = playButton({
      bounds: () => [this.model.get("record"), this.last],
      to: (at) => {
        const record = Math.floor(at);
        if (record !== this.model.get("record")) this.change({ record });
      },
    });
    this.plane = this.buildPlane();
    this.rates = this.buildRates();
    this.prompt = html("p", { class: "dpf-prompt" });
    this.texts = ["preferred", "dispreferred"].map((tone) => html("p", { class: `dpf-${tone}` }));
    this.readouts = readouts(READOUTS);
    return [
      box("dpf-head", html("p", { class: "dpf-label" }, title), this.charts.node),
      this.plane.node,
      box("dpf-side", this.rates.node, box("dpf-texts", this.prompt, ...this.texts)),
      box("dpf-numberrow dpf-time", this.field.label, this.track.node, this.field.input),
      box("dpf-buttons", this.play.node, button("Step", () => this.goTo(this.values().record + 1)),
        button("Back", () => this.goTo(0)), button("Reset", () => { this.play.pause(); this.reset(); })),
      this.pairs.node, this.words, this.readouts.node,
    ];
  }

  buildPlane() {
    const part = { handle: handleNode(), arrows: arrowNodes(), reference: referenceMark() };
    part.beyond = svg("text", {
      class: "dpf-note dpf-halo", "text-anchor": "end", x: PLANE.left + PLANE.side - 6, y: 26,
    });
    return plane({
      part, id: `${this.id}-plane`, ...PLANE,
      label: "All pairs of the run over the field, one of which can be chosen",
      inside: [...part.arrows, "trails", "cloud", "trail"],
      above: [...part.reference.nodes, part.beyond, part.handle],
    });
  }

  buildRates() {
    const part = {};
    part.none = svg("text", {
      class: "dpf-note", "text-anchor": "middle", x: RATES.left + RATES.side / 2, y: RATES.top + 58,
    }, "nothing has moved yet");
    return plane({
      part, id: `${this.id}-rates`, ...RATES, tones: ["plain", "plain"],
      label: "How many pairs moved how fast since the record before",
      inside: ["barsW", "barsL", "zero"], above: [part.none],
    });
  }

  get last() { return this.model.get("step").length - 1; }

  // Update the parts that depend on the whole run, which may still grow.
  takeRun({ step, u, v }) {
    if (this.seen) this.begin = { ...this.begin, step, u, v, record: 0 };
    this.seen = step;
    const about = Math.max(1, Math.round(this.last / 4));
    this.track.reach(0, this.last, step.map((_, i) => i).filter((i) => i % about === 0));
    this.scaleRates(step, u, v);
    this.shownChart = "";
  }

  // One scale for all records.
  scaleRates(step, u, v) {
    const found = step.flatMap((_, i) => [...ratesOf(u, step, i), ...ratesOf(v, step, i)]);
    const [low, high] = [Math.min(0, ...found), Math.max(0, ...found)];
    const room = 0.02 * (high - low) || 1;
    const frame = square(RATES, [low - room, high + room], [0, 1]);
    const tallest = Math.max(...step.flatMap((_, i) =>
      [u, v].flatMap((paths) => this.counted(ratesOf(paths, step, i), frame))));
    this.bins = square(RATES, [low - room, high + room], [0, 1.05 * tallest]);
    this.rates.axes(this.bins, "change of log $π$ a step (nats)", "pairs");
  }

  counted(rates, { low, high }) {
    const counts = Array(BINS).fill(0);
    for (const rate of rates) {
      counts[Math.min(BINS - 1, Math.floor((BINS * (rate - low)) / (high - low)))] += 1;
    }
    return counts;
  }

  // -- events --

  listen() {
    const { node, part: { handle } } = this.plane;
    // A pair is shown while the mouse is over it; a click selects it.
    const over = (event) => {
      const [x, y] = placeIn(node, event);
      const far = this.points.map(([px, py]) => Math.hypot(px - x, py - y));
      const nearest = far.indexOf(Math.min(...far));
      return far[nearest] <= NEAR / node.getScreenCTM().a ? nearest : null;
    };
    const hover = (found) => {
      if (found === this.hovered) return;
      this.hovered = found;
      this.redraw();
    };
    node.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") hover(over(event));
    });
    node.addEventListener("pointerleave", () => hover(null));
    node.addEventListener("click", (event) => {
      const found = over(event);
      if (found !== null) this.change({ pair: found });
    });
    listenToKeys(handle, (right, up, fast) => {
      const { pair, texts } = this.values();
      const to = pair + (right + up) * (fast ? 5 : 1);
      this.change({ pair: within(to, 0, texts.length - 1) });
    }, () => this.change({ pair: this.begin.pair }));
  }

  // While `follow` is true, the kernel moves `record` to each new record. So a change of `follow` is
  // saved at once, without the usual pause.
  change(values, message) {
    if (!("record" in values)) return super.change(values, message);
    const follow = values.record === this.last;
    const known = follow === this.model.get("follow");
    this.hand = values.record;
    super.change(known ? values : { ...values, follow }, message);
    if (!known) this.model.save_changes();
    return undefined;
  }

  tell() {
    this.hand = undefined;
    super.tell();
  }

  remove() {
    this.play.pause();
    super.remove();
  }

  takeStep(at, text) {
    const { step, record } = this.values();
    const found = step.indexOf(at);
    if (found < 0) {
      return this.refuse(text, `records are kept at ${step[0]}, ${step[1]}, … ${step.at(-1)}`,
        step[record]);
    }
    this.goTo(found);
    return "";
  }

  wrong({ chart, record, pair, texts }) {
    if (!Object.hasOwn(FORMULAS, chart)) return `there is no chart “${cut(chart)}”`;
    if (!(Number.isInteger(record) && record >= 0 && record <= this.last)) {
      return `there is no record ${brief(record)}`;
    }
    return pair in texts ? "" : `there is no pair ${brief(pair)}`;
  }

  goTo(record) {
    this.play.pause();
    this.change({ record: Math.min(record, this.last) });
  }

  // -- drawing --

  draw() {
    const state = this.values();
    const { step, u, v } = state;
    if (u.length !== step.length || v.length !== step.length) return; // half of a change from the kernel
    if (step !== this.seen) this.takeRun(state);
    if (this.hand !== undefined && !this.model.get("follow") && state.record !== this.hand) {
      state.record = this.hand; // the kernel sent its record before it received `follow`
      this.model.set({ record: this.hand });
    }
    const n = solve(state);
    this.drawField(state);
    this.drawCloud(state);
    this.drawRates(n, state);
    this.drawTexts(state);
    this.charts.show(state.chart);
    this.track.show(state.record);
    this.field.show(state.step[state.record]);
    this.pairs.show(String(state.pair));
    this.readouts.show(n);
    const [first, second] = verdict(n, state);
    this.sentence.replaceChildren(html("strong", {}, first), ` ${second}`);
  }

  // Field and axes change only with the chart.
  drawField({ chart, u, v, beta }) {
    if (this.shownChart === chart) return;
    this.shownChart = chart;
    const { part, axes } = this.plane;
    this.frame = chart === "ratio" ? square(PLANE, [0, WINDOW]) : square(PLANE, ...around(u, v));
    const [x, y, unit] = chart === "ratio" ? ["ratio $x_1$", "ratio $x_2$", ""]
      : ["log-ratio $u$", "log-ratio $v$", " (nats)"];
    axes(this.frame, `preferred: ${x}${unit}`, `dispreferred: ${y}${unit}`);
    const { gradient } = FORMULAS[chart];
    drawArrows(part.arrows, this.frame, GRID, (a, b) =>
      gradient && gradient(a, b, beta).map((partial) => -partial));
  }

  at(chart, u, v) {
    const [a, b] = FORMULAS[chart].fromLogratios(u, v);
    return [this.frame.x(a), this.frame.y(b)];
  }

  drawCloud({ chart, u, v, record, pair }) {
    const { frame, plane: { part } } = this;
    this.points = u[record].map((one, i) => this.at(chart, one, v[record][i]));
    const trail = (i) => polyline(u.slice(0, record + 1).map((us, t) => this.at(chart, us[i], v[t][i])));
    const seen = this.hovered ?? pair;
    part.trails.setAttribute("d", this.points.map((_, i) => trail(i)).join(""));
    part.trail.setAttribute("d", trail(seen));
    part.cloud.setAttribute("d", this.points.map(([x, y]) => disc(x, y)).join(""));
    const out = this.points.filter((point) => !frame.covers(...point)).length;
    part.beyond.textContent = out ? `${out} beyond the picture` : "";
    const [x, y] = this.points[seen];
    const place = [within(x, frame.left, frame.left + frame.side),
      within(y, frame.top, frame.top + frame.rise)];
    part.reference.show(...this.at(chart, 0, 0), ...place);
    placeHandle(part.handle, place, { low: 1, high: u[0].length }, "Pair", seen + 1,
      `pair ${seen + 1}: ${this.model.get("texts")[seen][0]}`);
  }

  drawRates({ ratesU, ratesV }, { record }) {
    const { bins, rates: { part } } = this;
    const width = (bins.high - bins.low) / BINS;
    const bars = (counts) => counts.map((count, i) => (count === 0 ? "" :
      `M${short(bins.x(bins.low + i * width) + 0.5)} ${short(bins.y(0))}` +
      `V${short(bins.y(count))}h${short(width * bins.unit - 1)}V${short(bins.y(0))}z`)).join("");
    part.barsW.setAttribute("d", bars(this.counted(ratesU, bins)));
    part.barsL.setAttribute("d", bars(this.counted(ratesV, bins)));
    part.zero.setAttribute("d", `M${short(bins.x(0))} ${RATES.top}v${RATES.rise}`);
    part.none.toggleAttribute("hidden", record > 0);
  }

  drawTexts({ texts, u, v, record, pair }) {
    const seen = this.hovered ?? pair;
    const [prompt, ...responses] = texts[seen];
    this.prompt.replaceChildren(html("strong", {}, `Pair ${seen + 1}. `), prompt);
    this.texts.forEach((node, i) => {
      const [now, name] = i ? [v, "v"] : [u, "u"];
      node.replaceChildren(...htmlLabel(`$${name}$ = `), html("span", { "data-value": `pair-${name}` },
        brief(now[record][seen], 6)), " ", responses[i]);
    });
  }

  say() {
    const state = this.values();
    const n = solve(state);
    const { u, v, record, pair, texts } = state;
    return `${verdict(n, state).join(" ")} Mean log-ratios ${brief(n.u)} and ${brief(n.v)}. Pair ` +
      `${pair + 1}, ${texts[pair].join(" ")} Its log-ratios are ${brief(u[record][pair])} and ` +
      `${brief(v[record][pair])}.`;
  }
}

export default anywidget(Player);
