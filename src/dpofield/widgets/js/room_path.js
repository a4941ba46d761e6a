// Pairs and policies over a few responses: only calls to the printed functions, sums and a bisection.

import { FORMULAS, NOISE, REWARDS } from "./formulas.js";

const COUNT = REWARDS.length;
const SHARE = 1 / COUNT; // the reference gives every response the same probability
const HALVINGS = 60;
export const ROUNDING = 1e-12; // a divergence below this is 0

export const REFERENCE = REWARDS.map(() => SHARE);
const mean = (values) => SHARE * values.reduce((all, one) => all + one, 0);
const meanOf = (ratios, gains) => mean(ratios.map((ratio, i) => ratio * gains[i]));

// The chance that a response of reward r is preferred to a random one; a coin decides a tie.
const chance = (r, { pairs, sd }) => mean(REWARDS.map((other) =>
  pairs === "judges" ? FORMULAS.wins(sd * r, sd * other)[0]
    : r > other ? 1 : r === other ? 0.5 : 0));

// The distributions of preferred and dispreferred responses as ratios to the reference, the ceiling
// of the first, and the scores, over those of the worst response: relative to the reference and to
// the middle q = (q_w + q_l)/2. For pairs of the reference, the two are the same.
function worldOf({ pairs, sd, n }) {
  const ratios = REWARDS.map((r, i) => (pairs === "best"
    ? [i, COUNT - 1 - i].map((lower) => FORMULAS.best(lower * SHARE, SHARE, n)[0])
    : FORMULAS.ratios(chance(r, { pairs, sd }))));
  const [up, down] = [0, 1].map((which) => ratios.map((ratio) => ratio[which]));
  const scores = ratios.map((ratio) => FORMULAS.scores(...ratio));
  const [scaled, beside] = [0, 1].map((which) => {
    const worst = Math.max(...scores.map((score) => -score[which]));
    return scores.map((score) => score[which] / worst);
  });
  const ceiling = mean(up.map((ratio) => FORMULAS.term(ratio)[0]));
  return { up, down, ceiling, scaled, beside, middle: scores.map((score) => score[2]) };
}

// The log-ratios of a policy at the place `at` of its path, before they are normalised. On the border
// of what can be reached, the mean u is the largest at its margin.
const PATHS = {
  border: ({ beside, middle }, at) => beside.map((t, i) =>
    FORMULAS.cheapest(1 + t, t, at)[0] + FORMULAS.gain(middle[i], 1)[0]),
  cheapest: ({ scaled }, at) => scaled.map((t) => FORMULAS.cheapest(1 + t, t, at)[0]),
  sft: ({ up }, at) => up.map((ratio) => FORMULAS.mixture(ratio, at)[0]),
  rlhf: (_, at) => REWARDS.map((r) => FORMULAS.tilted(r, at)[0]),
};

const marginOf = ({ up, down }, gains) => meanOf(up, gains) - meanOf(down, gains);

// The place at which a path has this margin; SFT ends at the preferred responses, at 1.
function placeOf(world, policy, margin) {
  const short = (at) => marginOf(world, PATHS[policy](world, at)) < margin;
  let [low, high] = [0, 1];
  if (margin <= 0) return 0;
  if (policy === "sft" && short(1)) return 1;
  while (short(high)) high *= 2;
  for (let i = 0; i < HALVINGS; i += 1) {
    const middle = (low + high) / 2;
    if (short(middle)) low = middle;
    else high = middle;
  }
  return high;
}

// The policy at a margin, with its account.
export function policyAt(world, policy, margin, noise = 0) {
  const raw = PATHS[policy](world, placeOf(world, policy, margin)).map((g, i) => g + noise * NOISE[i]);
  const top = Math.max(...raw); // taken off, because exponentials overflow
  const masses = raw.map((g) => FORMULAS.mass(SHARE, g - top)[0]);
  const all = COUNT * mean(masses);
  const whole = top + FORMULAS.gain(all, 1)[0];
  const gains = raw.map((g) => g - whole);
  const [u, v] = [meanOf(world.up, gains), meanOf(world.down, gains)];
  return { probabilities: masses.map((mass) => mass / all), u, v, kl: -mean(gains) };
}

// All numbers that are shown.
export function solve(state) {
  const world = worldOf(state);
  const { ceiling } = world;
  const now = policyAt(world, state.policy, state.margin, state.noise);
  const margin = now.u - now.v;
  const least = policyAt(world, "cheapest", margin).kl;
  return {
    world, ...now, margin, middle: (now.u + now.v) / 2, half: margin / 2, ceiling,
    missing: Math.max(0, ceiling - now.u), least, efficiency: now.kl > ROUNDING ? least / now.kl : 1,
  };
}

// A path as points [u, v], down to a margin.
export function pathOf(world, policy, reach, points = 60) {
  return Array.from({ length: points + 1 }, (_, i) => {
    const { u, v } = policyAt(world, policy, (reach * i) / points);
    return [u, v];
  });
}
