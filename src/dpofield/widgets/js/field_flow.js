// The mathematics of the field explorer: only calls to the printed functions, and integration.

import { bothProbabilities, corollaryOne, FORMULAS, REFERENCES, ROUNDING, VIEWS } from "./formulas.js";
import { rungeKutta, tailPower } from "./integrate.js";

const EXTINCT = 1e-9; // fraction of the start's distance; below it, the time left is a known tail

function chartOf(name) {
  const f = FORMULAS[name];
  const { low, high, highOpen, params } = f.facts;
  const above = (c) => low === null || c > low;
  const below = (c) => high === null || c < high || (!highOpen && c === high);
  const inside = (c) => Number.isFinite(c) && above(c) && below(c);
  const toLogratios = (a, b) => f.toLogratios(a, b, ...params);
  // In a chart with reference probabilities, the two probabilities must not sum to more than 1.
  const possible = (a, b) =>
    params.length === 0 || bothProbabilities(...toLogratios(a, b), ...REFERENCES)[0] <= 1 + ROUNDING;
  return {
    name, ...f.facts, ...VIEWS[name], inside, toLogratios,
    bounded: low !== null,
    exists: (a, b) => inside(a) && inside(b) && possible(a, b),
    fromLogratios: (u, v) => f.fromLogratios(u, v, ...params),
    invariant: f.invariant,
    // The same chart with the functions of a loss.
    under: (loss) => ({
      ...CHARTS[name],
      loss: (a, b, beta) => f.losses[loss].loss(a, b, beta, ...params)[0],
      gradient: (a, b, beta) => f.losses[loss].gradient(a, b, beta, ...params),
    }),
  };
}
export const CHARTS = Object.fromEntries(Object.keys(FORMULAS).map((name) => [name, chartOf(name)]));

// Gradient flow from (a, b) by arc length; the third variable is the time. Steps shrink towards an
// edge, where the speed may go to infinity or to 0. Returns the points, the times, and the reason for
// stopping: "rest" means that the gradient is 0 or reverses.
export function flow(chart, beta, a, b, [low, high]) {
  const slope = ([p, q]) => {
    const [along, across] = chart.gradient(p, q, beta);
    const speed = Math.hypot(along, across);
    return speed === 0 ? [0, 0, Infinity] : [-along / speed, -across / speed, 1 / speed];
  };
  const longest = (high - low) / 250;
  const room = (p, q) => (chart.bounded ? Math.min(p, q) - chart.low : Infinity);
  const edge = chart.bounded ? chart.low + EXTINCT * room(a, b) : -Infinity;
  const line = { points: [[a, b]], times: [0], stopped: "long" };
  let state = [a, b, 0];
  let last = [0, 0];
  for (let i = 0; i < 3000; i += 1) {
    const size = Math.min(longest, 0.1 * room(state[0], state[1]));
    const [x, y] = state;
    state = rungeKutta(slope, state, size);
    const moved = [state[0] - x, state[1] - y];
    const turned = moved[0] * last[0] + moved[1] * last[1] < 0;
    if (state[2] === Infinity || turned || Math.hypot(...moved) < size / 2) {
      return { ...line, stopped: "rest" };
    }
    if (!state.every(Number.isFinite)) return line;
    last = moved;
    line.points.push(state.slice(0, 2));
    line.times.push(state[2]);
    const [p, q] = state;
    if (!chart.exists(p, q)) return { ...line, stopped: "edge" };
    if (q <= edge) return { ...line, stopped: "extinct" };
    if (!chart.bounded && (Math.max(p, q) > high || Math.min(p, q) < low)) return line;
  }
  return line;
}

// The time at which the dispreferred coordinate reaches its lower edge: the time so far plus a tail,
// in which time per log-distance falls like a power of the distance. Infinity if that time rises, if
// there is no edge, or if the flow comes to rest; NaN if the flow ends before the edge.
export function extinctionTime(chart, beta, line) {
  if (!chart.bounded || line.stopped === "rest") return Infinity;
  if (line.stopped !== "extinct") return NaN;
  const [a, b] = line.points.at(-1);
  const perLog = (d) => d / Math.abs(chart.gradient(a, chart.low + d, beta)[1]);
  const distance = b - chart.low;
  const power = tailPower(perLog(distance), perLog(distance / 2));
  return power > 1e-9 ? line.times.at(-1) + perLog(distance) / power : Infinity;
}

// The curve of constant conserved quantity through (a, b), in both directions up to the window.
export function levelCurve(chart, a, b, frame) {
  const along = (sign) => ([p, q]) => {
    const [, first, second] = chart.invariant(p, q);
    const size = Math.hypot(first, second) * sign;
    return [second / size, -first / size];
  };
  const half = (sign) => {
    const found = [];
    let at = [a, b];
    for (let i = 0; i < 300 && frame.holds(...at); i += 1) {
      at = rungeKutta(along(sign), at, frame.side / frame.unit / 100);
      found.push(at);
    }
    return found;
  };
  return [...half(-1).reverse(), [a, b], ...half(1)];
}

// All numbers that are shown.
export function numbers(chart, beta, a, b, line) {
  const [along, across] = chart.gradient(a, b, beta);
  return {
    along,
    across,
    factor: Math.abs(along) / Math.abs(across),
    paper: corollaryOne(...chart.toLogratios(a, b))[0],
    magnitude: Math.hypot(along, across),
    loss: chart.loss(a, b, beta),
    conserved: chart.invariant(a, b)[0],
    extinction: extinctionTime(chart, beta, line),
  };
}
