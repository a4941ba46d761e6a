// The mathematics of the cap explorer: only calls to the printed functions, roots and integrals.

import { DIVERGENCES, fallen, GAUSS, TIME } from "./formulas.js";
import { tailPower } from "./integrate.js";

export const BY_NAME = Object.fromEntries(DIVERGENCES.map((d) => [d.name, d]));

// A divergence at its alpha and beta: functions of the ratios alone.
export function lawOf(name, beta, alpha) {
  const d = BY_NAME[name];
  return {
    name, title: d.title,
    field: (a, b) => d.field(a, b, beta, alpha),
    one: (c) => d.one(c, alpha),
    reaches: d.reaches(beta, alpha)[0] === 1,
  };
}

// The c with I(c) = target, by Newton's method between bounds; Infinity if there is none. I is
// measured from I(0) if I(0) is finite; else tiny ratios would lose their digits.
function inverse(one, target, guess) {
  let [low, high] = [0, Infinity];
  let at = guess;
  for (let i = 0; i < 200; i += 1) {
    const [, second, , value] = one(at);
    if (value < target) low = at;
    else high = at;
    let next = at - (value - target) * second; // I' = 1/f''
    if (!(next > low && next < high)) next = high === Infinity ? 2 * at : (low + high) / 2;
    else if (Math.abs(next - at) <= 1e-9 * at) return next; // the next step would be negligible
    if (Math.abs(next - at) <= 4e-16 * at) return next;
    if (next > 1e300) return Infinity;
    at = next;
  }
  return at;
}

// The conserved curve through a start: the partner of each coordinate on it, and the cap on x1.
export function curveOf(law, a, b) {
  const grown = (c) => law.one(c)[3];
  const [total, least] = [grown(a) + grown(b), grown(0)];
  const partner = (c, guess) => inverse(law.one, total - grown(c), guess);
  const cap = Number.isFinite(least) ? inverse(law.one, total - least, a) : Infinity;
  return { total, least, grown, partner, cap };
}

// Points of the curve: from the start to x2 = 0, and back to where x1 = 0 or the window ends.
export function linesOf({ total, least, grown, partner, cap }, a, b, high) {
  const ahead = [[a, b]];
  for (let i = 1; i <= 110; i += 1) {
    const c = i < 80 ? b * (1 - i / 80) : ahead.at(-1)[1] / 2;
    ahead.push([partner(c, ahead.at(-1)[0]), c]);
    if (ahead.at(-1)[0] > 2 * high) break;
  }
  if (Number.isFinite(cap) && ahead.at(-1)[0] <= 2 * high) ahead.push([cap, 0]);
  const back = [[a, b]];
  for (let i = 1; i <= 80; i += 1) {
    const c = a * (1 - i / 80);
    const rest = total - grown(c);
    if (!Number.isFinite(rest) || rest <= least) break;
    back.push([c, partner(c, back.at(-1)[1])]);
    if (back.at(-1)[1] > 2 * high) break;
  }
  return { ahead, back: back.reverse() };
}

// The time along the flow: nodes { t, a, b, h }, where x2 falls by the factor e^-h to the next node,
// and the time of x2 = 0. Time is integrated over log x2 by Gauss-Legendre; a step is accepted if its
// two halves give the same time. After the last node, the time left falls like a power of x2.
const DEEP = 1e-290; // smallest x2, near the end of float64's range
const CLOSE = 1e-10; // relative difference between a step and its two halves
const FAR = 1e-8; // the same, later than the largest time of the figure: only the end is shown there

const down = (c, h) => fallen(c, h)[0];

// Time per unit of log x2, where x2 = c and x1 is about `guess`.
function paceAt(law, curve, c, guess) {
  const p = curve.partner(c, guess);
  return c / law.field(p, c)[2];
}

const elapsed = (law, curve, { a, b }, h) => GAUSS.reduce((sum, [place, weight]) =>
  sum + weight * h * paceAt(law, curve, down(b, (h * place) / 2), a), 0);

export function clockOf(law, curve, a, b) {
  const nodes = [];
  const scale = paceAt(law, curve, b, a);
  let node = { t: 0, a, b };
  let h = 0.1;
  let tries = 0;
  let rough = false; // digits are lost: accept steps unchecked
  while (node.b > DEEP) {
    tries += 1;
    const half = elapsed(law, curve, node, h / 2);
    const c = down(node.b, h / 2);
    const middle = { a: curve.partner(c, node.a), b: c };
    const gained = half + elapsed(law, curve, middle, h / 2);
    const missed = rough ? 0
      : Math.abs(gained - elapsed(law, curve, node, h)) / Math.max(node.t + gained, scale);
    const close = node.t > TIME.high ? FAR : CLOSE;
    if (!(missed < close)) {
      h /= 2;
      rough = h < 1e-8 || tries > 1200;
      continue;
    }
    nodes.push({ ...node, h });
    const ended = law.reaches ? gained < 1e-17 * node.t
      : node.t > TIME.high || node.b < 1e-9 * b;
    if (ended || !Number.isFinite(node.t + gained)) break;
    const next = down(node.b, h);
    node = { t: node.t + gained, a: curve.partner(next, middle.a), b: next };
    if (missed < close / 60) h = Math.min(1.7 * h, rough ? 0.5 : 20);
  }
  if (!law.reaches || !Number.isFinite(nodes.at(-1).t)) return { nodes, end: Infinity };
  const { t, a: last, b: d } = nodes.at(-1);
  const [whole, half] = [d, d / 2].map((c) => paceAt(law, curve, c, last));
  const power = tailPower(whole, half);
  return { nodes, end: power > 0 ? t + whole / power : Infinity };
}

// The point of the flow at a time, by bisection between two nodes.
export function momentOf(law, curve, { nodes, end }, time) {
  if (time >= end) return [curve.cap, 0];
  const late = nodes.findIndex((node) => node.t > time);
  const from = nodes.at(late === -1 ? -1 : late - 1);
  let [low, high] = [0, from.h];
  for (let i = 0; i < 60; i += 1) {
    const middle = (low + high) / 2;
    if (from.t + elapsed(law, curve, from, middle) < time) low = middle;
    else high = middle;
  }
  const c = down(from.b, high);
  return [curve.partner(c, from.a), c];
}
