// The field explorer. State lives in the model's traits chart, beta, a, b; everything drawn is
// worked out from them. Joined behind the printed formulas, figure.js and field_flow.js.

const TRAITS = ["chart", "beta", "a", "b"];
const SIZE = 420; // SVG units; at full width one unit is one CSS pixel
const PLOT = { left: 58, top: 10, side: 352 };
const GRID = 15; // arrows a side
const MAGNITUDES = 6; // colour steps, as in the style sheet
const BETA_LOW = 0.01;
const BETA_HIGH = 3;
const SLIDER_STEPS = 400;

// ---- nodes: made once ---------------------------------------------------------------------------

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
    const words = html("span", {}, chart.title);
    return { input, label: html("label", { class: "dpf-choice" }, input, words) };
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

// ---- drawing: only attributes and texts change from here on ------------------------------------

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

// ---- words ------------------------------------------------------------------------------------

function verdict({ factor }) {
  if (Number.isNaN(factor)) return "Here the step is too small for a computer's numbers.";
  if (Math.abs(factor - 1) < 1e-9) return "Here one small step moves both by the same amount.";
  const [fast, slow, times] = factor < 1
    ? ["dispreferred", "preferred", 1 / factor]
    : ["preferred", "dispreferred", factor];
  return `Here the ${fast} moves ${brief(times)} times as fast as the ${slow}.`;
}

function say(chart, beta, a, b, n) {
  const [first, second] = chart.coordinates.map(spoken);
  const time = Number.isNaN(n.extinction) ? "" : n.extinction < Infinity
    ? ` The dispreferred reaches 0 at time ${brief(n.extinction)}.`
    : " The dispreferred never reaches 0.";
  return `${chart.title}, beta ${brief(beta)}, ${first} ${brief(a)}, ${second} ${brief(b)}. ` +
    `Partial derivatives ${brief(n.along)} and ${brief(n.across)}, ` +
    `ratio of sizes ${brief(n.factor)}. Loss ${brief(n.loss)}.${time}`;
}

