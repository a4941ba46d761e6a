// The cap explorer: the plane of ratios, and the ratios over time. The state is in the traits;
// everything drawn is computed from them.

import { BY_NAME, clockOf, curveOf, lawOf, linesOf, momentOf } from "./cap_path.js";
import { button, choices, fieldRow, outside, readouts } from "./controls.js";
import { anywidget, Figure } from "./figure.js";
import { ALPHA, BETA, DIVERGENCES, RATIO, TIME } from "./formulas.js";
import { handleNode, listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { spoken, svg, svgLabel, write } from "./nodes.js";
import {
  arrowNodes, disc, doubled, drawArrows, drawStep, placeText, plane, polyline,
  referenceMark, snapped, square, ticks,
} from "./plot.js";
import { brief, cut, short } from "./text.js";
import { keeper } from "./timing.js";

const PLANE = { left: 46, top: 8, side: 284, size: 340 };
const COURSE = { left: 46, top: 8, side: 284, rise: 192, size: 340, tall: 248 };
const GRID = 13; // arrows per side
const WINDOW = 2.2;
const SNAP = 0.005;
const READOUTS = [
  { key: "along", label: "$∂L/∂x_1$", tone: "dpf-preferred" },
  { key: "across", label: "$∂L/∂x_2$", tone: "dpf-dispreferred" },
  { key: "factor", label: "$|∂L/∂x_1| / |∂L/∂x_2|$" },
  { key: "seconds", label: "$f″(x_1) / f″(x_2)$" },
  { key: "conserved", label: "conserved $I(x_1) + I(x_2)$" },
  { key: "loss", label: "loss $L$ (nats)" },
  { key: "cap", label: "cap on $x_1$", tone: "dpf-preferred" },
  { key: "end", label: "$x_2$ is 0 at time", tone: "dpf-dispreferred" },
  { key: "aThen", label: "$x_1$ at time $t$", tone: "dpf-preferred" },
  { key: "bThen", label: "$x_2$ at time $t$", tone: "dpf-dispreferred" },
];

// All numbers, computed from the state.
export function solve({ divergence, alpha, beta, a, b, time }) {
  const law = lawOf(divergence, beta, alpha);
  const curve = curveOf(law, a, b);
  const clock = clockOf(law, curve, a, b);
  const [loss, along, across] = law.field(a, b);
  const [first, second] = [law.one(a), law.one(b)];
  const [aThen, bThen] = momentOf(law, curve, clock, time);
  return {
    law, curve, clock, loss, along, across, factor: Math.abs(along) / Math.abs(across),
    seconds: first[1] / second[1], conserved: first[0] + second[0], cap: curve.cap, end: clock.end, aThen, bThen,
  };
}

const capWords = ({ cap }) => (Number.isFinite(cap) ? cap : "none");
const endWords = ({ end, law }) =>
  Number.isFinite(end) ? end : law.reaches ? "too late" : "never";

function verdict({ cap, end, law }) {
  const first = Number.isFinite(cap) ? `$x_1$ can never pass ${brief(cap)}` : "$x_1$ has no cap";
  const second = Number.isFinite(end) ? `$x_2$ is gone at time ${brief(end)}.`
    : law.reaches ? "$x_2$ reaches 0, later than numbers go."
      : "$x_2$ never quite reaches 0.";
  return `From here ${first}, and ${second}`;
}

// The end of the time axis: a little after x2 = 0, or when x2 has become small and slow.
function horizon({ nodes, end }) {
  if (Number.isFinite(end)) return 1.15 * end;
  const tenth = nodes.find((node) => node.b <= 0.1 * nodes[0].b)?.t ?? Infinity;
  return Math.min(2.5 * tenth, nodes.at(-1).t);
}

class Caps extends Figure {
  static kind = "caps";
  static traits = ["divergence", "alpha", "beta", "a", "b", "time"];

  build() {
    const { id } = this;
    this.kinds = choices({
      id, role: "kinds", legend: "Divergence",
      options: DIVERGENCES.map(({ name, title }) => ({ value: name, label: title })),
      take: (divergence) => this.change({ divergence }),
    });
    this.alpha = this.row(ALPHA, { low: -1, high: 4, marks: [-1, 0, 1, 2, 3, 4], log: false });
    this.beta = this.row(BETA, { low: 0.01, high: 3, marks: [0.01, 0.1, 1, 3] });
    this.time = this.row({ ...TIME, label: "time $t$" }, { low: 0, high: 1, log: false });
    this.fields = this.fieldsFor({ a: "start $x_1$", b: "start $x_2$" });
    this.plot = this.buildPlane();
    this.fieldFor = keeper();
    this.course = this.buildCourse();
    this.readouts = readouts(READOUTS);
    return [
      this.kinds.node, this.alpha.node, this.beta.node, this.plot.node, this.course.node,
      fieldRow(this.fields, button("Reset", () => this.reset())),
      this.time.node, this.words, this.readouts.node,
    ];
  }

  buildPlane() {
    const part = { handle: handleNode(), arrows: arrowNodes(), reference: referenceMark() };
    part.capText = svg("text", { class: "dpf-note dpf-halo", "text-anchor": "end" });
    return plane({
      part, id: `${this.id}-plane`, ...PLANE,
      label: "Ratios: the field, the conserved curve and the cap, with a start that can be moved",
      inside: [...part.arrows, "cap", "level", "flow"],
      above: [...part.reference.nodes, part.capText, "now", "stepAcross", "stepAlong", part.handle],
    });
  }

  buildCourse() {
    const part = {};
    part.texts = ["preferred", "dispreferred"].map((tone, i) =>
      svg("text", { class: `dpf-note dpf-halo dpf-${tone}`, "text-anchor": "end" },
        svgLabel(`$x_${i + 1}$`)));
    return plane({
      part, id: `${this.id}-course`, ...COURSE, tones: ["plain", "plain"],
      label: "Both ratios over time",
      inside: ["cap", "moment", "rising", "falling"],
      above: part.texts,
    });
  }

  // -- events --

  listen() {
    const { node, part: { handle } } = this.plot;
    this.held = listenToPointer(node, handle, () => this.frame, (a, b) => this.moveTo(a, b));
    listenToKeys(handle, (...step) => this.step(...step), () => this.change({ a: 1, b: 1 }));
  }

  takeNumber(name, value, text) {
    if (name !== "alpha") return super.takeNumber(name, value, text);
    return this.give({ divergence: "alpha", alpha: value }, text, this.alphaShown);
  }

  wrong({ divergence, alpha, beta, a, b, time }) {
    if (!Object.hasOwn(BY_NAME, divergence)) return `there is no divergence “${cut(divergence)}”`;
    return outside(a, RATIO) || outside(b, RATIO) || outside(alpha, ALPHA) || outside(beta, BETA) ||
      outside(time, TIME);
  }

  // A named divergence shows its own alpha, if it has one.
  get alphaShown() {
    const { divergence, alpha } = this.values();
    return BY_NAME[divergence].alpha ?? alpha;
  }

  moveTo(p, q) {
    const { a, b } = this.values();
    const [na, nb] = [p, q].map((c) => snapped(c, SNAP, SNAP, this.frame.high));
    if (na !== a || nb !== b) this.change({ a: na, b: nb });
  }

  step(right, up, fast) {
    const { a, b } = this.values();
    const size = SNAP * (fast ? 20 : 4);
    this.moveTo(a + right * size, b + up * size);
  }

  // -- drawing --

  draw() {
    const state = this.values();
    const { a, b, beta, time } = state;
    const n = solve(state);
    // Keep the window during a drag; else the start would jump away from the pointer.
    if (!this.held?.()) {
      const high = doubled(WINDOW, Math.max(a, b));
      if (this.frame?.high !== high) {
        this.frame = square(PLANE, [0, high]);
        this.plot.axes(this.frame, "preferred: ratio $x_1$", "dispreferred: ratio $x_2$");
      }
    }
    const { divergence, alpha } = state;
    this.fieldFor(JSON.stringify([divergence, alpha, beta, this.frame.high]), () => this.drawField(n));
    this.drawPlane(n, state);
    this.drawCourse(n, time);
    this.kinds.show(state.divergence);
    this.alpha.show(this.alphaShown);
    this.beta.show(beta);
    for (const [name, field] of Object.entries(this.fields)) field.show(state[name]);
    this.readouts.show({ ...n, cap: capWords(n), end: endWords(n) });
    this.put({ strong: verdict(n) }, " $beta$ moves the clock, not the curve and not the cap.");
  }

  drawField({ law }) {
    drawArrows(this.plot.part.arrows, this.frame, GRID, (p, q) => {
      const [, along, across] = law.field(p, q);
      return [-along, -across];
    });
  }

  drawPlane(n, { a, b }) {
    const { frame, plot: { part } } = this;
    const inPlot = ([p, q]) => [frame.x(p), frame.y(q)];
    const { ahead, back } = linesOf(n.curve, a, b, frame.high);
    part.flow.setAttribute("d", polyline(ahead.map(inPlot)));
    part.level.setAttribute("d", polyline(back.map(inPlot)));
    const [x, y] = inPlot([a, b]);
    const edge = frame.x(Math.min(n.cap, 2 * frame.high));
    part.cap.setAttribute("d", `M${short(edge)} ${PLANE.top}v${PLANE.side}`);
    const inside = n.cap <= frame.high;
    write(part.capText, Number.isFinite(n.cap)
      ? `cap ${brief(n.cap)}${inside ? "" : ", beyond the picture"}` : "no cap");
    placeText(part.capText, inside ? Math.max(edge - 5, PLANE.left + 70)
      : PLANE.left + PLANE.side - 5, PLANE.top + 16);
    const [nx, ny] = inPlot([n.aThen, n.bThen]);
    const here = frame.holds(n.aThen, n.bThen);
    part.now.setAttribute("d", here ? disc(nx, ny) : "");
    part.reference.show(frame.x(1), frame.y(1), x, y);
    drawStep([part.stepAlong, part.stepAcross], x, y, [-n.along, -n.across], 48);
    placeHandle(part.handle, [x, y], frame, "Start: x 1 and x 2", a,
      `x 1 ${brief(a)}, x 2 ${brief(b)}`);
  }

  drawCourse({ clock, cap, law, curve }, time) {
    const { part, axes } = this.course;
    const last = horizon(clock) || 1; // the axis needs a positive length
    const { nodes } = clock;
    const top = Math.min(Number.isFinite(cap) ? cap : Infinity,
      momentOf(law, curve, clock, last)[0]);
    const ceiling = 1.08 * Math.max(top, nodes[0].b, nodes[0].a);
    const frame = square(COURSE, [0, last], [0, ceiling]);
    axes(frame, "time $t$", "ratios $x_1$, $x_2$");
    this.time.track.reach(0, last, ticks(0, last, 4));
    this.time.show(time);
    const seen = nodes.filter((node) => node.t < last);
    const end = momentOf(law, curve, clock, last);
    const stops = Number.isFinite(clock.end) ? [{ t: clock.end, a: cap, b: 0 }] : [];
    const course = [...seen, ...stops, { t: last, a: end[0], b: end[1] }];
    const line = (key) => polyline(course.map((p) => [frame.x(p.t), frame.y(p[key])]));
    part.rising.setAttribute("d", line("a"));
    part.falling.setAttribute("d", line("b"));
    const level = frame.y(cap);
    part.cap.setAttribute("d", Number.isFinite(cap) && cap < ceiling
      ? `M${COURSE.left} ${short(level)}h${COURSE.side}` : "");
    const x = frame.x(Math.min(time, last));
    part.moment.setAttribute("d", `M${short(x)} ${COURSE.top}v${COURSE.rise}`);
    part.texts.forEach((text, i) => {
      const y = frame.y(end[i]);
      placeText(text, COURSE.left + COURSE.side - 4, i === 0 ? y + 18 : y - 8);
    });
  }

  say() {
    const state = this.values();
    const n = solve(state);
    const { a, b, beta, time } = state;
    return `${n.law.title}. ${spoken(verdict(n))} beta ${brief(beta)}, x 1 ${brief(a)}, x 2 ${brief(b)}. ` +
      `Partial derivatives ${brief(n.along)} and ${brief(n.across)}, ratio of sizes ` +
      `${brief(n.factor)}. At time ${brief(time)} x 1 is ${brief(n.aThen)} and x 2 ` +
      `${brief(n.bThen)}.`;
  }
}

export default anywidget(Caps);
