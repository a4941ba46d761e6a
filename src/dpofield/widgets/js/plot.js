// Planes, axes and arrows.

import { box, element, html, htmlLabel, svg, svgLabel, write } from "./nodes.js";
import { brief, short } from "./text.js";
import { keeper } from "./timing.js";

// The power of ten at or below a positive number.
export const decade = (value) => 10 ** Math.floor(Math.log10(value));

export function ticks(low, high, about = 5) {
  const raw = (high - low) / about;
  const power = decade(raw);
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// A plot area: maps data [low, high] x [bottom, ceiling] to SVG units, y upwards; square without
// `rise`. `holds` tests a point of the data, `covers` a point of the SVG.
export function square({ left, top, side, rise = side }, [low, high], [bottom, ceiling] = [low, high]) {
  const unit = side / (high - low);
  const yUnit = rise / (ceiling - bottom);
  return {
    left, top, side, rise, low, high, bottom, ceiling, unit,
    x: (a) => left + (a - low) * unit,
    y: (b) => top + rise - (b - bottom) * yUnit,
    data: (x, y) => [low + (x - left) / unit, bottom + (top + rise - y) / yUnit],
    holds: (a, b) => a >= low && a <= high && b >= bottom && b <= ceiling,
    covers: (x, y) => x >= left && x <= left + side && y >= top && y <= top + rise,
  };
}

// A path through (x, y) pairs in SVG units.
export const polyline = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${short(x)} ${short(y)}`).join("");

export const within = (value, low, high) => Math.min(high, Math.max(low, value));

// The multiple of `step` nearest to the value, which is first limited to `low` and `high`.
export const snapped = (value, step, low, high) =>
  Number((Math.round(within(value, low, high) / step) * step).toPrecision(12));

export const disc = (x, y, r = 5) =>
  `M${short(x - r)} ${short(y)}a${short(r)} ${short(r)} 0 1 0 ${short(2 * r)} 0` +
  `a${short(r)} ${short(r)} 0 1 0 ${short(-2 * r)} 0`;

// A straight arrow whose head is two strokes: cheap enough for hundreds in one path.
export function arrow(x, y, dx, dy, head) {
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [(dx / length) * head, (dy / length) * head];
  const [tx, ty] = [x + dx, y + dy];
  const left = `${short(tx - ux - uy * 0.6)} ${short(ty - uy + ux * 0.6)}`;
  const right = `${short(tx - ux + uy * 0.6)} ${short(ty - uy - ux * 0.6)}`;
  const tip = `${short(tx)} ${short(ty)}`;
  return `M${short(x)} ${short(y)}L${tip}M${left}L${tip}L${right}`;
}

export const placeText = (node, x, y, anchor = "") =>
  element(node, { ...(anchor && { "text-anchor": anchor }), x: short(x), y: short(y) });

// The size of a window, doubled until it is at least `needed`.
export const doubled = (size, needed) => (needed > size ? doubled(2 * size, needed) : size);

// Texts along an axis, [x, y, words] each. Nodes are reused; if the words are the same, they only move.
export function placeTexts(group, places) {
  while (group.childNodes.length > places.length) group.lastChild.remove();
  places.forEach(([x, y, words], i) => {
    const node = group.childNodes[i] ?? group.appendChild(svg("text"));
    node.setAttribute("transform", `translate(${short(x)} ${short(y)})`);
    write(node, words);
  });
}

// A plane in SVG: clip, grid lines, frame, ticks and axis labels. `inside` is clipped to the frame,
// `above` is drawn over everything. A string in either of them makes a path of that class, kept in
// `part`. `rise` and `tall` are the heights of the plot area and of the picture, if these are not
// squares; `tones` colour the two axis labels.
export function plane({
  part, id, left, top, side, rise = side, size, tall = size, label, inside, above,
  tones = ["preferred", "dispreferred"],
}) {
  const nodes = (all) => all.map((one) =>
    typeof one === "string" ? (part[one] = svg("path", { class: `dpf-${one}` })) : one);
  const [tone, yTone] = tones.map((name) => `dpf-axis dpf-${name}`);
  const own = {
    gridlines: svg("path", { class: "dpf-gridlines" }),
    frame: svg("path", { class: "dpf-frame" }),
    xTicks: svg("g", { class: "dpf-ticks", "text-anchor": "middle" }),
    yTicks: svg("g", { class: "dpf-ticks", "text-anchor": "end" }),
    xLabel: svg("text", { x: left + side / 2, y: tall - 8, class: tone }),
    yLabel: svg("text", {
      transform: `translate(14 ${top + rise / 2}) rotate(-90)`, class: yTone,
    }),
  };
  const clip = svg("clipPath", { id: `${id}-clip` },
    svg("rect", { x: left, y: top, width: side, height: rise }));
  const node = svg("svg", {
    viewBox: `0 0 ${size} ${tall}`, class: "dpf-plot", role: "group", "aria-label": label,
    style: `aspect-ratio: ${size} / ${tall}`,
  },
  svg("defs", {}, clip), own.gridlines, svg("g", { "clip-path": `url(#${id}-clip)` }, nodes(inside)),
  own.frame, own.xTicks, own.yTicks, own.xLabel, own.yLabel, nodes(above));

  const labelsFor = keeper();
  const axes = (frame, xWords, yWords) => {
    const [marks, yMarks] = [ticks(frame.low, frame.high), ticks(frame.bottom, frame.ceiling)];
    const lines = [
      ...marks.map((m) => `M${short(frame.x(m))} ${top}v${rise}`),
      ...yMarks.map((m) => `M${left} ${short(frame.y(m))}h${side}`),
    ];
    own.gridlines.setAttribute("d", lines.join(""));
    own.frame.setAttribute("d", `M${left} ${top}v${rise}h${side}`);
    placeTexts(own.xTicks, marks.map((m) => [frame.x(m), top + rise + 18, brief(m)]));
    placeTexts(own.yTicks, yMarks.map((m) => [left - 8, frame.y(m) + 4, brief(m)]));
    labelsFor(`${xWords} ${yWords}`, () => {
      own.xLabel.replaceChildren(...svgLabel(xWords));
      own.yLabel.replaceChildren(...svgLabel(yWords));
    });
  };
  return { node, axes, part };
}

