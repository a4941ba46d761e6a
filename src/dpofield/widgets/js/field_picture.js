// The picture of the field explorer: its nodes, made once, and what is drawn on them. A redraw only
// changes attributes and texts. Joined behind figure.js and field_flow.js.

const SIZE = 420; // SVG units; at full width one unit is one CSS pixel
const PLOT = { left: 58, top: 10, side: 352 };
const GRID = 15; // arrows a side
const MAGNITUDES = 6; // colour steps, as in the style sheet

function buildPlot(id) {
  const { left, top, side } = PLOT;
  const part = {};
  const path = (name, more = {}) => (part[name] = svg("path", { class: `dpf-${name}`, ...more }));
  const clip = svg("clipPath", { id: `${id}-clip` },
    svg("rect", { x: left, y: top, width: side, height: side }));
  part.xTicks = svg("g", { class: "dpf-ticks", "text-anchor": "middle" });
  part.yTicks = svg("g", { class: "dpf-ticks", "text-anchor": "end" });
  part.xLabel = svg("text", { x: left + side / 2, y: SIZE - 8, class: "dpf-axis dpf-preferred" });
  part.yLabel = svg("text", {
    transform: `translate(14 ${top + side / 2}) rotate(-90)`, class: "dpf-axis dpf-dispreferred",
  });
  part.excludedText = svg("text", {
    class: "dpf-note", "text-anchor": "end", x: left + side - 10, y: top + 20,
  });
  part.endText = svg("text", { class: "dpf-note dpf-halo" });
  part.referenceText = svg("text", { class: "dpf-note dpf-halo" }, "reference");
  part.handle = svg("g", {
    class: "dpf-handle", tabindex: 0, role: "slider", "aria-roledescription": "point in the plane",
  }, svg("circle", { r: 28, class: "dpf-target" }), svg("circle", { r: 14, class: "dpf-ring" }),
  svg("circle", { r: 8, class: "dpf-dot" }));
  part.arrows = Array.from({ length: MAGNITUDES }, (_, i) =>
    svg("path", { class: `dpf-arrows dpf-m${i}` }));
  const node = svg("svg", {
    viewBox: `0 0 ${SIZE} ${SIZE}`, class: "dpf-plot", role: "group",
    "aria-label": "Field of small steps against the gradient, with a start that can be moved",
  },
  svg("defs", {}, clip), path("gridlines"),
  svg("g", { "clip-path": `url(#${id}-clip)` },
    path("excluded"), part.arrows, path("level"), path("flow")),
  path("frame"), part.xTicks, part.yTicks, part.xLabel, part.yLabel, part.excludedText,
  path("reference"), part.referenceText, part.endText, path("end"), path("stepAcross"),
  path("stepAlong"), part.handle);
  return { node, part };
}

function buildLegend() {
  const marker = html("span", { class: "dpf-marker" });
  const [weak, strong] = [html("span", {}), html("span", {})];
  const bar = html("span", { class: "dpf-bar" },
    Array.from({ length: MAGNITUDES }, (_, i) => html("span", { class: `dpf-m${i}` })), marker);
  const title = html("span", { class: "dpf-legend-title" }, htmlLabel("length of $∇L$"));
  return { marker, weak, strong, node: html("div", { class: "dpf-legend" }, title, weak, bar, strong) };
}

// The window of a chart, doubled until the start is in it.
function windowOf(chart, a, b) {
  let [low, high] = chart.range;
  while (Math.max(a, b) > high || Math.min(a, b) < low) [low, high] = [2 * low, 2 * high];
  return [low, high];
}

function drawAxes(part, chart, frame) {
  const { left, top, side } = frame;
  const marks = ticks(frame.low, frame.high);
  const lines = marks.map((m) =>
    `M${short(frame.x(m))} ${top}v${side}M${left} ${short(frame.y(m))}h${side}`);
  part.gridlines.setAttribute("d", lines.join(""));
  part.frame.setAttribute("d", `M${left} ${top}v${side}h${side}`);
  part.xTicks.replaceChildren(...marks.map((m) =>
    svg("text", { x: short(frame.x(m)), y: top + side + 18 }, brief(m))));
  part.yTicks.replaceChildren(...marks.map((m) =>
    svg("text", { x: left - 8, y: short(frame.y(m) + 4) }, brief(m))));
  const words = (who, i) => `${who}: ${chart.axis}${chart.coordinates[i]}${chart.unit}`;
  part.xLabel.replaceChildren(...svgLabel(words("preferred", 0)));
  part.yLabel.replaceChildren(...svgLabel(words("dispreferred", 1)));
  const corners = (chart.excluded ?? []).map(([a, b]) => [frame.x(a), frame.y(b)]);
  part.excluded.setAttribute("d", corners.length ? `${polyline(corners)}Z` : "");
  part.excludedText.replaceChildren(...svgLabel(chart.excludedText ?? ""));
}