// ---- the figure --------------------------------------------------------------------------------

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.id = `dpf-${Math.random().toString(36).slice(2)}`;
    this.begin = Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]));
    this.redraw = atNextFrame(() => this.draw());
    this.settle = whenQuiet(() => this.tell(), 400);
    this.build();
    el.append(this.root);
    this.draw();
    this.listen();
  }

  get state() {
    const [name, beta, a, b] = TRAITS.map((trait) => this.model.get(trait));
    return { chart: CHARTS[name], beta, a, b };
  }

  // Every change of ours goes through here: traits are set together, a kernel is told when quiet.
  change(values, message = "") {
    this.complain(message);
    this.model.set(values);
    this.redraw();
    this.settle();
  }

  complain(text) {
    this.complaint.textContent = text;
    this.root.classList.toggle("dpf-refused", Boolean(text));
    return text;
  }

  tell() {
    this.model.save_changes();
    const { chart, beta, a, b } = this.state;
    if (!chart.exists(a, b)) return;
    const line = flow(chart, beta, a, b, windowOf(chart, a, b));
    this.live.textContent = say(chart, beta, a, b, numbers(chart, beta, a, b, line));
  }

  build() {
    const { id } = this;
    this.controls = buildControls(id);
    this.plot = buildPlot(id);
    this.readouts = buildReadouts();
    this.legend = buildLegend();
    this.sentence = html("p", { class: "dpf-sentence" });
    this.complaint = html("p", { class: "dpf-complaint", role: "alert" });
    this.live = html("p", { class: "dpf-unseen", "aria-live": "polite" });
    const field = (role, take) => numberField({ id: `${id}-${role}`, role, take });
    this.fields = {
      beta: field("beta", (value, text) => this.takeBeta(value, text)),
      a: field("a", (value, text) => this.takeCoordinate("a", value, text)),
      b: field("b", (value, text) => this.takeCoordinate("b", value, text)),
    };
    this.fields.beta.label.append(...htmlLabel("$beta$"));
    this.root = this.arrange();
    this.root.style.setProperty("--tall", `${this.model.get("_height")}px`);
    this.root.style.setProperty("--tall-narrow", `${this.model.get("_height_narrow")}px`);
  }

  arrange() {
    const { controls, fields } = this;
    const box = (name, ...children) => html("div", { class: name }, ...children);
    return box("dpf dpf-explorer",
      controls.group,
      box("dpf-beta", fields.beta.label, box("dpf-track", controls.slider, controls.scale),
        fields.beta.input),
      box("dpf-figure", this.plot.node, this.legend.node),
      box("dpf-starts", box("dpf-field", fields.a.label, fields.a.input),
        box("dpf-field", fields.b.label, fields.b.input), controls.reset),
      this.readouts.node,
      box("dpf-words", this.sentence, this.complaint),
      this.live);
  }

  // -- what a reader does --

  listen() {
    const { controls, model } = this;
    const { handle } = this.plot.part;
    controls.charts.forEach((input) =>
      input.addEventListener("change", () => this.takeChart(input.value)));
    controls.slider.addEventListener("input", () =>
      this.change({ beta: sliderBeta(controls.slider.value) }));
    controls.reset.addEventListener("click", () => this.change(this.begin));
    this.held = listenToPointer(this.plot.node, handle, () => this.frame, (a, b) => this.moveTo(a, b));
    listenToKeys(handle, (...step) => this.step(...step), () => this.toReference());
    for (const name of TRAITS) model.on(`change:${name}`, this.redraw);
  }

  remove() {
    for (const name of TRAITS) this.model.off(`change:${name}`, this.redraw);
    this.redraw.cancel();
    this.settle.cancel();
  }

  takeBeta(beta, text) {
    if (!(beta > 0 && Number.isFinite(beta))) {
      return this.complain(
        `“${cut(text)}” refused: beta is a positive number. Kept ${brief(this.state.beta)}.`);
    }
    this.change({ beta });
    return "";
  }

  takeCoordinate(which, value, text) {
    const { chart, a, b } = this.state;
    const point = which === "a" ? [value, b] : [a, value];
    const why = !Number.isFinite(value) ? "it is not a number"
      : !chart.inside(value) ? chart.meaning
        : !chart.exists(...point) ? "both probabilities together would exceed 1" : "";
    if (why) {
      return this.complain(
        `“${cut(text)}” refused: ${why}. Kept ${brief(which === "a" ? a : b)}.`);
    }
    this.change({ [which]: value });
    return "";
  }

  // The start keeps its log-ratios, unless the new chart has no such point.
  takeChart(name) {
    const { chart, a, b } = this.state;
    const to = CHARTS[name];
    const point = to.fromLogratios(...chart.toLogratios(a, b));
    const kept = to.exists(...point);
    const [p, q] = kept ? point : to.fromLogratios(0, 0);
    this.change({ chart: name, a: p, b: q }, kept ? "" :
      `That start has no ${to.title}: it would need more than all the probability. ` +
      "Moved to the reference.");
  }

  // A dragged or stepped start: on the snap of the chart, inside the window and the domain.
  moveTo(p, q) {
    const { chart, a, b } = this.state;
    const { low, high } = this.frame;
    const lowest = chart.bounded ? low + chart.snap : low;
    const tidy = (c) => {
      const within = Math.min(high, Math.max(lowest, c));
      return Number((Math.round(within / chart.snap) * chart.snap).toPrecision(12));
    };
    const [na, nb] = [tidy(p), tidy(q)];
    if (chart.exists(na, nb) && (na !== a || nb !== b)) this.change({ a: na, b: nb });
  }

  step(right, up, fast) {
    const { chart, a, b } = this.state;
    const size = chart.snap * (fast ? 20 : 4);
    this.moveTo(a + right * size, b + up * size);
  }

  toReference() {
    const [a, b] = this.state.chart.fromLogratios(0, 0);
    this.change({ a, b });
  }

  // -- what is shown --

  draw() {
    const { chart, beta, a, b } = this.state;
    if (!chart.exists(a, b) || !(beta > 0)) return; // half of a kernel's change: the rest follows
    const { part } = this.plot;
    // The window stays under a held pointer, or the start would jump away from it.
    const range = this.held?.() ? [this.frame.low, this.frame.high] : windowOf(chart, a, b);
    this.drawFrame(chart, range);
    const { frame } = this;
    const line = flow(chart, beta, a, b, range);
    const n = numbers(chart, beta, a, b, line);
    const [x, y] = [frame.x(a), frame.y(b)];
    const scale = drawArrows(part, chart, beta, frame);
    drawFlow(part, chart, a, b, line, frame, n.extinction);
    drawStep(part, x, y, n);
    drawReference(part, chart, frame, (rx, ry) => Math.hypot(rx - x, ry - y) < 60);
    this.drawControls(beta, a, b);
    this.drawHandle(chart, a, b, x, y);
    this.drawNumbers(chart, n, scale);
  }

  // Axes and words change only with the chart or its window.
  drawFrame(chart, range) {
    const key = `${chart.name} ${range}`;
    if (this.key === key) return;
    this.key = key;
    this.frame = square(PLOT, range);
    const { fields, plot: { part } } = this;
    drawAxes(part, chart, this.frame);
    for (const input of this.controls.charts) input.checked = input.value === chart.name;
    for (const { label, term } of this.readouts.cells) term.replaceChildren(...htmlLabel(label(chart)));
    [fields.a, fields.b].forEach((field, i) => {
      field.label.replaceChildren("start ", ...htmlLabel(chart.coordinates[i]));
      // The decimal keypad of some phones has no minus.
      field.input.setAttribute("inputmode", chart.bounded ? "decimal" : "text");
    });
    part.handle.setAttribute("aria-valuemin", this.frame.low);
    part.handle.setAttribute("aria-valuemax", this.frame.high);
  }

  drawControls(beta, a, b) {
    const { fields, controls } = this;
    fields.beta.show(beta);
    fields.a.show(a);
    fields.b.show(b);
    controls.slider.value = Math.round(sliderPlace(beta));
    controls.slider.setAttribute("aria-valuetext", brief(beta));
  }

  drawHandle(chart, a, b, x, y) {
    const { handle } = this.plot.part;
    const [first, second] = chart.coordinates.map(spoken);
    handle.setAttribute("transform", `translate(${short(x)} ${short(y)})`);
    handle.setAttribute("aria-label", `Start: ${first} and ${second}`);
    handle.setAttribute("aria-valuenow", a);
    handle.setAttribute("aria-valuetext", `${first} ${brief(a)}, ${second} ${brief(b)}`);
  }

  drawNumbers(chart, n, scale) {
    for (const { key, value } of this.readouts.cells) {
      value.textContent = n[key] === Infinity && key === "extinction" ? "never" : shown(n[key]);
    }
    const { weak, strong, marker } = this.legend;
    weak.textContent = brief(scale.weakest, 2);
    strong.textContent = brief(scale.strongest, 2);
    marker.style.left = `${100 * scale.strength(Math.log10(n.magnitude))}%`;
    this.sentence.replaceChildren(html("strong", {}, verdict(n)), " ", ...htmlLabel(chart.law));
  }
}

function render({ model, el }) {
  const explorer = new Explorer(model, el);
  return () => explorer.remove();
}

// Mouse: press anywhere in the plot and drag. Touch: drag the handle, or tap a place; a finger
// that moves elsewhere scrolls the page.
function listenToPointer(plot, handle, frame, moveTo) {
  let offset = null;
  const place = (event) => {
    const toPlot = plot.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(toPlot);
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
  // A drag of the dot must not scroll the page; touch-action is not honoured inside an SVG.
  handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  plot.addEventListener("pointermove", (event) => { if (offset) go(event); });
  const end = () => { offset = null; };
  plot.addEventListener("pointerup", end);
  plot.addEventListener("pointercancel", end);
  plot.addEventListener("lostpointercapture", end);
  plot.addEventListener("click", (event) => {
    const tapped = event.pointerType === "touch" && !handle.contains(event.target);
    if (!tapped || !inPlot(place(event))) return;
    moveTo(...frame().data(...place(event)));
  });
  return () => offset !== null;
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
