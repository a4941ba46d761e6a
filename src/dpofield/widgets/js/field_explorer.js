// The field explorer. State lives in the model's traits chart, beta, a, b; everything drawn is
// worked out from them. Joined behind the printed formulas, VIEWS and figure.js.

const SIZE = 420; // SVG units; at full width one unit is one CSS pixel
const PLOT = { left: 58, top: 10, side: 352 };
const GRID = 15; // arrows a side
const MAGNITUDES = 6; // colour steps, as in the style sheet
const BETA_LOW = 0.01;
const BETA_HIGH = 3;
const SLIDER_STEPS = 400;
const EXTINCT = 1e-9; // of the start: below this the rest of the time is a known tail

// ---- mathematics: only calls to the printed functions ------------------------------------------

function chartOf(name) {
  const f = FORMULAS[name];
  const { low, high, highOpen, params } = f.facts;
  const inside = (c) =>
    Number.isFinite(c) && (low === null || c > low) && (high === null || c < high || (!highOpen && c === high));
  const toLogratios = (a, b) => f.toLogratios(a, b, ...params);
  // In a chart that knows the references, two responses cannot hold more than all the mass.
  const possible = (a, b) =>
    params.length === 0 || bothProbabilities(...toLogratios(a, b), ...REFERENCES)[0] <= 1 + ROUNDING;
  return {
    name, ...f.facts, ...VIEWS[name], inside, toLogratios,
    bounded: low !== null,
    exists: (a, b) => inside(a) && inside(b) && possible(a, b),
    loss: (a, b, beta) => f.loss(a, b, beta, ...params)[0],
    gradient: (a, b, beta) => f.gradient(a, b, beta, ...params),
    fromLogratios: (u, v) => f.fromLogratios(u, v, ...params),
    invariant: f.invariant,
  };
}
const CHARTS = Object.fromEntries(Object.keys(FORMULAS).map((name) => [name, chartOf(name)]));