const MAGNITUDES = 6; // colour steps, as in the style sheet
export const arrowNodes = () => Array.from({ length: MAGNITUDES }, (_, i) =>
  svg("path", { class: `dpf-arrows dpf-m${i}` }));

// A grid of arrows, `count` per side, on `nodes`: the direction is that of one small step, length and
// colour show the log of its size. `step(a, b)` returns the step, or null. Returns the scale, whose
// `strength` maps the log10 of a size to [0, 1].
export function drawArrows(nodes, frame, count, step) {
  const cell = (frame.high - frame.low) / count;
  const yCell = (frame.ceiling - frame.bottom) / count;
  const found = [];
  for (let i = 0; i < count * count; i += 1) {
    const a = frame.low + ((i % count) + 0.5) * cell;
    const b = frame.bottom + (Math.floor(i / count) + 0.5) * yCell;
    const to = step(a, b);
    if (to?.every(Number.isFinite)) found.push([a, b, ...to, Math.log10(Math.hypot(...to))]);
  }
  const logs = found.map((f) => f[4]).filter(Number.isFinite);
  const strongest = Math.max(...logs);
  const weakest = Math.max(Math.min(...logs), strongest - 4);
  const spread = strongest - weakest;
  const strength = (log) => (spread < 1e-9 ? 1 : within((log - weakest) / spread, 0, 1));
  const paths = nodes.map(() => []);
  for (const [a, b, along, across, log] of found) {
    const s = strength(log);
    const length = cell * frame.unit * (0.34 + 0.54 * s);
    const size = Math.hypot(along, across) || 1;
    const [dx, dy] = [(along / size) * length, (-across / size) * length];
    const colour = Math.min(MAGNITUDES - 1, Math.floor(s * MAGNITUDES));
    paths[colour].push(arrow(frame.x(a) - dx / 2, frame.y(b) - dy / 2, dx, dy, 2.6 + 1.6 * s));
  }
  nodes.forEach((node, i) => node.setAttribute("d", paths[i].join("")));
  return { weakest: 10 ** weakest, strongest: 10 ** strongest, strength };
}

// The legend of the arrows: sizes and colours, with a marker for one size.
export function magnitudeLegend(label) {
  const marker = html("span", { class: "dpf-marker" });
  const [weak, strong] = [html("span", {}), html("span", {})];
  const bar = html("span", { class: "dpf-bar" },
    Array.from({ length: MAGNITUDES }, (_, i) => html("span", { class: `dpf-m${i}` })), marker);
  const title = html("span", { class: "dpf-legend-title" }, htmlLabel(label));
  const show = (scale, size) => {
    write(weak, brief(scale.weakest, 2));
    write(strong, brief(scale.strongest, 2));
    marker.style.left = `${100 * scale.strength(Math.log10(size))}%`;
  };
  return { node: box("dpf-legend", title, weak, bar, strong), show };
}

// One step from (x, y) as its two components, on two paths; the longer one has a fixed length.
export function drawStep([first, second], x, y, [along, across], length = 66) {
  const longest = Math.max(Math.abs(along), Math.abs(across)) || 1;
  const path = (dx, dy) => {
    const size = Math.hypot(dx, dy);
    return size > 3 ? arrow(x, y, dx, dy, Math.min(8, size / 3)) : "";
  };
  first.setAttribute("d", path((along / longest) * length, 0));
  second.setAttribute("d", path(0, (-across / longest) * length));
}

// The diamond of the reference; its label is hidden near a handle at (x, y).
export function referenceMark() {
  const mark = svg("path", { class: "dpf-reference" });
  const text = svg("text", { class: "dpf-note dpf-halo" }, "reference");
  const show = (rx, ry, x, y) => {
    mark.setAttribute("d", `M${short(rx - 7)} ${short(ry)}l7 -7l7 7l-7 7z`);
    placeText(text, rx + 12, ry - 8);
    text.toggleAttribute("hidden", Math.hypot(rx - x, ry - y) < 60);
  };
  return { nodes: [mark, text], show };
}
