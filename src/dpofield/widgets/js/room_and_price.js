// Room and price: twelve responses, and the plane of the two means. The state is in the traits;
// everything drawn is computed from them.

import { button, choices, fieldRow, outside, readouts } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { MARGIN, PAIRS, POLICIES, REWARDS, SD, SIZE, SPREAD } from "./formulas.js";
import { handleNode, listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { svg, svgLabel } from "./nodes.js";
import { disc, doubled, placeText, plane, polyline, snapped, square } from "./plot.js";
import { pathOf, policyAt, REFERENCE, ROUNDING, solve } from "./room_path.js";
import { brief, cut, short } from "./text.js";
import { keeper } from "./timing.js";

const BARS = { left: 54, top: 8, side: 276, rise: 202, size: 340, tall: 258 };
const PLANE = { left: 46, top: 8, side: 284, size: 340 };
const WINDOW = 3; // nats
const TALL = 0.25; // of a probability
const SNAP = 0.01; // nats of margin
const FILL = 0.7; // width of a bar
const READOUTS = [
  { key: "u", label: "preferred $u$", tone: "dpf-preferred" },
  { key: "v", label: "dispreferred $v$", tone: "dpf-dispreferred" },
  { key: "ceiling", label: "ceiling of $u$", tone: "dpf-preferred" },
  { key: "missing", label: "$KL(q_w ‖ π)$" },
  { key: "half", label: "half of $m$" },
  { key: "kl", label: "$KL(π_ref ‖ π)$" },
  { key: "middle", label: "middle" },
  { key: "least", label: "least KL at $m$" },
  { key: "margin", label: "margin $m$ (nats)" },
  { key: "efficiency", label: "efficiency" },
];

function verdict({ u, kl, ceiling }, { pairs }) {
  if (kl < ROUNDING) return "The policy is the reference.";
  if (u >= 0) return `The preferred has risen by ${brief(u, 3)} nats; no policy can pass ${brief(ceiling, 3)}.`;
  return pairs === "best" ? `The preferred has fallen by ${brief(-u, 2)} nats.`
    : "The preferred has fallen: the divergence is larger than half of the margin.";
}

const account = ({ pairs }) => (pairs === "best"
  ? "Mean $u$ is half of the margin plus the middle."
  : "Mean $u$ is half of the margin less the divergence.");

class Room extends Figure {
  static kind = "room";
  static traits = ["pairs", "policy", "margin", "noise", "sd", "n"];

  build() {
    const { id } = this;
    const options = (names) => Object.entries(names).map(([value, label]) => ({ value, label }));
    this.kinds = choices({
      id, role: "kinds", legend: "Pairs of the reference", options: options(PAIRS),
      take: (pairs) => this.change({ pairs }),
    });
    this.ways = choices({
      id, role: "ways", legend: "Policy", options: options(POLICIES),
      take: (policy) => this.change({ policy }),
    });
    this.margin = this.row({ ...MARGIN, label: "margin $m$" }, { low: 0, high: 4, marks: [0, 1, 2, 3, 4], log: false });
    this.noise = this.row({ ...SPREAD, label: "noise" }, { low: 0, high: 2, marks: [0, 1, 2], log: false });
    this.fields = this.fieldsFor({ sd: "reward sd", n: "best of $n$" });
    this.bars = this.buildBars();
    this.plane = this.buildPlane();
    this.linesFor = keeper();
    this.outlinesFor = keeper();
    this.readouts = readouts(READOUTS);
    return [
      this.kinds.node, this.ways.node, this.margin.node, this.noise.node, this.plane.node,
      this.bars.node, fieldRow(this.fields, button("Reset", () => this.reset())),
      this.words, this.readouts.node,
    ];
  }

  buildBars() {
    const part = {};
    const key = [["policy", "$π$"], ["qw", "$q_w$"], ["ql", "$q_l$"], ["even", "$π_ref$"]];
    const names = key.flatMap(([name, label], i) => [
      svg("rect", { x: 64 + 64 * i, y: 18, width: 12, height: 12, class: `dpf-key-${name}` }),
      svg("text", { x: 80 + 64 * i, y: 28, class: "dpf-note" }, svgLabel(label)),
    ]);
    return plane({
      part, id: `${this.id}-bars`, ...BARS, tones: ["plain", "plain"],
      label: "Twelve responses in the order of their reward: policy, preferred and dispreferred",
      inside: ["policy", "even", "ql", "qw"], above: names,
    });
  }

  buildPlane() {
    const part = { handle: handleNode() };
    part.text = svg("text", { class: "dpf-note dpf-halo", "text-anchor": "end" }, "out of reach");
    part.best = svg("text", { class: "dpf-note dpf-halo dpf-optimum" }, "RLHF optimum");
    return plane({
      part, id: `${this.id}-plane`, ...PLANE,
      label: "Means of both log-ratios: the unreachable part, the ceiling, and a policy that can be moved",
      inside: ["excluded", "cap", "level", "flow", "start", "sft"],
      above: [part.text, part.best, part.handle],
    });
  }

  // -- events --

  listen() {
    const { node, part: { handle } } = this.plane;
    this.held = listenToPointer(node, handle, () => this.frame, (u, v) => this.moveTo(u - v));
    listenToKeys(handle, (right, up, fast) =>
      this.moveTo(this.values().margin + (right - up) * SNAP * (fast ? 20 : 4)),
    () => this.change({ margin: this.begin.margin }));
  }

  takeNumber(name, value, text) {
    if (name === "sd") return this.give({ pairs: "judges", sd: value }, text, this.values().sd);
    if (name === "n") return this.give({ pairs: "best", n: value }, text, this.values().n);
    return super.takeNumber(name, value, text);
  }

  wrong({ pairs, policy, margin, noise, sd, n }) {
    if (!Object.hasOwn(PAIRS, pairs)) return `there are no pairs “${cut(pairs)}”`;
    if (!Object.hasOwn(POLICIES, policy)) return `there is no policy “${cut(policy)}”`;
    return outside(margin, MARGIN) || outside(noise, SPREAD) || outside(sd, SD) ||
      outside(n, SIZE) || (Number.isInteger(n) ? "" : "responses are counted");
  }

  moveTo(margin) { this.change({ margin: snapped(margin, SNAP, 0, MARGIN.high) }); }

  // -- drawing --

  draw() {
    const state = this.values();
    const n = solve(state);
    // Keep the windows during a drag; else the handle would jump away from the pointer.
    if (!this.held?.()) this.frameAll(n);
    const { pairs, policy, sd, n: size } = state;
    this.linesFor(JSON.stringify([pairs, sd, size, this.frame.high]), () => this.drawLines(n));
    this.outlinesFor(JSON.stringify([pairs, sd, size, this.tall.ceiling]), () => this.drawOutlines(n));
    this.drawPolicy(n);
    this.kinds.show(pairs);
    this.ways.show(policy);
    this.margin.show(state.margin);
    this.noise.show(state.noise);
    for (const [name, field] of Object.entries(this.fields)) field.show(state[name]);
    this.readouts.show(n);
    const end = state.margin > n.margin + 1e-9 ? " SFT ends here, at the preferred responses." : "";
    this.put({ strong: verdict(n, state) }, ` ${account(state)}${end}`);
  }

  frameAll({ world, probabilities, u, v, ceiling }) {
    const wide = doubled(WINDOW, Math.max(2.6 * ceiling, -u / 0.6, -v / 0.9));
    if (this.frame?.high !== 0.4 * wide) {
      this.frame = square(PLANE, [-0.6 * wide, 0.4 * wide], [-0.9 * wide, 0.1 * wide]);
      this.plane.axes(this.frame, "preferred: mean $u$ (nats)", "dispreferred: mean $v$ (nats)");
    }
    const most = Math.max(...probabilities, ...world.up.map((ratio, i) => ratio * REFERENCE[i]));
    const tall = Math.min(1, doubled(TALL, most));
    if (this.tall?.ceiling !== tall) {
      this.tall = square(BARS, [0.5, REWARDS.length + 0.5], [0, tall]);
      this.bars.axes(this.tall, "responses, by rising reward", "probability");
    }
  }

  // The parts of the plane that depend on the pairs only.
  drawLines({ world, ceiling }) {
    const { frame, plane: { part } } = this;
    const inPlane = ([u, v]) => [frame.x(u), frame.y(v)];
    const reach = frame.high - frame.bottom;
    const border = pathOf(world, "border", 2 * reach);
    const cheapest = pathOf(world, "cheapest", 2 * reach);
    const optimum = pathOf(world, "rlhf", reach);
    // Exchanging preferred and dispreferred mirrors the border.
    const mirrored = border.map(([u, v]) => [v, u]).reverse();
    const [far, high] = [frame.high + reach, frame.ceiling + reach];
    part.excluded.setAttribute("d", `${polyline([...mirrored, ...border,
      [far, frame.bottom - reach], [far, high], [frame.low - reach, high]].map(inPlane))}Z`);
    part.flow.setAttribute("d", polyline(cheapest.map(inPlane)));
    part.level.setAttribute("d", polyline(optimum.map(inPlane)));
    part.cap.setAttribute("d", `M${short(frame.x(ceiling))} ${PLANE.top}v${PLANE.side}`);
    part.start.setAttribute("d", disc(frame.x(0), frame.y(0)));
    const end = policyAt(world, "sft", Infinity);
    const [x, y] = inPlane([end.u, end.v]);
    part.sft.setAttribute("d", `M${short(x - 5)} ${short(y - 5)}h10v10h-10z`);
    placeText(part.text, PLANE.left + PLANE.side - 6, PLANE.top + PLANE.side - 10);
    const seen = optimum.filter(([u, v]) => frame.holds(u, v));
    const [bx, by] = inPlane(seen.at(-1));
    const [aside, anchor] = bx > PLANE.left + 110 ? [-10, "end"] : [10, "start"];
    placeText(part.best, bx + aside, Math.min(by, PLANE.top + PLANE.side - 26) - 4, anchor);
  }

  // The three distributions that do not move with the policy, as steps.
  drawOutlines({ world }) {
    const { tall, bars: { part } } = this;
    const steps = (ratios) => polyline(ratios.flatMap((ratio, i) =>
      [0.5, 1.5].map((side) => [tall.x(i + side), tall.y(ratio * REFERENCE[i])])));
    part.qw.setAttribute("d", steps(world.up));
    part.ql.setAttribute("d", steps(world.down));
    part.even.setAttribute("d", steps(REFERENCE.map(() => 1)));
  }

  drawPolicy({ probabilities, u, v, margin }) {
    const { frame, tall, bars: { part } } = this;
    part.policy.setAttribute("d", probabilities.map((p, i) => {
      const [left, right] = [-1, 1].map((side) => short(tall.x(i + 1 + (side * FILL) / 2)));
      return `M${left} ${short(tall.y(0))}V${short(tall.y(p))}H${right}V${short(tall.y(0))}Z`;
    }).join(""));
    placeHandle(this.plane.part.handle, [frame.x(u), frame.y(v)], { low: 0, high: MARGIN.high },
      "Policy: mean margin", margin, `margin ${brief(margin)}, u ${brief(u)}, v ${brief(v)}`);
  }

  say() {
    const state = this.values();
    const n = solve(state);
    return `${verdict(n, state)} Mean u ${brief(n.u)}, mean v ${brief(n.v)}, margin ${brief(n.margin)} nats. ` +
      `Ceiling ${brief(n.ceiling)}. Divergence from the reference ${brief(n.kl)}, least at this ` +
      `margin ${brief(n.least)}, efficiency ${brief(n.efficiency)}.`;
  }
}

export default anywidget(Room);
