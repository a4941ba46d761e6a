// Controls of a figure. Joined behind figure.js.

// A labelled text field for a number. `take` gets what was typed and returns a complaint, or "" if
// it is good; a refused text gives way to the last good value. `signed`: the number may be negative,
// and the decimal keypad of some phones has no minus.
function numberField({ id, role, label: words = "", signed = false, take }) {
  const input = html("input", {
    id: `${id}-${role}`, type: "text", inputmode: signed ? "text" : "decimal", autocomplete: "off",
    spellcheck: "false", class: "dpf-number", "data-field": role,
  });
  const label = html("label", { for: input.id, class: "dpf-label" }, htmlLabel(words));
  let last = "";
  let typing = false; // a redraw must not take the text from under the reader's fingers
  const show = (value) => {
    last = brief(value);
    if (!typing) input.value = last;
  };
  const give = () => {
    if (!typing) return;
    typing = false;
    if (input.value !== last && take(typed(input.value), input.value)) input.value = last;
  };
  input.addEventListener("input", () => { typing = true; });
  input.addEventListener("change", give);
  input.addEventListener("blur", give);
  // In a notebook of JupyterLab, Chromium fires no `change` on Enter.
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) give();
  });
  return { input, label, show };
}

// Fields side by side, labels above, and buttons behind them.
const fieldRow = (fields, ...buttons) => box("dpf-starts",
  Object.values(fields).map(({ label, input }) => box("dpf-field", label, input)), buttons);

// Why a number is no good for a parameter, as Python printed its facts; "" if it is.
function outside(value, { low, high, lowOpen, highOpen, meaning }) {
  if (!Number.isFinite(value)) return "it is not a number";
  const above = low === null || (lowOpen ? value > low : value >= low);
  const below = high === null || (highOpen ? value < high : value <= high);
  return above && below ? "" : meaning;
}

// A number on a track of 44 px: `marks` are written below it in `words`, `log` spaces factors evenly.
// `take` returns a complaint about what it refuses.
// Of a `whole` number an arrow key takes the next one.
const SLIDER_STEPS = 400;

function slider({ name, low, high, marks = [], log = true, whole = false, words = brief, take }) {
  const part = (value) =>
    log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const place = (value) => SLIDER_STEPS * part(value);
  // In as few digits as still lead back to this place: with fewer, a key would not get away from it.
  const value = (at) => {
    const way = at / SLIDER_STEPS;
    const exact = log ? low * (high / low) ** way : low + way * (high - low);
    const tidy = [3, 4, 5, 6].map((digits) => Number(exact.toPrecision(digits)));
    return tidy.find((number) => Math.round(place(number)) === at) ?? exact;
  };
  const input = html("input", {
    type: "range", min: 0, max: SLIDER_STEPS, step: 1, class: "dpf-slider", "aria-label": name,
  });
  const scale = html("div", { class: "dpf-scale", "aria-hidden": "true" });
  // Another reach: for a number whose end depends on the others.
  const reachFor = keeper();
  const reach = (from, to, at) => reachFor(JSON.stringify([from, to, at]), () => {
    [low, high] = [from, to];
    scale.replaceChildren(...at.map((mark) =>
      html("span", { style: `left:${(100 * place(mark)) / SLIDER_STEPS}%` }, words(mark))));
  });
  reach(low, high, marks);
  const given = (number) => take(whole ? Math.round(number) : number);
  input.addEventListener("input", () => given(value(Number(input.value))));
  let last = low;
  if (whole) {
    listenToKeys(input, (right, up) => {
      const next = Math.min(high, Math.max(low, last + right + up));
      if (!given(next)) last = next; // the next key may come before this one is drawn
    });
  }
  const show = (now) => {
    last = now;
    input.value = Math.round(place(now));
    input.setAttribute("aria-valuetext", words(now));
  };
  return { node: box("dpf-track", input, scale), input, show, reach };
}

// The same number to slide and to type: label, track, text field. `label` is written, `name` read
// aloud; `take(value, text)` is as in numberField, and a slid value has no text.
function numberRow({ id, role, label, name = spoken(label), low, high, marks, log, whole, take }) {
  const field = numberField({ id, role, label, take });
  const track = slider({
    name, low, high, marks, log, whole, take: (value) => take(value, ""),
  });
  const show = (value) => {
    field.show(value);
    track.show(value);
  };
  const node = box(`dpf-numberrow dpf-${role}`, field.label, track.node, field.input);
  return { node, field, track, show };
}

// One of several: `options` are { value, label }.
function choices({ id, role, legend, options, take }) {
  const inputs = options.map(({ value }) =>
    html("input", { type: "radio", name: `${id}-${role}`, value }));
  const labels = inputs.map((input, i) => html("label", { class: "dpf-choice" }, input,
    html("span", {}, htmlLabel(options[i].label))));
  for (const input of inputs) input.addEventListener("change", () => take(input.value));
  const node = html("fieldset", { class: `dpf-choices dpf-${role}` },
    html("legend", { class: "dpf-unseen" }, legend), labels);
  const show = (value) => { for (const input of inputs) input.checked = input.value === value; };
  return { node, show };
}

