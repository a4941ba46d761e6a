// The field explorer. The state is in the model's traits; everything drawn is computed from them.

import { button, choices, fieldRow, numberField, readouts, select } from "./controls.js";
import { CHARTS, flow, numbers } from "./field_flow.js";
import {
  buildPlot, drawAxes, drawFaster, drawFlow, GRID, PLOT, windowOf,
} from "./field_picture.js";
import { anywidget, Figure } from "./figure.js";
import { LOSSES } from "./formulas.js";
import { listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { box, htmlLabel, spoken } from "./nodes.js";
import { drawArrows, drawStep, magnitudeLegend, snapped, square } from "./plot.js";
import { brief, cut } from "./text.js";
import { keeper } from "./timing.js";

const partial = (coordinate) => `∂L/∂${coordinate.slice(1, -1)}`;
const READOUTS = [ // labels are functions of the chart
  { key: "along", label: (c) => `$${partial(c.coordinates[0])}$`, tone: "dpf-preferred" },
  { key: "across", label: (c) => `$${partial(c.coordinates[1])}$`, tone: "dpf-dispreferred" },
  { key: "factor", label: (c) => `$${c.coordinates.map((x) => `|${partial(x)}|`).join(" / ")}$` },
  { key: "paper", label: () => "$x_2/x_1$ (Corollary 1)" },
  { key: "magnitude", label: () => "length of $∇L$" },
  { key: "loss", label: () => "loss $L$ (nats)" },
  { key: "conserved", label: (c) => `conserved ${c.conserved}` },
  { key: "extinction", label: () => "extinct at time" },
];

// ---- words ------------------------------------------------------------------------------------

function verdict({ factor }) {
  if (Number.isNaN(factor)) return "Here the step is 0, or too small for a computer's numbers.";
  if (Math.abs(factor - 1) < 1e-9) return "Here one small step moves both by the same amount.";
  const [fast, slow, times] = factor < 1
    ? ["dispreferred", "preferred", 1 / factor]
    : ["preferred", "dispreferred", factor];
  return `Here the ${fast} moves ${brief(times)} times as fast as the ${slow}.`;
}

// The paper's reading of Corollary 1 for the same pair.
function ofThePaper({ paper }) {
  const [fast, slow, times] = paper < 1 ? ["dispreferred falls", "preferred rises", 1 / paper]
    : ["preferred rises", "dispreferred falls", paper];
  const strong = Math.abs(paper - 1) < 1e-9 ? "Corollary 1: both move at one rate here."
    : `Corollary 1: the ${fast} ${brief(times)} times as fast as the ${slow}.`;
  return [strong, "The paper reads that in ratios, whatever is drawn here."];
}

function say(chart, beta, a, b, n) {
  const [first, second] = chart.coordinates.map(spoken);
  const time = Number.isNaN(n.extinction) ? "" : n.extinction < Infinity
    ? ` The dispreferred reaches 0 at time ${brief(n.extinction)}.`
    : " The dispreferred never reaches 0.";
  return `${chart.title}, beta ${brief(beta)}, ${first} ${brief(a)}, ${second} ${brief(b)}. ` +
    `Partial derivatives ${brief(n.along)} and ${brief(n.across)}, ` +
    `ratio of sizes ${brief(n.factor)}. Loss ${brief(n.loss)}.${time}`;
}

// ---- the figure --------------------------------------------------------------------------------

class Explorer extends Figure {
  static kind = "explorer";
  static traits = ["chart", "loss", "says", "beta", "a", "b"];

  get state() {
    const { chart, loss, ...rest } = this.values();
    return { chart: CHARTS[chart].under(loss), loss, ...rest };
  }

  say() {
    const { chart, loss, says, beta, a, b } = this.state;
    if (!chart.exists(a, b)) return "";
    const line = flow(chart, beta, a, b, windowOf(chart, a, b));
    const n = numbers(chart, beta, a, b, line);
    const paper = says === "paper" ? ` ${ofThePaper(n).join(" ")}` : "";
    return `${LOSSES[loss]}, ${say(chart, beta, a, b, n)}${paper}`;
  }

  build() {
    const { id } = this;
    this.charts = choices({
      id, role: "charts", legend: "Coordinates",
      options: Object.values(CHARTS).map(({ name, title }) => ({ value: name, label: title })),
      take: (name) => this.takeChart(name),
    });
    this.losses = select({
      id, role: "loss", label: "Loss", take: (loss) => this.change({ loss }),
      groups: [["of the margin", Object.entries(LOSSES).map(([value, label]) => ({ value, label }))]],
    });
    this.voices = choices({
      id, role: "says", legend: "Whose words", take: (says) => this.change({ says }), options: [
        { value: "chart", label: "this chart says" }, { value: "paper", label: "the paper says" },
      ],
    });
    this.beta = this.row({ name: "beta", label: "$beta$" },
      { low: 0.01, high: 3, marks: [0.01, 0.1, 1, 3] });
    const coordinate = (role) => numberField({
      id, role, take: (value, text) => this.takeCoordinate(role, value, text),
    });
    this.fields = { a: coordinate("a"), b: coordinate("b") };
    this.plot = buildPlot(id);
    this.scaleFor = keeper();
    this.readouts = readouts(READOUTS);
    this.legend = magnitudeLegend("length of $∇L$");
    return [
      this.charts.node, this.losses.node, this.voices.node, this.beta.node, box("dpf-figure", this.plot.node, this.legend.node),
      fieldRow(this.fields, button("Reset", () => this.reset())),
      this.readouts.node, this.words,
    ];
  }

  // -- events --

  listen() {
    const { node, part: { handle } } = this.plot;
    this.held = listenToPointer(node, handle, () => this.frame, (a, b) => this.moveTo(a, b));
    listenToKeys(handle, (...step) => this.step(...step), () => this.toReference());
  }

  takeCoordinate(which, value, text) {
    const { chart, a, b } = this.state;
    const point = which === "a" ? [value, b] : [a, value];
    const why = !Number.isFinite(value) ? "it is not a number"
      : !chart.inside(value) ? chart.meaning
        : !chart.exists(...point) ? "both probabilities together would exceed 1" : "";
    if (why) return this.refuse(text, why, which === "a" ? a : b);
    this.change({ [which]: value });
    return "";
  }

  wrong({ chart, loss, says, beta, a, b }) {
    if (!Object.hasOwn(CHARTS, chart)) return `there is no chart “${cut(chart)}”`;
    if (!Object.hasOwn(LOSSES, loss)) return `there is no loss “${cut(loss)}” here`;
    if (!["chart", "paper"].includes(says)) return `unknown narrator “${cut(says)}”; use chart or paper`;
    if (!(beta > 0 && Number.isFinite(beta))) return "beta is a positive number";
    return CHARTS[chart].exists(a, b) ? "" : `no policy is at ${brief(a)}, ${brief(b)} of that chart`;
  }

  // The start keeps its log-ratios, unless the new chart has no such point.
  takeChart(name) {
    const { chart, a, b } = this.state;
    const to = CHARTS[name];
    const point = to.fromLogratios(...chart.toLogratios(a, b));
    const kept = to.exists(...point);
    const [p, q] = kept ? point : to.fromLogratios(0, 0);
    this.change({ chart: name, a: p, b: q }, kept ? "" :
      `That start has no ${to.title}: it would need more than all the probability. ` +
      "Moved to the reference.");
  }

  // Round a dragged or stepped start to the chart's snap, inside the window and the domain.
  moveTo(p, q) {
    const { chart, a, b } = this.state;
    const { low, high } = this.frame;
    const lowest = chart.bounded ? low + chart.snap : low;
    const [na, nb] = [p, q].map((c) => snapped(c, chart.snap, lowest, high));
    if (chart.exists(na, nb) && (na !== a || nb !== b)) this.change({ a: na, b: nb });
  }

  step(right, up, fast) {
    const { chart, a, b } = this.state;
    const size = chart.snap * (fast ? 20 : 4);
    this.moveTo(a + right * size, b + up * size);
  }

  toReference() {
    const [a, b] = this.state.chart.fromLogratios(0, 0);
    this.change({ a, b });
  }

  // -- drawing --

  draw() {
    const { chart, loss, says, beta, a, b } = this.state;
    if (!chart.exists(a, b) || !(beta > 0)) return; // half of a change from the kernel: the rest follows
    const { part } = this.plot;
    // Keep the window during a drag; else the start would jump away from the pointer.
    const range = this.held?.() ? [this.frame.low, this.frame.high] : windowOf(chart, a, b);
    this.drawFrame(chart, range);
    const { frame } = this;
    const line = flow(chart, beta, a, b, range);
    const n = numbers(chart, beta, a, b, line);
    const [x, y] = [frame.x(a), frame.y(b)];
    const step = (p, q) =>
      chart.exists(p, q) ? chart.gradient(p, q, beta).map((slope) => -slope) : null;
    const scale = this.scaleFor(`${this.key} ${loss} ${beta}`,
      () => drawArrows(part.arrows, frame, GRID, step));
    drawFaster(part, chart, frame, says === "paper" || chart.uneven);
    drawFlow(part, chart, a, b, line, frame, n.extinction);
    drawStep([part.stepAlong, part.stepAcross], x, y, [-n.along, -n.across]);
    const [ra, rb] = chart.fromLogratios(0, 0);
    part.reference.show(frame.x(ra), frame.y(rb), x, y);
    const [first, second] = chart.coordinates.map(spoken);
    placeHandle(part.handle, [x, y], frame, `Start: ${first} and ${second}`, a,
      `${first} ${brief(a)}, ${second} ${brief(b)}`);
    this.losses.show(loss);
    this.voices.show(says);
    this.beta.show(beta);
    this.fields.a.show(a);
    this.fields.b.show(b);
    this.readouts.show({ ...n, extinction: n.extinction === Infinity ? "never" : n.extinction });
    this.legend.show(scale, n.magnitude);
    const [strong, rest] = says === "paper" ? ofThePaper(n) : [verdict(n), chart.law];
    this.put({ strong }, ` ${rest}`);
  }

  // Axes and words change only with the chart or its window.
  drawFrame(chart, range) {
    const key = `${chart.name} ${range}`;
    if (this.key === key) return;
    this.key = key;
    this.frame = square(PLOT, range);
    drawAxes(this.plot, chart, this.frame);
    this.charts.show(chart.name);
    this.readouts.name(chart);
    [this.fields.a, this.fields.b].forEach((field, i) => {
      field.label.replaceChildren("start ", ...htmlLabel(chart.coordinates[i]));
      // The decimal keypad of some phones has no minus.
      field.input.setAttribute("inputmode", chart.bounded ? "decimal" : "text");
    });
  }
}

export default anywidget(Explorer);
