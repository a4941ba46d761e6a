// The picture of the field explorer. Its nodes are made once; a redraw only changes attributes and
// texts.

import { levelCurve } from "./field_flow.js";
import { handleNode } from "./handle.js";
import { svg, svgLabel, write } from "./nodes.js";
import { arrowNodes, disc, placeText, plane, polyline, referenceMark } from "./plot.js";
import { brief, short } from "./text.js";

export const PLOT = { left: 58, top: 10, side: 352, size: 420 }; // at full width one unit is one CSS pixel
export const GRID = 15; // arrows per side

export function buildPlot(id) {
  const { left, top, side } = PLOT;
  const part = {};
  part.excludedText = svg("text", {
    class: "dpf-note", "text-anchor": "end", x: left + side - 10, y: top + 20,
  });
  part.fasterText = svg("text", {
    class: "dpf-note dpf-halo", "text-anchor": "end", y: top + 0.82 * side,
  });
  part.endText = svg("text", { class: "dpf-note dpf-halo" });
  part.reference = referenceMark();
  part.handle = handleNode();
  part.arrows = arrowNodes();
  return plane({
    part, id, ...PLOT,
    label: "Field of small steps against the gradient, with a start that can be moved",
    inside: ["faster", "excluded", ...part.arrows, "level", "flow"],
    above: [
      part.excludedText, part.fasterText, ...part.reference.nodes, part.endText,
      "end", "stepAcross", "stepAlong", part.handle,
    ],
  });
}

// The window of a chart, doubled until the start is in it.
export function windowOf(chart, a, b) {
  let [low, high] = chart.range;
  while (Math.max(a, b) > high || Math.min(a, b) < low) [low, high] = [2 * low, 2 * high];
  return [low, high];
}

export function drawAxes({ part, axes }, chart, frame) {
  const words = (who, i) => `${who}: ${chart.axis}${chart.coordinates[i]}${chart.unit}`;
  axes(frame, words("preferred", 0), words("dispreferred", 1));
  const corners = (chart.excluded ?? []).map(([a, b]) => [frame.x(a), frame.y(b)]);
  part.excluded.setAttribute("d", corners.length ? `${polyline(corners)}Z` : "");
  part.excludedText.replaceChildren(...svgLabel(chart.excludedText ?? ""));
}

// The region where the dispreferred is faster: below the diagonal (for equal references), or none.
export function drawFaster(part, chart, { low, high, x, y }, somewhere) {
  const top = chart.excluded ? (low + high) / 2 : high;
  const corners = [[low, low], [top, top], [high, low]].map(([a, b]) => [x(a), y(b)]);
  part.faster.setAttribute("d", somewhere ? `${polyline(corners)}Z` : "");
  write(part.fasterText, somewhere ? "dispreferred faster" : "");
  part.fasterText.setAttribute("x", short(x(low + (chart.excluded ? 0.76 : 0.98) * (high - low))));
}

export function drawFlow(part, chart, a, b, line, frame, time) {
  const inPlot = ([p, q]) => [frame.x(p), frame.y(q)];
  // Near an edge the points are dense; leave out those closer than half a pixel.
  const kept = [];
  for (const point of line.points.map(inPlot)) {
    const last = kept.at(-1);
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.5) kept.push(point);
  }
  part.flow.setAttribute("d", polyline(kept));
  part.level.setAttribute("d", polyline(levelCurve(chart, a, b, frame).map(inPlot)));
  const [x, y] = inPlot(line.points.at(-1));
  const rests = line.stopped === "rest";
  const shownEnd = (rests || line.stopped === "extinct") && frame.holds(...line.points.at(-1));
  part.end.setAttribute("d", shownEnd ? disc(x, y) : "");
  const when = rests ? "comes to rest" : time < Infinity ? `0 at t = ${brief(time)}` : "0, but never in finite time";
  write(part.endText, shownEnd ? when : "");
  const right = x > frame.left + frame.side * 0.6;
  placeText(part.endText, x + (right ? -10 : 10), y - 10, right ? "end" : "start");
}