// One of many: `groups` are [title, [{ value, label }]], titles and labels plain text.
function select({ id, role, label, groups, take }) {
  const input = html("select", { id: `${id}-${role}`, class: "dpf-select", "data-field": role },
    groups.map(([title, options]) => html("optgroup", { label: title }, options.map((option) =>
      html("option", { value: option.value }, option.label)))));
  input.addEventListener("change", () => take(input.value));
  const name = html("label", { for: input.id, class: "dpf-label" }, label);
  const show = (value) => { input.value = value; };
  return { node: box("dpf-selectrow", name, input), input, show };
}

const button = (words, press) => {
  const node = html("button", { type: "button", class: "dpf-button" }, words);
  node.addEventListener("click", press);
  return node;
};

// A button that plays to the end and pauses: `bounds()` gives the number now and at the end, `to(n)`
// goes there. From 0 to the end takes PLAY_TIME ms; from the end it begins anew. Who wants no motion is
// taken to the end at once.
const PLAY_TIME = 6000;

function playButton({ bounds, to }) {
  let playing = 0;
  const node = button("Play", () => (playing ? pause() : play()));
  const pause = () => {
    cancelAnimationFrame(playing);
    playing = 0;
    node.textContent = "Play";
  };
  const play = () => {
    const [now, end] = bounds();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      to(end);
      return;
    }
    const from = now < end ? now : 0;
    let first = null;
    const go = (time) => {
      first ??= time;
      const at = Math.min(end, from + (end * (time - first)) / PLAY_TIME);
      to(at);
      if (at >= end) pause();
      else playing = requestAnimationFrame(go);
    };
    playing = requestAnimationFrame(go);
    node.textContent = "Pause";
  };
  return { node, pause };
}

// Labelled values: `rows` are { key, label, tone }. `show` takes numbers, or words, by key.
function readouts(rows) {
  const cells = rows.map(({ key, label = "", tone = "" }) => {
    const term = html("dt", {}, htmlLabel(label));
    const value = html("dd", { "data-value": key });
    return { key, term, value, row: html("div", { class: `dpf-row ${tone}` }, term, value) };
  });
  const show = (found) => {
    for (const { key, value } of cells) {
      const now = found[key];
      write(value, typeof now === "string" ? now : shown(now));
    }
  };
  const name = (labels) => {
    for (const { key, term } of cells) term.replaceChildren(...htmlLabel(labels[key]));
  };
  return { node: html("dl", { class: "dpf-readouts" }, cells.map((c) => c.row)), show, name };
}

// The dot of a plane that can be taken with mouse, finger and keys.
const handleNode = () =>
  svg("g", {
    class: "dpf-handle", tabindex: 0, role: "slider", "aria-roledescription": "point in the plane",
  }, svg("circle", { r: 28, class: "dpf-target" }), svg("circle", { r: 14, class: "dpf-ring" }),
  svg("circle", { r: 8, class: "dpf-dot" }));

// Put it at (x, y) of the plot; `name` is what it is, `value` and `text` where it stands.
function placeHandle(handle, [x, y], { low, high }, name, value, text) {
  const attributes = {
    transform: `translate(${short(x)} ${short(y)})`, "aria-label": name, "aria-valuenow": value,
    "aria-valuemin": low, "aria-valuemax": high, "aria-valuetext": text,
  };
  element(handle, attributes, []);
}

// A point that is moved in a plane.
// Mouse: press anywhere in the plot and drag. Touch: drag the handle, or tap a place; a finger
// that moves elsewhere scrolls the page. Where a plot has several handles, none is moved from
// `anywhere` but itself.
function listenToPointer(plot, handle, frame, moveTo, { anywhere = true } = {}) {
  let offset = null;
  const place = (event) => {
    const toPlot = plot.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(toPlot);
    return [x, y];
  };
  const inPlot = ([x, y]) => {
    const { left, top, side, rise } = frame();
    return x >= left && x <= left + side && y >= top && y <= top + rise;
  };
  const go = (event) => {
    const [x, y] = place(event);
    moveTo(...frame().data(x + offset[0], y + offset[1]));
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const onHandle = handle.contains(event.target);
    const byPlace = anywhere && event.pointerType !== "touch" && inPlot(place(event));
    if (!onHandle && !byPlace) return;
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
    const tapped = anywhere && event.pointerType === "touch" && !handle.contains(event.target);
    if (!tapped || !inPlot(place(event))) return;
    moveTo(...frame().data(...place(event)));
  });
  return () => offset !== null;
}

function listenToKeys(handle, step, home) {
  const directions = {
    ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
  };
  handle.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = directions[event.key];
    if (direction) step(...direction, event.shiftKey);
    else if (event.key === "Home" && home) home();
    else return;
    event.preventDefault();
  });
}
