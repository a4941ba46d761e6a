// The mathematics of one softmax: only calls to the printed functions, and proportions.

import { FORMULAS, MARGIN } from "./formulas.js";

export const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const others = (values, w, l) => values.filter((_, i) => i !== w && i !== l);

// The policy after a move of s nats, and everything said about it.
export function solve({ start, w, l, beta, margin }) {
  const beside = sum(others(start, w, l));
  const [piW, piL, scale] = FORMULAS.moved(start[w], start[l], margin / 2);
  const policy = start.map((p, i) => (i === w ? piW : i === l ? piL : p * scale));
  const rest = beside * scale;
  const [weight] = FORMULAS.weight(margin, beta);
  const pace = FORMULAS.rates(piW, piL, rest); // per unit of weight, which may be as small as 0
  const [rateW, rateL, rateO] = pace.map((rate) => weight * rate);
  const [share] = FORMULAS.share(piW, piL, rest);
  const [meeting, most] = FORMULAS.peak(start[w], start[l], beside);
  return {
    policy, rest, weight, rateW, rateL, rateO, share, margin, pace, factor: -pace[1] / pace[0],
    meeting, top: margin < meeting ? most : rest, time: FORMULAS.clock(margin, beta)[0],
  };
}

// Another probability for some responses; all others keep their proportions. They sum to 1.
export function withShares(start, shares) {
  const fixed = Object.keys(shares).map(Number);
  const left = 1 - sum(Object.values(shares));
  const before = sum(start.filter((_, i) => !fixed.includes(i)));
  return start.map((p, i) => shares[i] ?? (p / before) * left);
}

// More or fewer responses: a new one gets an equal part, the rest keep their proportions.
export function withSize(start, size) {
  const grown = [...start];
  while (grown.length < size) {
    const n = grown.length;
    grown.splice(0, n, ...grown.map((p) => (p * n) / (n + 1)), 1 / (n + 1));
  }
  const kept = grown.slice(0, size);
  return kept.map((p) => p / sum(kept));
}

// What one more nat of margin would do to each mass, at the rates of the moment.
const NAT = 0.5; // of a move: the margin is twice the move
export const drifts = ({ policy, pace }, w, l) => policy.map((p, i) =>
  NAT * p * pace[i === w ? 0 : i === l ? 1 : 2]);

// The margin at which the preferred has nearly everything: as far as the track goes.
export const reachOf = (start, w) =>
  Math.ceil(Math.min(MARGIN.high, Math.max(10, FORMULAS.reach(start[w])[0])));