// The grid of arrows: direction of one small step, length and colour by the log of its size.
function drawArrows(part, chart, beta, frame) {
  const cell = (frame.high - frame.low) / GRID;
  const found = [];
  for (let i = 0; i < GRID * GRID; i += 1) {
    const a = frame.low + ((i % GRID) + 0.5) * cell;
    const b = frame.low + (Math.floor(i / GRID) + 0.5) * cell;
    if (!chart.exists(a, b)) continue;
    const [along, across] = chart.gradient(a, b, beta);
    found.push([a, b, along, across, Math.log10(Math.hypot(along, across))]);
  }
  const logs = found.map((f) => f[4]).filter(Number.isFinite);
  const strongest = Math.max(...logs);
  const weakest = Math.max(Math.min(...logs), strongest - 4);
  const spread = strongest - weakest;
  const strength = (log) =>
    spread < 1e-9 ? 1 : Math.min(1, Math.max(0, (log - weakest) / spread));
  const paths = part.arrows.map(() => []);
  for (const [a, b, along, across, log] of found) {
    const s = strength(log);
    const length = cell * frame.unit * (0.34 + 0.54 * s);
    const size = Math.hypot(along, across) || 1;
    const [dx, dy] = [(-along / size) * length, (across / size) * length];
    const step = Math.min(MAGNITUDES - 1, Math.floor(s * MAGNITUDES));
    paths[step].push(arrow(frame.x(a) - dx / 2, frame.y(b) - dy / 2, dx, dy, 2.6 + 1.6 * s));
  }
  part.arrows.forEach((node, i) => node.setAttribute("d", paths[i].join("")));
  return { weakest: 10 ** weakest, strongest: 10 ** strongest, strength };
}

// The step at the start, split into its two parts: the longer one has a fixed length.
function drawStep(part, x, y, { along, across }) {
  const longest = Math.max(Math.abs(along), Math.abs(across)) || 1;
  const length = (partial) => (-partial / longest) * 66;
  const [right, up] = [length(along), length(across)];
  const path = (dx, dy) => {
    const size = Math.hypot(dx, dy);
    return size > 3 ? arrow(x, y, dx, dy, Math.min(8, size / 3)) : "";
  };
  part.stepAlong.setAttribute("d", path(right, 0));
  part.stepAcross.setAttribute("d", path(0, -up));
}

function drawFlow(part, chart, a, b, line, frame, time) {
  const inPlot = ([p, q]) => [frame.x(p), frame.y(q)];
  // Points crowd together near an edge; those closer than half a pixel are not worth a stroke.
  const kept = [];
  for (const point of line.points.map(inPlot)) {
    const last = kept.at(-1);
    if (!last || Math.hypot(point[0] - last[0], point[1] - last[1]) > 0.5) kept.push(point);
  }
  part.flow.setAttribute("d", polyline(kept));
  part.level.setAttribute("d", polyline(levelCurve(chart, a, b, frame).map(inPlot)));
  const [x, y] = inPlot(line.points.at(-1));
  const shownEnd = line.stopped === "extinct" && frame.holds(...line.points.at(-1));
  part.end.setAttribute("d", shownEnd ? `M${x - 5} ${y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0` : "");
  const when = time < Infinity ? `0 at t = ${brief(time)}` : "0, but never in finite time";
  part.endText.textContent = shownEnd ? when : "";
  const right = x > frame.left + frame.side * 0.6;
  part.endText.setAttribute("text-anchor", right ? "end" : "start");
  part.endText.setAttribute("x", short(x + (right ? -10 : 10)));
  part.endText.setAttribute("y", short(y - 10));
}

function drawReference(part, chart, frame, near) {
  const [x, y] = ((p) => [frame.x(p[0]), frame.y(p[1])])(chart.fromLogratios(0, 0));
  part.reference.setAttribute("d", `M${x - 7} ${y}l7 -7l7 7l-7 7z`);
  part.referenceText.setAttribute("x", short(x + 12));
  part.referenceText.setAttribute("y", short(y - 8));
  part.referenceText.toggleAttribute("hidden", near(x, y));
}
