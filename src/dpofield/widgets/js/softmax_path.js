// The mathematics of one softmax: only calls to the printed functions, and proportions.

import { FORMULAS, MARGIN } from "./formulas.js";

export const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const others = (values, w, l) => values.filter((_, i) => i !== w && i !== l);

// The policy at a margin, and all numbers that are shown for it.
export function solve({ start, w, l, beta, margin }) {
  const beside = sum(others(start, w, l));
  const [piW, piL, scale] = FORMULAS.moved(start[w], start[l], margin / 2);
  const policy = start.map((p, i) => (i === w ? piW : i === l ? piL : p * scale));
  const rest = beside * scale;
  const [weight] = FORMULAS.weight(margin, beta);
  const pace = FORMULAS.rates(piW, piL, rest); // per unit of weight, because the weight may be 0
  const [rateW, rateL, rateO] = pace.map((rate) => weight * rate);
  const [share] = FORMULAS.share(piW, piL, rest);
  const [meeting, most] = FORMULAS.peak(start[w], start[l], beside);
  return {
    policy, rest, weight, rateW, rateL, rateO, share, margin, pace, factor: -pace[1] / pace[0],
    meeting, top: margin < meeting ? most : rest, time: FORMULAS.clock(margin, beta)[0],
  };
}

// New probabilities for some responses; the others keep their proportions. The sum is 1.
export function withShares(start, shares) {
  const fixed = Object.keys(shares).map(Number);
  const left = 1 - sum(Object.values(shares));
  const before = sum(start.filter((_, i) => !fixed.includes(i)));
  return start.map((p, i) => shares[i] ?? (p / before) * left);
}

// More or fewer responses: a new response gets 1/n, the others keep their proportions.
export function withSize(start, size) {
  const grown = [...start];
  while (grown.length < size) {
    const n = grown.length;
    grown.splice(0, n, ...grown.map((p) => (p * n) / (n + 1)), 1 / (n + 1));
  }
  const kept = grown.slice(0, size);
  return kept.map((p) => p / sum(kept));
}

// The change of each mass per nat of margin, at the current rates.
const NAT = 0.5; // move per nat of margin
export const drifts = ({ policy, pace }, w, l) => policy.map((p, i) =>
  NAT * p * pace[i === w ? 0 : i === l ? 1 : 2]);

// The end of the margin's slider, where the preferred has nearly all the mass.
export const reachOf = (start, w) =>
  Math.ceil(Math.min(MARGIN.high, Math.max(10, FORMULAS.reach(start[w])[0])));
