// Bradley-Terry and beta: the plane of two rewards, the logistic curve, the likelihood. The state is
// in the traits; everything drawn is computed from them.

import { button, fieldRow, outside, readouts } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { BETA, COUNT, FORMULAS, REWARD, WINS } from "./formulas.js";
import { handleNode, listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { box, svg, svgLabel } from "./nodes.js";
import {
  disc, doubled, placeText, placeTexts, plane, polyline, snapped, square, ticks,
} from "./plot.js";
import { buildRewards, drawRewards, drawShade, PLANE } from "./terry_plane.js";
import { brief, short } from "./text.js";
import { keeper } from "./timing.js";

const CURVE = { left: 46, top: 40, side: 284, rise: 92, size: 340, tall: 172 };
const LIKELY = { left: 46, top: 8, side: 284, rise: 92, size: 340, tall: 148 };
const REACH = 4; // largest reward in the plane, doubled as needed
const SNAP = 0.05;
const DEPTH = 6; // nats shown below the maximum
const READOUTS = [
  { key: "share", label: "preferred’s chance" },
  { key: "gap", label: "gap $r_w − r_l$" },
  { key: "likelihood", label: "log-likelihood (nats)" },
  { key: "best", label: "most likely gap" },
  { key: "slope", label: "its slope" },
  { key: "error", label: "standard error" },
  { key: "margin", label: "$u − v$ for this gap" },
  { key: "loss", label: "DPO loss (nats)" },
];

export function solve({ r_w: rw, r_l: rl, n, wins, beta }) {
  const gap = rw - rl;
  const [likelihood, slope] = FORMULAS.likelihood(gap, wins, n - wins);
  const agreed = wins === 0 || wins === n;
  // If all comparisons agree, the log-likelihood approaches 0 and has no maximum.
  const [best, top, error] = agreed ? [wins ? Infinity : -Infinity, 0, NaN]
    : FORMULAS.top(wins, n - wins);
  const [margin, loss] = FORMULAS.dpo(gap, beta);
  const [share] = FORMULAS.share(rw, rl);
  return { gap, share, likelihood, slope, agreed, best, top, error, margin, loss };
}

function verdict({ share, agreed, gap, best }, { n, wins }) {
  const seen = `The model expects ${brief(n * share)} wins of ${n}, and ${wins} ` +
    `${wins === 1 ? "was" : "were"} seen.`;
  if (agreed) return [seen, "All judgements agree: a wider gap is always likelier, without end."];
  if (Math.abs(gap - best) < 1e-9) return [seen, "No other gap is as likely, and the level is free."];
  return [seen, `A ${best > gap ? "wider" : "narrower"} gap would be likelier; the level is free.`];
}

class Preferences extends Figure {
  static kind = "preferences";
  static traits = ["r_w", "r_l", "n", "wins", "beta"];

  build() {
    this.count = this.row(COUNT, {
      label: "judged $n$", name: "comparisons n", whole: true, low: 1, high: 1000, marks: [1, 10, 100, 1000],
    });
    this.wins = this.row(WINS, { label: "won $k$", name: "wins k", low: 0, high: 10, log: false, whole: true });
    this.beta = this.row(BETA, { low: 0.01, high: 3, marks: [0.01, 0.1, 1, 3] });
    this.fields = this.fieldsFor({ r_w: "$r_w$", r_l: "$r_l$" }, { signed: true });
    this.plane = buildRewards(this.id);
    this.curve = this.buildCurve();
    this.likely = this.buildLikely();
    [this.dataFor, this.topFor] = [keeper(), keeper()];
    this.readouts = readouts(READOUTS);
    return [
      this.plane.node, box("dpf-curves", this.curve.node, this.likely.node),
      this.count.node, this.wins.node, this.beta.node,
      fieldRow(this.fields, button("Most likely", () => this.toBest()),
        button("Reset", () => this.reset())),
      this.words, this.readouts.node,
    ];
  }

  buildCurve() {
    const part = { handle: handleNode() };
    part.top = svg("g", { class: "dpf-ticks", "text-anchor": "middle" });
    part.topLabel = svg("text", { x: CURVE.left + CURVE.side / 2, y: 12, class: "dpf-axis" },
      svgLabel("log-ratio margin $u − v$ (nats)"));
    part.seenText = svg("text", { class: "dpf-note dpf-halo dpf-model", "text-anchor": "end" });
    return plane({
      part, id: `${this.id}-curve`, ...CURVE, tones: ["plain", "plain"],
      label: "The chance of the preferred over the gap, with a point that can be moved",
      inside: ["seen", "logistic"],
      above: [part.top, part.topLabel, part.seenText, part.handle],
    });
  }

  buildLikely() {
    return plane({
      part: {}, id: `${this.id}-likely`, ...LIKELY, tones: ["plain", "plain"],
      label: "The log-likelihood of the data over the gap, below its best",
      inside: ["ridge", "likelihood"], above: ["best", "here"],
    });
  }

  // -- events --

  listen() {
    const { plane: { node, part: { handle } }, curve } = this;
    const held = [
      listenToPointer(node, handle, () => this.frame, (rw, rl) => this.moveTo(rw, rl)),
      listenToPointer(curve.node, curve.part.handle, () => this.gaps, (gap) => this.moveGap(gap)),
    ];
    this.held = () => held.some((one) => one());
    const home = () => this.change({ r_w: this.begin.r_w, r_l: this.begin.r_l });
    listenToKeys(handle, (right, up, fast) => {
      const { r_w: rw, r_l: rl } = this.values();
      const size = SNAP * (fast ? 20 : 2);
      this.moveTo(rw + right * size, rl + up * size);
    }, home);
    listenToKeys(curve.part.handle, (right, up, fast) => {
      const { gap } = solve(this.values());
      this.moveGap(gap + (right + up) * SNAP * (fast ? 20 : 2));
    }, home);
  }

  // A new number of comparisons keeps the share of wins.
  takeNumber(name, value, text) {
    if (name !== "n") return super.takeNumber(name, value, text);
    const { n, wins } = this.values();
    return this.give({ n: value, wins: Math.round((wins * value) / n) }, text, n);
  }

  wrong({ r_w: rw, r_l: rl, n, wins, beta }) {
    if (wins > n) return `there are ${n} comparisons`;
    return outside(rw, REWARD) || outside(rl, REWARD) || outside(n, COUNT) || outside(wins, WINS) ||
      outside(beta, BETA) || ([n, wins].every(Number.isInteger) ? "" : "comparisons are counted");
  }

  moveTo(a, b) {
    const { low, high } = this.frame;
    const [rw, rl] = [a, b].map((c) => snapped(c, SNAP, low, high));
    this.change({ r_w: rw, r_l: rl });
  }

  // Change the gap and keep the mean reward.
  moveGap(to) {
    const { r_w: rw, r_l: rl } = this.values();
    const { low, high } = this.gaps;
    this.place(snapped(to, SNAP, low, high), (rw + rl) / 2);
  }

  place(gap, middle) {
    const [rw, rl] = [middle + gap / 2, middle - gap / 2].map((r) => Number(r.toPrecision(12)));
    this.change({ r_w: rw, r_l: rl });
  }

  toBest() {
    const { r_w: rw, r_l: rl } = this.values();
    const { best, agreed } = solve(this.values());
    if (agreed) return this.complain("All judgements agree: there is no most likely gap.");
    return this.place(best, (rw + rl) / 2);
  }

  // -- drawing --

  draw() {
    const state = this.values();
    if (state.wins > state.n) return; // half of a change from the kernel
    const n = solve(state);
    // Keep the windows during a drag; else the handle would jump away from the pointer.
    if (!this.held?.()) this.frameAll(state, n);
    // These parts depend on the data and the windows, but not on the rewards.
    this.dataFor(JSON.stringify([state.n, state.wins, this.gaps.high, this.frame.high]), () => {
      drawShade(this.plane, this.frame, state, n);
      this.drawSeen(state);
      this.drawLikelihood(state, n);
    });
    drawRewards(this.plane, this.frame, state, n);
    this.drawCurve(state, n);
    this.drawHere(n);
    this.count.show(state.n);
    this.wins.track.reach(0, state.n, ticks(0, state.n, 4).filter(Number.isInteger));
    this.wins.show(state.wins);
    this.beta.show(state.beta);
    for (const [name, field] of Object.entries(this.fields)) field.show(state[name]);
    this.readouts.show({ ...n, best: n.agreed ? "none" : n.best, error: n.agreed ? "none" : n.error });
    const [first, second] = verdict(n, state);
    this.put({ strong: first }, ` ${second}`);
  }

  frameAll({ r_w: rw, r_l: rl }, { gap }) {
    const high = doubled(REACH, Math.max(Math.abs(rw), Math.abs(rl)));
    const wide = doubled(1.5 * REACH, Math.abs(gap));
    if (this.frame?.high === high && this.gaps?.high === wide) return;
    this.frame = square(PLANE, [-high, high]);
    this.gaps = square(CURVE, [-wide, wide], [0, 1]);
    this.depths = square(LIKELY, [-wide, wide], [-DEPTH, 0.5]);
    this.plane.axes(this.frame, "preferred: reward $r_w$ (log-odds)",
      "dispreferred: reward $r_l$ (log-odds)");
    this.curve.axes(this.gaps, "gap $r_w − r_l$ (log-odds)", "chance");
    this.likely.axes(this.depths, "gap $r_w − r_l$ (log-odds)", "log-lik. (nats)");
    const curve = this.across((d) => [d, FORMULAS.share(d, 0)[0]], this.gaps);
    this.curve.part.logistic.setAttribute("d", curve);
  }

  // A curve across the gaps of the window.
  across(at, frame) {
    return polyline(Array.from({ length: 121 }, (_, i) => {
      const [x, y] = at(frame.low + (i / 120) * (frame.high - frame.low));
      return [frame.x(x), frame.y(Math.max(y, frame.bottom - 1))];
    }));
  }

  drawSeen({ n, wins }) {
    const { gaps, curve: { part } } = this;
    const seen = wins / n;
    part.seen.setAttribute("d", `M${CURVE.left} ${short(gaps.y(seen))}h${CURVE.side}`);
    part.seenText.textContent = `seen: ${wins} of ${n}`;
    placeText(part.seenText, CURVE.left + (seen < 0.5 ? CURVE.side - 4 : 104),
      gaps.y(seen) + (seen < 0.5 ? -6 : 16));
  }

  drawCurve({ beta }, { gap, share }) {
    const { gaps, curve: { part } } = this;
    this.topFor(`${gaps.low} ${beta}`, () => {
      const [low] = FORMULAS.dpo(gaps.low, beta);
      const unit = CURVE.side / (-2 * low);
      placeTexts(part.top, ticks(low, -low, 5).map((mark) =>
        [CURVE.left + (mark - low) * unit, CURVE.top - 8, brief(mark)]));
    });
    placeHandle(part.handle, [gaps.x(gap), gaps.y(share)], gaps, "Gap of the rewards", gap,
      `gap ${brief(gap)}, chance ${brief(share)}`);
  }

  drawLikelihood({ n, wins }, { best, top, agreed }) {
    const { depths, likely: { part } } = this;
    const below = (d) => FORMULAS.likelihood(d, wins, n - wins)[0] - top;
    // A sharp peak may lie between even grid points, so points near it are added.
    const inside = !agreed && Math.abs(best) < depths.high;
    const raster = Array.from({ length: 121 }, (_, i) =>
      depths.low + (i / 120) * (depths.high - depths.low));
    const wide = inside ? 4 * FORMULAS.top(wins, n - wins)[2] : 0;
    const near = Array.from({ length: inside ? 41 : 0 }, (_, i) => best + wide * (i / 20 - 1));
    const all = [...raster, ...near].sort((a, b) => a - b);
    part.likelihood.setAttribute("d", polyline(all.map((d) =>
      [depths.x(d), depths.y(Math.max(below(d), -DEPTH - 1))])));
    part.ridge.setAttribute("d",
      inside ? `M${short(depths.x(best))} ${LIKELY.top}v${LIKELY.rise}` : "");
    part.best.setAttribute("d", inside ? disc(depths.x(best), depths.y(0)) : "");
  }

  drawHere({ gap, likelihood, top }) {
    const { depths, likely: { part } } = this;
    const down = likelihood - top;
    part.here.setAttribute("d", down > -DEPTH ? disc(depths.x(gap), depths.y(down)) : "");
  }

  say() {
    const state = this.values();
    if (state.wins > state.n) return "";
    const n = solve(state);
    const best = n.agreed ? "There is no most likely gap." : `Most likely is ${brief(n.best)}.`;
    return `${verdict(n, state).join(" ")} Rewards ${brief(state.r_w)} and ${brief(state.r_l)}, gap ` +
      `${brief(n.gap)}, chance ${brief(n.share)}, log-likelihood ${brief(n.likelihood)}. ${best} ` +
      `With beta ${brief(state.beta)} the gap is ${brief(n.margin)} nats of log-ratio.`;
  }
}

export default anywidget(Preferences);
