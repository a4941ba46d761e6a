// Controls of a figure.

import { listenToKeys } from "./handle.js";
import { box, html, htmlLabel, spoken, write } from "./nodes.js";
import { brief, shown, typed } from "./text.js";
import { keeper } from "./timing.js";

// JupyterLab takes arrows and letters from what is focused in a notebook, unless it says so itself.
export function keepKeys(node) {
  if (node.matches("[type=range], [type=radio], select, [role=slider]")) {
    node.dataset.lmSuppressShortcuts = "true";
  }
}

// A labelled text field for a number. `take` gets what was typed and returns a complaint, or "" if
// it is good; a refused text gives way to the last good value. `signed`: the number may be negative,
// and the decimal keypad of some phones has no minus.
export function numberField({ id, role, label: words = "", signed = false, take }) {
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
export const fieldRow = (fields, ...buttons) => box("dpf-starts",
  Object.values(fields).map(({ label, input }) => box("dpf-field", label, input)), buttons);

// Why a number is no good for a parameter, as Python printed its facts; "" if it is.
export function outside(value, { low, high, lowOpen, highOpen, meaning }) {
  if (!Number.isFinite(value)) return "it is not a number";
  const above = low === null || (lowOpen ? value > low : value >= low);
  const below = high === null || (highOpen ? value < high : value <= high);
  return above && below ? "" : meaning;
}

// A number on a track of 44 px: `marks` are written below it in `words`, `log` spaces factors evenly.
// `take` returns a complaint about what it refuses.
// Of a `whole` number an arrow key takes the next one.
const SLIDER_STEPS = 400;

export function slider({ name, low, high, marks = [], log = true, whole = false, words = brief, take }) {
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

// One of several: `options` are { value, label }.
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

// One of many: `groups` are [title, [{ value, label }]], titles and labels plain text.
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

// A button that plays to the end and pauses: `bounds()` gives the number now and at the end, `to(n)`
// goes there. From 0 to the end takes PLAY_TIME ms; from the end it begins anew. Who wants no motion is
// taken to the end at once.
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
      const [, last] = bounds(); // which a run under way moves
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

// A number in full, or words.
export const writeValue = (node, value) =>
  write(node, typeof value === "string" ? value : shown(value));

// Labelled values: `rows` are { key, label, tone }. `show` takes numbers, or words, by key. A label
// that depends on something is a function of it, and `name` calls all of them.
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
