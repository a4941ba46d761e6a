// One loss of the gallery: its name, its parameters, its field.

import { numberField, numberRow, select } from "./controls.js";
import { bothProbabilities, GROUPS, LOSSES } from "./formulas.js";
import { handleNode, listenToKeys, listenToPointer, placeHandle } from "./handle.js";
import { rungeKutta } from "./integrate.js";
import { box, html, svg } from "./nodes.js";
import {
  arrowNodes, disc, drawArrows, drawStep, magnitudeLegend, plane, polyline,
  referenceMark, square,
} from "./plot.js";
import { brief } from "./text.js";
import { keeper } from "./timing.js";

const PLANE = { left: 46, top: 8, side: 284, size: 340 };
const GRID = 13; // arrows per side
export const BY_NAME = Object.fromEntries(LOSSES.map((loss) => [loss.name, loss]));
const OPTIONS = GROUPS.map((group) => [group, LOSSES.filter((loss) => loss.group === group)
  .map(({ name, title }) => ({ value: name, label: title }))]);

export const exists = (u, v, pair) => bothProbabilities(u, v, pair.ref_w, pair.ref_l)[0] < 1;

// A loss for a pair: a function of (u, v) that returns [loss, both partial derivatives].
export function over(loss, params, pair) {
  const given = loss.params.map(({ name, default: usual }) => params[name] ?? usual);
  const data = loss.inputs.map((name) => pair[name]);
  return (u, v) => loss.all(u, v, ...given, ...data);
}

// Gradient flow by arc length from a start to the edge of the window, or to a point of rest.
export function descent(at, pair, start, window) {
  const slope = (point) => {
    const [, along, across] = at(...point);
    const size = Math.hypot(along, across);
    return size > 0 ? [-along / size, -across / size] : [0, 0];
  };
  const points = [start];
  const long = window / 80;
  for (let i = 0; i < 500; i += 1) {
    const next = rungeKutta(slope, points.at(-1), long);
    if (!next.every((c) => Math.abs(c) <= window) || !exists(...next, pair)) break;
    const before = points.at(-2) ?? [Infinity, Infinity];
    const [last] = points.slice(-1);
    const moved = Math.hypot(next[0] - last[0], next[1] - last[1]);
    // At rest, or oscillating about a point of rest.
    if (moved < 0.3 * long || Math.hypot(next[0] - before[0], next[1] - before[1]) < 0.6 * long) {
      return { points, rests: true };
    }
    points.push(next);
  }
  return { points, rests: false };
}

export class Panel {
  // `figure` handles the reader's actions: takeLoss, takeParam, moveTo, step, home.
  constructor(figure, which) {
    this.figure = figure;
    this.which = which;
    this.id = `${figure.id}-${which}`;
    this.choice = select({
      id: this.id, role: `loss-${which}`, label: `Loss ${which.toUpperCase()}`, groups: OPTIONS,
      take: (name) => figure.takeLoss(which, name),
    });
    this.params = box("dpf-params");
    this.source = html("p", { class: "dpf-source" });
    this.legend = magnitudeLegend("length of $∇L$");
    this.plot = this.buildPlot();
    this.scaleFor = keeper();
    this.node = box(`dpf-panel dpf-panel-${which}`, this.choice.node, this.params, this.plot.node,
      this.legend.node, this.source);
  }

  buildPlot() {
    const part = { handle: handleNode(), arrows: arrowNodes(), reference: referenceMark() };
    part.note = svg("text", {
      class: "dpf-note dpf-halo", "text-anchor": "end", x: PLANE.left + PLANE.side - 6, y: 26,
    });
    return plane({
      part, id: this.id, ...PLANE, label: `Field of small steps of loss ${this.which.toUpperCase()}`,
      inside: ["excluded", ...part.arrows, "flow"],
      above: [...part.reference.nodes, part.note, "end", "stepAcross", "stepAlong", part.handle],
    });
  }

  listen() {
    const { figure, plot: { node, part: { handle } } } = this;
    this.held = listenToPointer(node, handle, () => this.frame, (a, b) => figure.moveTo(a, b));
    listenToKeys(handle, (...step) => figure.step(...step), () => figure.home());
  }

  draw({ loss, params, pair, u, v }, window) {
    this.drawLoss(loss);
    this.drawFrame(window, pair);
    const { frame, plot: { part } } = this;
    for (const control of this.controls) control.show(params[control.name] ?? control.usual);
    const at = over(loss, params, pair);
    const field = JSON.stringify([loss.name, params, pair, window]);
    const scale = this.scaleFor(field, () => drawArrows(part.arrows, frame, GRID, (p, q) => {
      const [, along, across] = at(p, q);
      return exists(p, q, pair) ? [-along, -across] : null;
    }));
    const [, along, across] = at(u, v);
    const [x, y] = [frame.x(u), frame.y(v)];
    const line = descent(at, pair, [u, v], window);
    part.flow.setAttribute("d", polyline(line.points.map(([p, q]) => [frame.x(p), frame.y(q)])));
    const end = line.points.at(-1);
    const rests = line.rests && line.points.length > 1;
    part.end.setAttribute("d", rests ? disc(frame.x(end[0]), frame.y(end[1])) : "");
    drawStep([part.stepAlong, part.stepAcross], x, y, [-along, -across], 48);
    part.reference.show(frame.x(0), frame.y(0), x, y);
    placeHandle(part.handle, [x, y], frame, `Pair in the field of ${loss.title}`, u,
      `u ${brief(u)}, v ${brief(v)}`);
    this.legend.show(scale, Math.hypot(along, across));
  }

  // Fields and words change only with the loss.
  drawLoss(loss) {
    if (this.loss === loss) return;
    this.loss = loss;
    this.choice.show(loss.name);
    this.source.textContent = loss.source;
    const sliding = loss.params.find((p) => p.default > 0);
    const control = (p) => {
      const { figure, which, id } = this;
      const take = (value, text) => figure.takeParam(which, p, value, text);
      const role = `${which}-${p.name}`;
      const common = { name: p.name, usual: p.default };
      if (p === sliding) {
        const high = Math.min(20 * p.default, p.high === null ? Infinity : 0.999 * p.high);
        const low = p.default / 20;
        const marks = [low, p.default, high].map((mark) => Number(mark.toPrecision(2)));
        return { ...common, ...numberRow({ id, role, label: p.label, low, high, marks, take }) };
      }
      const field = numberField({ id, role, label: p.label, take });
      return { ...common, node: box("dpf-short", field.label, field.input), show: field.show };
    };
    this.controls = loss.params.map(control);
    const [rows, others] = [true, false].map((slides) =>
      this.controls.filter((c) => (c.name === sliding?.name) === slides).map((c) => c.node));
    this.params.replaceChildren(...rows, box("dpf-others", ...others));
  }

  drawFrame(window, { ref_w: refW, ref_l: refL }) {
    const key = `${window} ${refW} ${refL}`;
    if (this.key === key) return;
    this.key = key;
    this.frame = square(PLANE, [-window, window]);
    const { frame, plot: { axes, part } } = this;
    axes(frame, "preferred: $u$ (nats)", "dispreferred: $v$ (nats)");
    const [low, high] = [-window, window];
    const [right, top] = [Math.min(-refW, high), Math.min(-refL, high)];
    const corner = [[low, top], [right, top], [right, low], [high, low], [high, high], [low, high]];
    const beyond = right < high || top < high;
    part.excluded.setAttribute("d",
      beyond ? `${polyline(corner.map(([a, b]) => [frame.x(a), frame.y(b)]))}Z` : "");
    part.note.textContent = beyond ? "a probability above 1" : "";
  }
}