// One classical Runge-Kutta step of size h for y' = slope(y).
function rungeKutta(slope, y, h) {
  const moved = (k, s) => y.map((yi, i) => yi + s * k[i]);
  const k1 = slope(y);
  const k2 = slope(moved(k1, h / 2));
  const k3 = slope(moved(k2, h / 2));
  const k4 = slope(moved(k3, h));
  return y.map((yi, i) => yi + (h / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
}

// Gradient flow from (a, b) by arc length, time carried along. Steps shrink towards an edge, where
// the speed may go to infinity or to 0. Returns the points, the times, and why it stopped.
function flow(chart, beta, a, b, [low, high]) {
  const slope = ([p, q]) => {
    const [along, across] = chart.gradient(p, q, beta);
    const speed = Math.hypot(along, across);
    return [-along / speed, -across / speed, 1 / speed];
  };
  const longest = (high - low) / 250;
  const edge = chart.bounded ? chart.low + EXTINCT * Math.min(a - chart.low, b - chart.low) : -Infinity;
  const line = { points: [[a, b]], times: [0], stopped: "long" };
  let state = [a, b, 0];
  for (let i = 0; i < 3000; i += 1) {
    const room = chart.bounded ? 0.1 * Math.min(state[0] - chart.low, state[1] - chart.low) : Infinity;
    state = rungeKutta(slope, state, Math.min(longest, room));
    if (!state.every(Number.isFinite)) return line;
    line.points.push(state.slice(0, 2));
    line.times.push(state[2]);
    if (!chart.exists(state[0], state[1])) return { ...line, stopped: "edge" };
    if (state[1] <= edge) return { ...line, stopped: "extinct" };
    const gone = state[0] > high || state[1] < low || state[0] < low || state[1] > high;
    if (!chart.bounded && gone) return line;
  }
  return line;
}

// When the dispreferred coordinate reaches its lower edge: the time so far and the tail that is
// left, in which time per log-distance falls like a power of the distance. Infinite if it rises.
function extinctionTime(chart, beta, line) {
  if (line.stopped !== "extinct") return NaN;
  const [a, b] = line.points.at(-1);
  const perLog = (distance) => distance / Math.abs(chart.gradient(a, chart.low + distance, beta)[1]);
  const distance = b - chart.low;
  const power = Math.log(perLog(distance) / perLog(distance / 2)) / Math.LN2;
  return power > 1e-9 ? line.times.at(-1) + perLog(distance) / power : Infinity;
}

// The curve on which the conserved quantity keeps its value: along it, both ways, to the window.
function levelCurve(chart, a, b, frame) {
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

// Everything shown in numbers.
function numbers(chart, beta, a, b, line) {
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

function verdict({ factor }) {
  if (Math.abs(factor - 1) < 1e-9) return "Here one small step moves both by the same amount.";
  const [fast, slow, times] = factor < 1
    ? ["dispreferred", "preferred", 1 / factor]
    : ["preferred", "dispreferred", factor];
  return `Here the ${fast} moves ${brief(times)} times as fast as the ${slow}.`;
}

// ---- view --------------------------------------------------------------------------------------

const READOUTS = [
  ["along", (c) => `$∂L/∂${c.coordinates[0].slice(1, -1)}$`, "dpf-preferred"],
  ["across", (c) => `$∂L/∂${c.coordinates[1].slice(1, -1)}$`, "dpf-dispreferred"],
  ["factor", (c) => `$${c.coordinates.map((x) => `|∂L/∂${x.slice(1, -1)}|`).join(" / ")}$`],
  ["paper", () => "$x_2/x_1$ (Corollary 1)"],
  ["magnitude", () => "length of $∇L$"],
  ["loss", () => "loss $L$ (nats)"],
  ["conserved", (c) => `conserved ${c.conserved}`],
  ["extinction", () => "extinct at time"],
];

function buildControls(id) {
  const charts = Object.values(CHARTS).map((chart) => {
    const input = html("input", { type: "radio", name: `${id}-chart`, value: chart.name });
    return { input, label: html("label", { class: "dpf-choice" }, input, html("span", {}, chart.title)) };
  });
  const group = html("fieldset", { class: "dpf-charts" },
    html("legend", { class: "dpf-unseen" }, "Coordinates"), charts.map((c) => c.label));
  const slider = html("input", {
    type: "range", min: 0, max: SLIDER_STEPS, step: 1, class: "dpf-slider", "aria-label": "beta",
  });
  const scale = html("div", { class: "dpf-scale", "aria-hidden": "true" },
    [0.01, 0.1, 1, 3].map((value) =>
      html("span", { style: `left:${(100 * sliderPlace(value)) / SLIDER_STEPS}%` }, String(value))));
  const reset = html("button", { type: "button", class: "dpf-button" }, "Reset");
  return { charts: charts.map((c) => c.input), group, slider, scale, reset };
}

const sliderPlace = (beta) =>
  (SLIDER_STEPS * Math.log(beta / BETA_LOW)) / Math.log(BETA_HIGH / BETA_LOW);
const sliderBeta = (place) =>
  Number((BETA_LOW * (BETA_HIGH / BETA_LOW) ** (place / SLIDER_STEPS)).toPrecision(3));

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
  part.excludedText = svg("text", { class: "dpf-note", "text-anchor": "end", x: left + side - 10, y: top + 20 });
  part.endText = svg("text", { class: "dpf-note dpf-halo" });
  part.referenceText = svg("text", { class: "dpf-note dpf-halo" }, "reference");
  part.handle = svg("g", {
    class: "dpf-handle", tabindex: 0, role: "slider", "aria-roledescription": "point in the plane",
  }, svg("circle", { r: 28, class: "dpf-target" }), svg("circle", { r: 14, class: "dpf-ring" }),
  svg("circle", { r: 8, class: "dpf-dot" }));
  part.arrows = Array.from({ length: MAGNITUDES }, (_, i) => svg("path", { class: `dpf-arrows dpf-m${i}` }));
  const node = svg("svg", {
    viewBox: `0 0 ${SIZE} ${SIZE}`, class: "dpf-plot", role: "group",
    "aria-label": "Field of small steps against the gradient, with a start that can be moved",
  },
  svg("defs", {}, clip), path("gridlines"),
  svg("g", { "clip-path": `url(#${id}-clip)` },
    path("excluded"), part.arrows, path("level"), path("flow")),
  path("frame"), part.xTicks, part.yTicks, part.xLabel, part.yLabel, part.excludedText,
  path("reference"), part.referenceText, part.endText, path("end"), path("stepAcross"), path("stepAlong"),
  part.handle);
  return { node, part };
}

function buildReadouts() {
  const cells = READOUTS.map(([key, label, tone = ""]) => {
    const term = html("dt", {});
    const value = html("dd", { "data-value": key });
    return { key, label, term, value, row: html("div", { class: `dpf-row ${tone}` }, term, value) };
  });
  return { cells, node: html("dl", { class: "dpf-readouts" }, cells.map((c) => c.row)) };
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
  const text = (m) => brief(m);
  part.xTicks.replaceChildren(...marks.map((m) =>
    svg("text", { x: short(frame.x(m)), y: top + side + 18 }, text(m))));
  part.yTicks.replaceChildren(...marks.map((m) =>
    svg("text", { x: left - 8, y: short(frame.y(m) + 4) }, text(m))));
  const words = (i) => [`${["preferred", "dispreferred"][i]}: ${chart.axis}`, chart.coordinates[i], chart.unit];
  part.xLabel.replaceChildren(...svgLabel(words(0).join("")));
  part.yLabel.replaceChildren(...svgLabel(words(1).join("")));
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
  const strength = (log) =>
    strongest - weakest < 1e-9 ? 1 : Math.min(1, Math.max(0, (log - weakest) / (strongest - weakest)));
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
  part.stepAlong.setAttribute("d", Math.abs(right) > 3 ? arrow(x, y, right, 0, 8) : "");
  part.stepAcross.setAttribute("d", Math.abs(up) > 3 ? arrow(x, y, 0, -up, 8) : "");
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
  part.endText.textContent = shownEnd ? (time < Infinity ? `0 at t = ${brief(time)}` : "0, but never in finite time") : "";
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

function say(chart, beta, a, b, n) {
  const [first, second] = chart.coordinates.map(spoken);
  const time = Number.isNaN(n.extinction) ? "" : n.extinction < Infinity
    ? ` The dispreferred reaches 0 at time ${brief(n.extinction)}.`
    : " The dispreferred never reaches 0.";
  return `${chart.title}, beta ${brief(beta)}, ${first} ${brief(a)}, ${second} ${brief(b)}. ` +
    `Partial derivatives ${brief(n.along)} and ${brief(n.across)}, ratio of sizes ${brief(n.factor)}. ` +
    `Loss ${brief(n.loss)}.${time}`;
}

// ---- the figure --------------------------------------------------------------------------------

function render({ model, el }) {
  const id = `dpf-${Math.random().toString(36).slice(2)}`;
  const controls = buildControls(id);
  const { node: plot, part } = buildPlot(id);
  const readouts = buildReadouts();
  const legend = buildLegend();
  const sentence = html("p", { class: "dpf-sentence" });
  const complaint = html("p", { class: "dpf-complaint", role: "alert" });
  const live = html("p", { class: "dpf-unseen", "aria-live": "polite" });
  const begin = { chart: model.get("chart"), beta: model.get("beta"), a: model.get("a"), b: model.get("b") };
  let frame = null;
  let axes = "";

  const state = () => ({
    chart: CHARTS[model.get("chart")], beta: model.get("beta"), a: model.get("a"), b: model.get("b"),
  });
  const complain = (text) => { complaint.textContent = text; root.classList.toggle("dpf-refused", Boolean(text)); return text; };

  // Every change goes through here: the traits are set together, and told to a kernel when quiet.
  const change = (values, message = "") => {
    complain(message);
    model.set(values);
    redraw();
    settle();
  };
  const settle = whenQuiet(() => {
    model.save_changes();
    const { chart, beta, a, b } = state();
    if (chart.exists(a, b)) live.textContent = say(chart, beta, a, b, numbers(chart, beta, a, b, flow(chart, beta, a, b, windowOf(chart, a, b))));
  }, 400);

  const takeBeta = (beta, text) => {
    if (!(beta > 0 && Number.isFinite(beta))) return complain(`“${text.slice(0, 12)}” refused: beta is a positive number. Kept ${brief(state().beta)}.`);
    change({ beta });
    return "";
  };
  const takeCoordinate = (which) => (value, text) => {
    const { chart, a, b } = state();
    const [p, q] = which === "a" ? [value, b] : [a, value];
    const kept = `Kept ${brief(which === "a" ? a : b)}.`;
    if (!Number.isFinite(value)) return complain(`“${text.slice(0, 12)}” is not a number. ${kept}`);
    if (!chart.inside(value)) return complain(`${brief(value)} refused: ${chart.meaning}. ${kept}`);
    if (!chart.exists(p, q)) return complain(`${brief(value)} refused: both probabilities together would exceed 1. ${kept}`);
    change({ [which]: value });
    return "";
  };
  const fields = {
    beta: numberField({ id: `${id}-beta`, role: "beta", take: takeBeta }),
    a: numberField({ id: `${id}-a`, role: "a", take: takeCoordinate("a") }),
    b: numberField({ id: `${id}-b`, role: "b", take: takeCoordinate("b") }),
  };
  fields.beta.label.append(...htmlLabel("$beta$"));

  // The start keeps its log-ratios, unless the new chart has no such point.
  const takeChart = (name) => {
    const { chart, a, b } = state();
    const to = CHARTS[name];
    const point = to.fromLogratios(...chart.toLogratios(a, b));
    if (to.exists(...point)) return change({ chart: name, a: point[0], b: point[1] });
    const [p, q] = to.fromLogratios(0, 0);
    return change({ chart: name, a: p, b: q },
      `That start has no ${to.title}: it would need more than all the probability. Moved to the reference.`);
  };

  // A dragged or stepped start: on the snap of the chart, kept inside the window and the domain.
  const moveTo = (p, q) => {
    const { chart, a, b } = state();
    const margin = chart.bounded ? chart.snap : 0;
    const tidy = (c) => {
      const within = Math.min(frame.high, Math.max(frame.low + margin, c));
      return Number((Math.round(within / chart.snap) * chart.snap).toPrecision(12));
    };
    const [na, nb] = [tidy(p), tidy(q)];
    if (chart.exists(na, nb) && (na !== a || nb !== b)) change({ a: na, b: nb });
  };

  const draw = () => {
    const { chart, beta, a, b } = state();
    if (!chart.exists(a, b) || !(beta > 0)) return; // half of a change from a kernel: the rest follows
    const range = windowOf(chart, a, b);
    if (axes !== `${chart.name} ${range}`) {
      axes = `${chart.name} ${range}`;
      frame = square(PLOT, range);
      drawAxes(part, chart, frame);
      drawWords(chart);
    }
    const line = flow(chart, beta, a, b, range);
    const n = numbers(chart, beta, a, b, line);
    const [x, y] = [frame.x(a), frame.y(b)];
    const scale = drawArrows(part, chart, beta, frame);
    drawFlow(part, chart, a, b, line, frame, n.extinction);
    drawStep(part, x, y, n);
    drawReference(part, chart, frame, (rx, ry) => Math.hypot(rx - x, ry - y) < 60);
    drawControls(chart, beta, a, b, x, y);
    for (const { key, value } of readouts.cells) value.textContent = shown(n[key]);
    legend.weak.textContent = brief(Number(scale.weakest.toPrecision(2)));
    legend.strong.textContent = brief(Number(scale.strongest.toPrecision(2)));
    legend.marker.style.left = `${100 * scale.strength(Math.log10(n.magnitude))}%`;
    sentence.replaceChildren(html("strong", {}, verdict(n)), " ", ...htmlLabel(chart.law));
  };

  const drawWords = (chart) => {
    for (const input of controls.charts) input.checked = input.value === chart.name;
    for (const { label, term } of readouts.cells) term.replaceChildren(...htmlLabel(label(chart)));
    [fields.a, fields.b].forEach((field, i) => {
      field.label.replaceChildren("start ", ...htmlLabel(chart.coordinates[i]));
      // The decimal keypad of some phones has no minus.
      field.input.setAttribute("inputmode", chart.bounded ? "decimal" : "text");
    });
    part.handle.setAttribute("aria-valuemin", frame.low);
    part.handle.setAttribute("aria-valuemax", frame.high);
  };

  const drawControls = (chart, beta, a, b, x, y) => {
    fields.beta.show(beta);
    fields.a.show(a);
    fields.b.show(b);
    controls.slider.value = Math.round(sliderPlace(beta));
    controls.slider.setAttribute("aria-valuetext", brief(beta));
    part.handle.setAttribute("transform", `translate(${short(x)} ${short(y)})`);
    part.handle.setAttribute("aria-valuenow", a);
    const [first, second] = chart.coordinates.map(spoken);
    part.handle.setAttribute("aria-label", `Start: ${first} and ${second}`);
    part.handle.setAttribute("aria-valuetext", `${first} ${brief(a)}, ${second} ${brief(b)}`);
  };

  const redraw = atNextFrame(draw);

  controls.charts.forEach((input) => input.addEventListener("change", () => takeChart(input.value)));
  controls.slider.addEventListener("input", () => change({ beta: sliderBeta(controls.slider.value) }));
  controls.reset.addEventListener("click", () => change(begin));
  listenToPointer(plot, part.handle, () => frame, moveTo);
  listenToKeys(part.handle, (right, up, fast) => {
    const { chart, a, b } = state();
    const step = chart.snap * (fast ? 20 : 4);
    moveTo(a + right * step, b + up * step);
  }, () => moveTo(...state().chart.fromLogratios(0, 0)));

  const root = html("div", { class: "dpf dpf-explorer" },
    controls.group,
    html("div", { class: "dpf-beta" }, fields.beta.label, html("div", { class: "dpf-track" }, controls.slider, controls.scale), fields.beta.input),
    html("div", { class: "dpf-figure" }, plot, legend.node),
    html("div", { class: "dpf-starts" },
      html("div", { class: "dpf-field" }, fields.a.label, fields.a.input),
      html("div", { class: "dpf-field" }, fields.b.label, fields.b.input), controls.reset),
    readouts.node,
    html("div", { class: "dpf-words" }, sentence, complaint), live);
  root.style.setProperty("--tall", `${model.get("_height")}px`);
  root.style.setProperty("--tall-narrow", `${model.get("_height_narrow")}px`);
  el.append(root);
  draw();

  const events = "change:chart change:beta change:a change:b";
  model.on(events, redraw);
  return () => {
    for (const name of events.split(" ")) model.off(name, redraw);
    redraw.cancel();
    settle.cancel();
  };
}

// Mouse: press anywhere in the plot and drag. Touch: drag the handle, or tap a place; a finger
// that moves elsewhere scrolls the page.
function listenToPointer(plot, handle, frame, moveTo) {
  let offset = null;
  const place = (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    return [x, y];
  };
  const inPlot = ([x, y]) => {
    const { left, top, side } = frame();
    return x >= left && x <= left + side && y >= top && y <= top + side;
  };
  const go = (event) => {
    const [x, y] = place(event);
    moveTo(...frame().data(x + offset[0], y + offset[1]));
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const onHandle = handle.contains(event.target);
    if (!onHandle && (event.pointerType === "touch" || !inPlot(place(event)))) return;
    // The target is larger than the dot: what was grabbed stays under the finger.
    const [x, y] = place(event);
    const at = handle.transform.baseVal.getItem(0).matrix;
    offset = onHandle ? [at.e - x, at.f - y] : [0, 0];
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
    go(event);
  });
  plot.addEventListener("pointermove", (event) => { if (offset) go(event); });
  const end = () => { offset = null; };
  plot.addEventListener("pointerup", end);
  plot.addEventListener("pointercancel", end);
  plot.addEventListener("click", (event) => {
    if (event.pointerType !== "touch" || handle.contains(event.target) || !inPlot(place(event))) return;
    moveTo(...frame().data(...place(event)));
  });
}

function listenToKeys(handle, step, home) {
  const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  handle.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = directions[event.key];
    if (direction) step(...direction, event.shiftKey);
    else if (event.key === "Home") home();
    else return;
    event.preventDefault();
  });
}

export default { render };
