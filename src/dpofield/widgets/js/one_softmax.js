// One softmax, one pair. The state is in the traits; everything drawn is computed from them.

import { button, choices, numberField, outside, playButton, readouts } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { BETA, FORMULAS, MARGIN, ROUNDING, SHARE, SIZES } from "./formulas.js";
import { handleNode, listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { box, html, htmlLabel, svg, write } from "./nodes.js";
import { disc, plane, polyline, snapped, square, ticks } from "./plot.js";
import { drifts, reachOf, solve, sum, withShares, withSize } from "./softmax_path.js";
import { brief, short, shown } from "./text.js";
import { keeper } from "./timing.js";

const TRIANGLE = { left: 46, top: 8, side: 284, size: 340 };
const SNAP = 0.005; // of a dragged probability
const STEP = 1; // nats of margin
const READOUTS = [
  { key: "rateW", label: "$d log π_w / dt$", tone: "dpf-preferred" },
  { key: "rateL", label: "$d log π_l / dt$", tone: "dpf-dispreferred" },
  { key: "rateO", label: "others: $d log π_o / dt$" },
  { key: "weight", label: "weight $W$" },
  { key: "factor", label: "fall of $l$ by rise of $w$" },
  { key: "share", label: "$w$’s part of $l$’s loss" },
  { key: "rest", label: "mass of the rest" },
  { key: "top", label: "its most from here" },
  { key: "margin", label: "margin $h$ (nats)" },
  { key: "time", label: "time $t$" },
];

function verdict({ policy, rateO }, w, l) {
  if (policy[w] === policy[l]) return "Equal masses: both move equally fast, the rest stands still.";
  if (rateO < 0) return "The dispreferred falls faster, in log-probability; the rest loses.";
  return "The preferred rises faster, in log-probability; the rest gains.";
}

class OneSoftmax extends Figure {
  static kind = "softmax";
  static traits = ["start", "w", "l", "beta", "margin"];

  build() {
    const { id } = this;
    this.size = choices({
      id, role: "size", legend: "Number of responses",
      options: SIZES.map((n) => ({ value: String(n), label: String(n) })),
      take: (n) => this.takeSize(Number(n)),
    });
    this.beta = this.row(BETA, { low: 0.01, high: 3, marks: [0.01, 0.1, 1, 3] });
    this.margin = this.row(MARGIN, { low: 0, high: 10, log: false });
    this.triangle = this.buildTriangle();
    this.pathFor = keeper();
    this.readouts = readouts(READOUTS);
    this.play = playButton({
      bounds: () => [this.values().margin, reachOf(this.values().start, this.values().w)],
      to: (margin) => this.change({ margin: Number(margin.toPrecision(4)) }),
    });
    return [
      box("dpf-sizerow", html("span", { class: "dpf-label" }, "responses"), this.size.node),
      this.beta.node, this.buildTable(), this.triangle.node,
      box("dpf-buttons", this.play.node, button("Step", () => this.step()),
        button("Back", () => this.moveOn(0)), button("Reset", () => { this.play.pause(); this.reset(); })),
      this.margin.node, this.words, this.readouts.node,
    ];
  }

  // One row per response: its bar, its start, and whether it is the preferred or the dispreferred.
  buildTable() {
    const { id } = this;
    const all = Array.from({ length: SIZES.at(-1) }, (_, i) => i);
    const pick = (role, legend) => choices({
      id, role, legend, take: (value) => this.takePair(role, Number(value.slice(1))),
      options: all.map((i) => ({ value: `${role}${i}`, label: String(i + 1) })),
    });
    const head = (words, tone) => html("span", { class: `dpf-head dpf-${tone}` }, htmlLabel(words));
    this.bars = all.map((i) => {
      const value = html("span", { "data-value": `p${i}` });
      const bar = html("span", { class: "dpf-mass" });
      const mark = html("span", { class: "dpf-mark" });
      const tip = svg("path", {});
      const drift = html("span", { class: "dpf-drift" },
        svg("svg", { viewBox: "0 0 4 8", class: "dpf-tip" }, tip));
      const track = html("span", { class: "dpf-masstrack", "aria-hidden": "true" }, bar, mark, drift);
      const node = box("dpf-response", html("span", { class: "dpf-label" }, `${i + 1}`), value, track);
      return { node, value, bar, mark, drift, tip };
    });
    this.fields = all.map((i) => {
      const field = numberField({
        id, role: `start${i}`, label: `Response ${i + 1}, probability at the start`,
        take: (value, text) => this.takeShare(i, value, text),
      });
      field.label.classList.add("dpf-unseen");
      return { ...field, node: box("dpf-share", field.label, field.input) };
    });
    this.pair = { w: pick("w", "Preferred response"), l: pick("l", "Dispreferred response") };
    return box("dpf-table", head("$π$ now, | start", "now"), head("start", "start"),
      head("preferred", "preferred"), head("dispreferred", "dispreferred"),
      box("dpf-column", this.bars.map(({ node }) => node)),
      box("dpf-column", this.fields.map(({ node }) => node)),
      this.pair.w.node, this.pair.l.node);
  }

  buildTriangle() {
    const part = { handle: handleNode() };
    const frame = square(TRIANGLE, [0, 1]);
    // The key of the two colours, in the half of the square that has no policies.
    const key = (tone, y, ...lines) => [
      svg("rect", { x: 182, y: y - 11, width: 14, height: 14, class: `dpf-${tone}` }),
      ...lines.map((line, i) => svg("text", { x: 202, y: y + 15 * i, class: "dpf-note" }, line)),
    ];
    const corner = (a, b) => `${short(frame.x(a))} ${short(frame.y(b))}`;
    const shape = (name, ...at) => svg("path", { class: `dpf-${name}`, d: `M${at.join("L")}` });
    const { node, axes } = plane({
      part, id: `${this.id}-triangle`, ...TRIANGLE,
      label: "Triangle of policies: the two regions, the path, and a start that can be moved",
      inside: [
        shape("gains", corner(0, 0), corner(0, 1), `${corner(0.5, 0.5)}z`),
        shape("loses", corner(0, 0), corner(1, 0), `${corner(0.5, 0.5)}z`),
        shape("diagonal", corner(0, 0), corner(0.5, 0.5)),
        "level", "flow",
      ],
      above: [
        ...key("gains", 30, "preferred faster,", "the rest gains"),
        ...key("loses", 72, "dispreferred faster,", "the rest loses"),
        "now", part.handle,
      ],
    });
    axes(frame, "preferred, $π_w$", "dispreferred, $π_l$");
    return { node, part, frame };
  }

  // -- events --

  listen() {
    const { node, frame, part: { handle } } = this.triangle;
    listenToPointer(node, handle, () => frame, (a, b) => this.moveTo(a, b));
    listenToKeys(handle, (right, up, fast) => {
      const { start, w, l } = this.values();
      const size = SNAP * (fast ? 20 : 2);
      this.moveTo(start[w] + right * size, start[l] + up * size);
    }, () => this.restart({ start: this.begin.start, w: this.begin.w, l: this.begin.l }));
  }

  remove() {
    this.play.pause();
    super.remove();
  }

  // A new start or a new pair restarts the training.
  restart(values) {
    this.play.pause();
    this.change({ ...values, margin: 0 });
  }

  takeSize(size) {
    const { start, w, l } = this.values();
    const free = [0, 1, 2].filter((i) => i !== w && i !== l);
    const within = (i) => (i < size ? i : free.shift());
    this.restart({ start: withSize(start, size), w: within(w), l: within(l) });
  }

  takePair(role, index) {
    const other = role === "w" ? "l" : "w";
    const values = this.values();
    const swapped = values[other] === index ? { [other]: values[role] } : {};
    this.restart({ [role]: index, ...swapped });
  }

  takeShare(index, value, text) {
    const { start } = this.values();
    const why = outside(value, SHARE);
    if (why) return this.refuse(text, why, start[index]);
    this.restart({ start: withShares(start, { [index]: value }) });
    return "";
  }

  takeNumber(name, value, text) {
    const why = super.takeNumber(name, value, text);
    if (name === "margin" && !why) this.play.pause();
    return why;
  }

  wrong({ start, w, l, beta, margin }) {
    const policy = SIZES.includes(start.length) && start.every((p) => !outside(p, SHARE)) &&
      Math.abs(sum(start) - 1) <= ROUNDING;
    if (!policy) return "its start is no policy of this figure";
    if (w === l || ![w, l].every((i) => i in start)) return "a pair is two different responses";
    return outside(beta, BETA) || outside(margin, MARGIN);
  }

  moveTo(a, b) {
    const { start, w, l } = this.values();
    const piW = snapped(a, SNAP, SNAP, 1 - 3 * SNAP); // leaves some mass for the others
    const piL = snapped(b, SNAP, SNAP, 1 - SNAP - piW);
    if (piW === start[w] && piL === start[l]) return;
    this.restart({ start: withShares(start, { [w]: piW, [l]: piL }) });
  }

  // -- the course of training --

  moveOn(margin) {
    this.play.pause();
    this.change({ margin });
  }

  step() { this.moveOn(Math.min(MARGIN.high, this.values().margin + STEP)); }

  // -- drawing --

  draw() {
    const state = this.values();
    const { start, w, l, beta, margin } = state;
    if (Math.max(w, l) >= start.length || w === l) return; // half of a change from the kernel
    const n = solve(state);
    const reach = reachOf(start, w);
    this.size.show(String(start.length));
    this.beta.show(beta);
    this.margin.track.reach(0, reach, ticks(0, reach, 4));
    this.margin.show(margin);
    this.drawTable(n, state);
    this.drawTriangle(n, state);
    this.readouts.show(n);
    this.put({ strong: verdict(n, w, l) },
      ` $π_w$ ${n.policy[w] > n.policy[l] ? ">" : n.policy[w] < n.policy[l] ? "<" : "="} $π_l$. ` +
      "The preferred rises wherever it stands.");
  }

  drawTable(n, { start, w, l }) {
    const { policy } = n;
    const drift = drifts(n, w, l);
    this.bars.forEach(({ node, value, bar, mark, drift: way, tip }, i) => {
      const there = i < start.length;
      const labels = ["w", "l"].map((role) => this.pair[role].node.querySelectorAll("label")[i]);
      for (const part of [node, this.fields[i].node, ...labels]) part.toggleAttribute("hidden", !there);
      value.toggleAttribute("data-value", there);
      if (!there) return;
      value.dataset.value = `p${i}`;
      write(value, shown(policy[i]));
      bar.className = `dpf-mass dpf-${i === w ? "w" : i === l ? "l" : "o"}`;
      bar.style.width = `${100 * policy[i]}%`;
      mark.style.left = `${100 * start[i]}%`;
      const falls = drift[i] < 0;
      way.className = `dpf-drift dpf-${falls ? "down" : "up"}`;
      way.style.left = `${100 * Math.min(policy[i], policy[i] + drift[i])}%`;
      way.style.width = `${100 * Math.abs(drift[i])}%`;
      tip.setAttribute("d", falls ? "M4 0L0 4L4 8z" : "M0 0L4 4L0 8z");
      this.fields[i].show(start[i]);
    });
    this.pair.w.show(`w${w}`);
    this.pair.l.show(`l${l}`);
  }

  drawTriangle({ policy }, { start, w, l }) {
    const { part, frame } = this.triangle;
    this.pathFor(`${start[w]} ${start[l]}`, () => {
      const [far] = FORMULAS.far(start[w], start[l]);
      const line = (way) => polyline(Array.from({ length: 161 }, (_, i) => {
        const [a, b] = FORMULAS.moved(start[w], start[l], (way * far * i) / 160);
        return [frame.x(a), frame.y(b)];
      }));
      part.flow.setAttribute("d", line(1));
      part.level.setAttribute("d", line(-1));
    });
    const [x, y] = [frame.x(policy[w]), frame.y(policy[l])];
    part.now.setAttribute("d", disc(x, y, 6));
    placeHandle(part.handle, [frame.x(start[w]), frame.y(start[l])], frame,
      "Start: preferred and dispreferred", start[w],
      `preferred ${brief(start[w])}, dispreferred ${brief(start[l])}`);
  }

  say() {
    const state = this.values();
    const { start, w, l, beta, margin } = state;
    if (Math.max(w, l) >= start.length || w === l) return "";
    const n = solve(state);
    return `${verdict(n, w, l)} Response ${w + 1} is preferred and has ${brief(n.policy[w])}, ` +
      `response ${l + 1} is dispreferred and has ${brief(n.policy[l])}, the rest has ${brief(n.rest)}. ` +
      `Rates ${brief(n.rateW)}, ${brief(n.rateL)} and ${brief(n.rateO)}. ` +
      `Margin ${brief(margin)} nats, beta ${brief(beta)}.`;
  }
}

export default anywidget(OneSoftmax);
