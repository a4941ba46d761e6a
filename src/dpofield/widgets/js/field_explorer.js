// The field explorer. State lives in the model's traits chart, beta, a, b; everything drawn is
// worked out from them. Joined behind the printed formulas, figure.js, field_flow.js and
// field_picture.js.

const TRAITS = ["chart", "beta", "a", "b"];
const BETA_LOW = 0.01;
const BETA_HIGH = 3;
const SLIDER_STEPS = 400;

// ---- controls and numbers: nodes made once -----------------------------------------------------

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

function buildReadouts() {
  const cells = READOUTS.map(([key, label, tone = ""]) => {
    const term = html("dt", {});
    const value = html("dd", { "data-value": key });
    return { key, label, term, value, row: html("div", { class: `dpf-row ${tone}` }, term, value) };
  });
  return { cells, node: html("dl", { class: "dpf-readouts" }, cells.map((c) => c.row)) };
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

export default { render };
