// Controls of a figure.

import { listenToKeys } from "./handle.js";
import { box, html, htmlLabel, spoken, write } from "./nodes.js";
import { brief, shown, typed } from "./text.js";
import { keeper } from "./timing.js";

// JupyterLab takes arrow and letter keys as shortcuts unless the focused element opts out.
export function keepKeys(node) {
  if (node.matches("[type=range], [type=radio], select, [role=slider]")) {
    node.dataset.lmSuppressShortcuts = "true";
  }
}

// A labelled text field for a number. `take` gets the number and its text, and returns a complaint or
// ""; after a complaint, the field shows the last good value again. `signed`: the number may be
// negative, and the decimal keypad of some phones has no minus.
export function numberField({ id, role, label: words = "", signed = false, take }) {
  const input = html("input", {
    id: `${id}-${role}`, type: "text", inputmode: signed ? "text" : "decimal", autocomplete: "off",
    spellcheck: "false", class: "dpf-number", "data-field": role,
  });
  const label = html("label", { for: input.id, class: "dpf-label" }, htmlLabel(words));
  let last = "";
  let typing = false; // a redraw must not replace unfinished text
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

// Fields side by side with their labels above, then buttons.
export const fieldRow = (fields, ...buttons) => box("dpf-starts",
  Object.values(fields).map(({ label, input }) => box("dpf-field", label, input)), buttons);

// The reason why a parameter cannot have this value, or "". Python prints the parameter's facts.
export function outside(value, { low, high, lowOpen, highOpen, meaning }) {
  if (!Number.isFinite(value)) return "it is not a number";
  const above = low === null || (lowOpen ? value > low : value >= low);
  const below = high === null || (highOpen ? value < high : value <= high);
  return above && below ? "" : meaning;
}

// A slider for a number: `marks` are written below it by `words`, and `log` makes it logarithmic.
// `take` returns a complaint or "". For a `whole` number, an arrow key moves to the next integer.
const SLIDER_STEPS = 400;

export function slider({ name, low, high, marks = [], log = true, whole = false, words = brief, take }) {
  const part = (value) =>
    log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const place = (value) => SLIDER_STEPS * part(value);
  // As few digits as still give this place; with fewer, a key press could leave the slider in place.
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
  // A new range, for a number whose range depends on other numbers.
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

// One number with label, slider and text field. `label` is shown, `name` is read aloud.
// `take(value, text)` is as in numberField; `text` is "" if the value comes from the slider.
export function numberRow({ id, role, label, name = spoken(label), low, high, marks, log, whole, take }) {
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

// Radio buttons: `options` are { value, label }.
export function choices({ id, role, legend, options, take }) {
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

// A drop-down list: `groups` are [title, [{ value, label }]]; titles and labels are plain text.
export function select({ id, role, label, groups, take }) {
  const input = html("select", { id: `${id}-${role}`, class: "dpf-select", "data-field": role },
    groups.map(([title, options]) => html("optgroup", { label: title }, options.map((option) =>
      html("option", { value: option.value }, option.label)))));
  input.addEventListener("change", () => take(input.value));
  const name = html("label", { for: input.id, class: "dpf-label" }, label);
  const show = (value) => { input.value = value; };
  return { node: box("dpf-selectrow", name, input), input, show };
}

export const button = (words, press) => {
  const node = html("button", { type: "button", class: "dpf-button" }, words);
  node.addEventListener("click", press);
  return node;
};

// A button that plays to the end and pauses: `bounds()` gives the current and the last number, `to(n)`
// sets the number. From 0 to the end takes PLAY_TIME ms; at the end, Play starts from 0 again. With
// reduced motion, jump to the end.
const PLAY_TIME = 6000;

export function playButton({ bounds, to }) {
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
      const [, last] = bounds(); // a running training moves the end
      const at = Math.min(last, from + (last * (time - first)) / PLAY_TIME);
      to(at);
      if (at >= last) pause();
      else playing = requestAnimationFrame(go);
    };
    playing = requestAnimationFrame(go);
    node.textContent = "Pause";
  };
  return { node, pause };
}

// Write a number with all its digits, or words.
export const writeValue = (node, value) =>
  write(node, typeof value === "string" ? value : shown(value));

// Labelled values: `rows` are { key, label, tone }. `show` takes numbers or words by key. If the
// labels are functions, `name(of)` sets them to `label(of)`.
export function readouts(rows) {
  const cells = rows.map(({ key, label, tone = "" }) => {
    const term = html("dt", {}, typeof label === "string" ? htmlLabel(label) : []);
    const value = html("dd", { "data-value": key });
    const row = html("div", { class: `dpf-row ${tone}` }, term, value);
    return { key, label, term, value, row };
  });
  const show = (found) => {
    for (const { key, value } of cells) writeValue(value, found[key]);
  };
  const name = (of) => {
    for (const { label, term } of cells) term.replaceChildren(...htmlLabel(label(of)));
  };
  return { node: html("dl", { class: "dpf-readouts" }, cells.map((c) => c.row)), show, name };
}
