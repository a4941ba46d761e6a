// The base class of the figures.

import { addressOf, readAddress, writeAddress } from "./address.js";
import { button, keepKeys, numberField, numberRow } from "./controls.js";
import { box, element, html, htmlLabel } from "./nodes.js";
import { handOver, pngOf, viewOf } from "./save.js";
import { brief, cut } from "./text.js";
import { atNextFrame, keeper, whenQuiet } from "./timing.js";

// A figure: the state is in the model's traits, and everything drawn is computed from them. A subclass
// has `traits`, `kind` (for its style sheet) and `given`, the traits that a reader cannot change. It
// defines `build()` (the children of its root, with `this.words`), `listen()`, `draw()`,
// `wrong(values)` (why these traits are invalid, or "") and `say()` (the state in words for screen
// readers; "" while a change from the kernel is incomplete).
export class Figure {
  static given = [];

  constructor(model, el) {
    const { kind, traits } = this.constructor;
    this.model = model;
    this.id = `dpf-${Math.random().toString(36).slice(2)}`;
    this.title = model.get("_anywidget_id").split(".").at(-1);
    // Only pages of the book have this box. In a notebook, the figure leaves the address alone.
    this.name = el.closest(".dpofield-widget")?.id;
    this.begin = this.values();
    this.redraw = atNextFrame(() => this.draw());
    this.settle = whenQuiet(() => this.tell(), 400);
    this.sentence = html("p", { class: "dpf-sentence" });
    this.complaint = html("p", { class: "dpf-complaint", role: "alert" });
    this.sentenceFor = keeper();
    this.words = box("dpf-words", this.sentence, this.complaint);
    this.live = html("p", { class: "dpf-unseen", "aria-live": "polite" });
    this.root = box(`dpf dpf-${kind}`, ...this.build(), this.buildTools(), this.live);
    this.root.addEventListener("focusin", ({ target }) => keepKeys(target));
    // Draw the pending change first, so that a key acts on the current state.
    this.root.addEventListener("keydown", () => this.redraw.now(), true);
    this.root.style.setProperty("--tall", `${model.get("_height")}px`);
    this.root.style.setProperty("--tall-narrow", `${model.get("_height_narrow")}px`);
    el.append(this.root);
    if (this.name) this.takeAddress();
    this.draw();
    this.listen();
    for (const trait of traits) model.on(`change:${trait}`, this.redraw);
  }

  remove() {
    for (const trait of this.constructor.traits) this.model.off(`change:${trait}`, this.redraw);
    this.redraw.cancel();
    this.settle.cancel();
  }

  // The traits as an object.
  values() {
    return Object.fromEntries(this.constructor.traits.map((name) => [name, this.model.get(name)]));
  }

  // The traits that a reader can change.
  get moved() {
    const { given } = this.constructor;
    return Object.fromEntries(Object.entries(this.values()).filter(([name]) => !given.includes(name)));
  }

  // Every change by the reader: the traits are set together, and saved to the kernel after a pause.
  change(values, message = "") {
    this.complain(message);
    this.model.set(values);
    this.redraw();
    this.settle();
  }

  reset() { this.change(this.begin); }

  // The sentence below the picture: labels, or { strong: label }.
  put(...parts) {
    this.sentenceFor(JSON.stringify(parts), () => this.sentence.replaceChildren(
      ...parts.flatMap((part) =>
        (part.strong ? html("strong", {}, htmlLabel(part.strong)) : htmlLabel(part)))));
  }

  // Show a complaint in place of the sentence; "" shows the sentence again. Returns the text.
  complain(text) {
    this.complaint.textContent = text;
    this.root.classList.toggle("dpf-refused", Boolean(text));
    return text;
  }

  refuse(text, why, kept) {
    return this.complain(`“${cut(text)}” refused: ${why}. Kept ${brief(kept)}.`);
  }

  tell() {
    this.model.save_changes();
    if (this.name) writeAddress(this.address);
    const words = this.say();
    if (words) this.live.textContent = words;
  }

  // A row for a numeric trait, and fields from labels; both pass new values to `takeNumber`.
  row({ name, label }, more) {
    const take = (value, text) => this.takeNumber(name, value, text);
    return numberRow({ id: this.id, role: name, label, name, take, ...more });
  }

  fieldsFor(labels, more) {
    return Object.fromEntries(Object.entries(labels).map(([role, label]) => {
      const take = (value, text) => this.takeNumber(role, value, text);
      return [role, numberField({ id: this.id, role, label, take, ...more })];
    }));
  }

  takeNumber(name, value, text) { return this.give({ [name]: value }, text, this.model.get(name)); }

  // Apply a change, or refuse it with the reason from `wrong`. Returns the complaint, or "".
  give(values, text, kept) {
    const why = this.wrong({ ...this.values(), ...values });
    if (why) return this.refuse(text, why, kept);
    this.change(values);
    return "";
  }

  // -- the view as an address and as a file --

  get address() { return addressOf(this.name, this.moved, this.begin); }

  takeAddress() {
    const { asked, why } = readAddress(this.name, this.moved);
    const refused = why || this.wrong({ ...this.values(), ...asked });
    if (refused) this.complain(`The link’s view was refused: ${refused}.`);
    else this.model.set(asked);
  }

  buildTools() {
    const link = this.name && button("Copy link", () => this.copyLink(link));
    const save = (kind) => {
      const node = button(`Save ${kind}`, () => this.save(kind, node));
      return node;
    };
    const all = [...(link ? [link] : []), save("SVG"), save("PNG")];
    return element(box("dpf-tools", all), { role: "group", "aria-label": "This view" });
  }

  async copyLink(node) {
    const to = this.address;
    writeAddress(to);
    to.hash = this.name; // opens at the figure, not at the top of its page
    try {
      await navigator.clipboard.writeText(to.href);
      this.told(node, "Copied", "The link to this view is copied.");
    } catch {
      this.told(node, "See address", "The browser would not copy. The page’s address is the link.");
    }
  }

  async save(kind, node) {
    const name = `${this.title.replace(/\B(?=[A-Z])/g, "-").toLowerCase()}.${kind.toLowerCase()}`;
    const view = viewOf(this.root, this.title, this.say());
    try {
      handOver(kind === "PNG" ? await pngOf(view)
        : new Blob([view.text], { type: "image/svg+xml" }), name);
      this.told(node, "Saved", `This view is saved as ${name}.`);
    } catch {
      this.told(node, "Not saved", "The browser could not make this picture.");
    }
  }

  // Show a short message in the button for a moment, and give screen readers the long one.
  told(node, short, long) {
    const words = node.dataset.words ??= node.textContent;
    node.textContent = short;
    setTimeout(() => { node.textContent = words; }, 1500);
    this.live.textContent = long;
  }
}

// The default export of a figure's module, in anywidget's format.
export const anywidget = (Kind) => ({
  render({ model, el }) {
    const figure = new Kind(model, el);
    return () => figure.remove();
  },
});
