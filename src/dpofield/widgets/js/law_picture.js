// The two pictures of the law of motion: the gradients, and the plane of their kernel.

import { FORMULAS } from "./formulas.js";
import { handleNode } from "./handle.js";
import { svg, svgLabel } from "./nodes.js";
import { arrow, disc, placeText, plane, polyline } from "./plot.js";

export const GRADIENTS = { left: 46, top: 8, side: 284, size: 340 };
export const KERNEL = { left: 46, top: 8, side: 284, size: 340 };
export const REACH = 2; // half the width of the gradients' plane, doubled as needed
export const [LEFT, RIGHT, TOP] = [-1.2, 1.8, 3.4]; // edges of the kernel's plane, doubled as needed
const NOTES = [ // place and text, in the regions between the three lines
  [-1.12, 3.12, "preferred rises,"], [-1.12, 2.92, "dispreferred falls more"],
  [-1.12, 0.5, "preferred rises more,"], [-1.12, 0.3, "dispreferred falls"],
  [1.08, 3.12, "both fall"], [0.82, 0.22, "◂ both rise"],
];

const dashed = (points) => points.map(([one, other]) => polyline([one, other])).join("");

// A point with a letter beside it.
function lettered(tone, letter) {
  const handle = handleNode();
  handle.classList.add(`dpf-${tone}`);
  const text = svg("text", { class: `dpf-note dpf-halo dpf-${tone}` }, svgLabel(letter));
  return { handle, text };
}

export function buildGradients(id) {
  const part = { w: lettered("preferred", "$g_w$"), l: lettered("dispreferred", "$g_l$") };
  part.stepText = svg("text", { class: "dpf-note dpf-halo dpf-model" }, "step");
  return plane({
    part, id: `${id}-gradients`, ...GRADIENTS, tones: ["plain", "plain"],
    label: "The gradients of both log-probabilities, which can be moved",
    inside: ["circle", "wallW", "wallL", "flow", part.stepText],
    above: ["stepAlong", "stepAcross", part.w.text, part.l.text,
      part.l.handle, part.w.handle],
  });
}

// The line beyond which g_l makes the preferred fall, the line beyond which g_w makes the dispreferred
// rise, and the circle outside which the dispreferred moves more.
export function drawGradients({ part }, frame, [wx, wy, lx, ly]) {
  const place = ([a, b]) => [frame.x(a), frame.y(b)];
  const across = ([a, b]) => {
    const long = (4 * frame.high) / Math.hypot(a, b);
    return [[a - b * long, b + a * long], [a + b * long, b - a * long]].map(place);
  };
  part.wallW.setAttribute("d", dashed([across([wx, wy])]));
  part.wallL.setAttribute("d", dashed([across([lx, ly])]));
  const [ox, oy] = place([0, 0]);
  const radius = Math.hypot(wx, wy) * frame.unit;
  part.circle.setAttribute("d", disc(ox, oy, radius));
  const drawn = (node, [a, b]) => {
    const [dx, dy] = [a * frame.unit, -b * frame.unit];
    const long = Math.hypot(dx, dy);
    const kept = Math.max(0, long - 9) / (long || 1); // the dot covers the tip
    node.setAttribute("d", long > 12 ? arrow(ox, oy, dx * kept, dy * kept, 8) : "");
  };
  drawn(part.stepAlong, [wx, wy]);
  drawn(part.stepAcross, [lx, ly]);
  drawn(part.flow, [wx - lx, wy - ly]);
  const [sx, sy] = place([wx - lx, wy - ly]);
  const left = sx < ox;
  placeText(part.stepText, sx + (left ? -8 : 8), sy + 4, left ? "end" : "start");
  part.stepText.toggleAttribute("hidden", Math.hypot(sx - ox, sy - oy) < 12);
  for (const [name, point] of [["w", [wx, wy]], ["l", [lx, ly]]]) {
    const [x, y] = place(point);
    const right = x > frame.left + frame.side - 40;
    placeText(part[name].text, x + (right ? -14 : 14), Math.max(20, y - 10), right ? "end" : "start");
  }
}

export function buildKernel(id) {
  const part = { handle: handleNode() };
  part.notes = NOTES.map(([, , words]) => svg("text", { class: "dpf-note dpf-halo" }, words));
  return plane({
    part, id: `${id}-kernel`, ...KERNEL, tones: ["plain", "plain"],
    label: "The plane of the kernel with its regions, and the pair, which can be moved",
    inside: ["excluded", "fallLine", "riseLine", "moreLine"],
    above: [...part.notes, part.handle],
  });
}

// The boundaries, from printed formulas; they depend on the window only.
export function drawRegions({ part }, frame) {
  const place = ([a, b]) => [frame.x(a), frame.y(b)];
  const wide = 1.1 * (frame.high - frame.low); // the other edges of the area are outside the frame
  const steps = Array.from({ length: 97 }, (_, i) => frame.high + wide * (i / 80 - 1.1));
  const none = steps.map((x) => place([x, FORMULAS.edges(x)[3]]));
  const floor = place([0, frame.bottom])[1] + 9;
  const corners = [[none.at(-1)[0], floor], [none[0][0], floor]];
  part.excluded.setAttribute("d", `${polyline([...none, ...corners])}Z`);
  const [fall, , more] = FORMULAS.edges(0);
  const least = FORMULAS.edges(fall)[3];
  part.fallLine.setAttribute("d",
    polyline([[fall, least], [fall, frame.ceiling]].map(place)));
  part.riseLine.setAttribute("d",
    polyline([0, fall].map((x) => place([x, FORMULAS.edges(x)[1]]))));
  part.moreLine.setAttribute("d",
    polyline([[Math.max(frame.low, -fall), more], [fall, more]].map(place)));
  part.notes.forEach((note, i) => {
    placeText(note, ...place(NOTES[i]));
    note.toggleAttribute("hidden", frame.high !== RIGHT);
  });
}
