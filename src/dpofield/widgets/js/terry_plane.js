// The plane of both rewards over the likelihood of the data.

import { FORMULAS } from "./formulas.js";
import { handleNode, placeHandle } from "./handle.js";
import { element, svg } from "./nodes.js";
import { placeText, plane, polyline, within } from "./plot.js";
import { brief } from "./text.js";

export const PLANE = { left: 46, top: 8, side: 284, size: 340 };
const STOPS = 48; // colours of the shading that shows the likelihood

// The plane of both rewards. Its shading is the likelihood, which depends on their gap only.
export function buildRewards(id) {
  const part = { handle: handleNode() };
  part.stops = Array.from({ length: STOPS + 1 }, () => svg("stop", { class: "dpf-stop" }));
  part.shade = svg("linearGradient", { id: `${id}-shade`, gradientUnits: "userSpaceOnUse" },
    part.stops);
  const { left, top, side } = PLANE;
  part.ridgeText = svg("text", { class: "dpf-note dpf-halo dpf-model" });
  return plane({
    part, id: `${id}-plane`, ...PLANE,
    label: "Both rewards over the likelihood of the data, with a pair that can be moved",
    inside: [svg("defs", {}, part.shade), svg("rect", {
      x: left, y: top, width: side, height: side, fill: `url(#${id}-shade)`,
    }), "ridge", "same"],
    above: [part.ridgeText, part.handle],
  });
}

// All pairs with one gap, as a line from edge to edge of the window.
function diagonal(frame, d) {
  const [low, high] = [frame.low + Math.min(d, 0), frame.high + Math.max(d, 0)];
  return polyline([[low, low - d], [high, high - d]].map(([a, b]) => [frame.x(a), frame.y(b)]));
}

// The shading covers the gaps from -2 high to 2 high, across the diagonal.
export function drawShade({ part }, frame, { n, wins }, { best, error, top, agreed }) {
  part.ridge.setAttribute("d", agreed ? "" : diagonal(frame, best));
  const far = 2 * frame.high;
  const ends = { x1: frame.x(-frame.high), y1: frame.y(frame.high) };
  element(part.shade, { ...ends, x2: frame.x(frame.high), y2: frame.y(-frame.high) });
  const spread = agreed ? far : Math.min(far, 4 * error);
  const middle = agreed ? 0 : best;
  part.stops.forEach((stop, i) => {
    const d = within(middle + spread * ((2 * i) / STOPS - 1), -far, far);
    const [height] = FORMULAS.part(d, wins, n - wins, top);
    stop.setAttribute("offset", ((d + far) / (2 * far)).toFixed(5));
    stop.setAttribute("stop-opacity", (0.5 * height).toFixed(3));
  });
  part.ridgeText.textContent = agreed ? "" : "equally likely";
  const at = [middle - 0.75 * frame.high, -0.75 * frame.high]; // below the ridge, near its lower end
  placeText(part.ridgeText, frame.x(at[0]) + 14, frame.y(at[1]) + 8);
  part.ridgeText.toggleAttribute("hidden", !frame.holds(...at) || at[0] > 0.3 * frame.high);
}

export function drawRewards({ part }, frame, { r_w: rw, r_l: rl }, { gap }) {
  part.same.setAttribute("d", diagonal(frame, gap));
  placeHandle(part.handle, [frame.x(rw), frame.y(rl)], frame, "Both rewards", rw,
    `preferred ${brief(rw)}, dispreferred ${brief(rl)}`);
}
