// What every figure is: nodes, labels, numbers as text, and the class `Figure`. Python joins this
// text and the other shared parts in front of a figure's own files.

const GREEK = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", eta: "η", theta: "θ", lambda: "λ",
  mu: "μ", pi: "π", tau: "τ",
};

function element(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}
const html = (tag, attributes = {}, ...children) =>
  element(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const box = (name, ...children) => html("div", { class: name }, ...children);

// "ratio $x_1$" -> pieces { text, italic, sub }: the one notation for labels in HTML and SVG.
function pieces(label) {
  return label.split("$").flatMap((part, i) => {
    if (i % 2 === 0) return part ? [{ text: part }] : [];
    return [...part.matchAll(/(\p{L}+)(?:_(\w+))?|[^\p{L}]+/gu)].flatMap(([all, name, sub]) => {
      if (!name) return [{ text: all }];
      const letter = { text: GREEK[name] ?? name, italic: true };
      return sub ? [letter, { text: sub, sub: true }] : [letter];
    });
  });
}

const htmlLabel = (label) =>
  pieces(label).map(({ text, italic, sub }) =>
    italic ? html("i", {}, text) : sub ? html("sub", {}, text) : text);

function svgLabel(label) {
  let lowered = false;
  return pieces(label).map(({ text, italic, sub }) => {
    const dy = sub ? 4 : lowered ? -4 : 0;
    lowered = Boolean(sub);
    return svg("tspan", { dy, class: italic ? "dpf-it" : sub ? "dpf-sub" : "" }, text);
  });
}

const spoken = (label) =>
  pieces(label).map(({ text, sub }) => (sub ? ` ${text}` : text)).join("");

// Seven significant digits, so that nothing moves while a value changes.
function shown(value) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const plainly = size === 0 || (size >= 1e-3 && size < 1e6);
  return (plainly ? value.toPrecision(7) : value.toExponential(6)).replaceAll("-", "−");
}

// Short, for a field that can be typed into and for reading aloud.
function brief(value, digits = 4) {
  const number = Number(value.toPrecision(digits));
  const text = Math.abs(number) < 1e6 ? String(number) : number.toExponential().replace("e+", "e");
  return text.replaceAll("-", "−");
}
const cut = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);

// What a person types: a comma or a typographic minus is no error. NaN when it is no number.
function typed(text) {
  const tidy = text.trim().replace(",", ".").replaceAll("−", "-");
  return tidy === "" ? NaN : Number(tidy);
}

// A text that stays the same costs no layout.
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };

// Keeps what was made last, and makes it again for another key only: for what no hand moves now.
function keeper() {
  let last = null;
  let made;
  return (key, make) => {
    if (key !== last) [last, made] = [key, make()];
    return made;
  };
}

// Many calls, one run: at the next frame (`now` does not wait), and once things have been quiet.
function atNextFrame(run) {
  let asked = 0;
  const go = () => { asked = 0; run(); };
  const ask = () => { asked ||= requestAnimationFrame(go); };
  ask.cancel = () => { cancelAnimationFrame(asked); asked = 0; };
  ask.now = () => { if (asked) { ask.cancel(); go(); } };
  return ask;
}
function whenQuiet(run, wait) {
  let timer = 0;
  const ask = () => { clearTimeout(timer); timer = setTimeout(run, wait); };
  ask.cancel = () => clearTimeout(timer);
  return ask;
}

// JupyterLab takes arrows and letters from what is focused in a notebook, unless it says so itself.
function keepKeys(node) {
  if (node.matches("[type=range], [type=radio], select, [role=slider]")) {
    node.dataset.lmSuppressShortcuts = "true";
  }
}

// A figure: state lives in the model's traits, and everything drawn is worked out from them. A
// subclass names its `traits` and `kind` (for its style sheet), `given` if some traits are the page's
// and no hand's, and gives `build()` (the children of its root, `this.words` among them), `listen()`,
// `draw()`, `wrong(values)` ("" or why no figure can have these traits) and `say()` (the state in
// words for who cannot see it; "" while half of a kernel's change is still on its way).
class Figure {
  static given = [];

  constructor(model, el) {
    const { kind, traits } = this.constructor;
    this.model = model;
    this.id = `dpf-${Math.random().toString(36).slice(2)}`;
    this.title = model.get("_anywidget_id").split(".").at(-1);
    // Only a page of the book boxes its figures; a notebook's address is not ours.
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
    // A key that comes before the last one is drawn must not act on what was drawn before it.
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

  // Those that a reader moves.
  get moved() {
    const { given } = this.constructor;
    return Object.fromEntries(Object.entries(this.values()).filter(([name]) => !given.includes(name)));
  }

  // Every change of ours goes through here: traits are set together, a kernel is told when quiet.
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

  // Say what is wrong in place of the sentence; "" is all well. Returns the text.
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

  // A row for a parameter, as Python printed its facts, that hands what is given to `takeNumber`.
  row(parameter, more) {
    const { name, label } = parameter;
    return numberRow({
      id: this.id, role: name, label, name, ...more,
      take: (value, text) => this.takeNumber(parameter, value, text),
    });
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
    return element(box("dpf-tools", all), { role: "group", "aria-label": "This view" }, []);
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

  // For a moment in the button, and for who does not see it.
  told(node, short, long) {
    const words = node.dataset.words ??= node.textContent;
    node.textContent = short;
    setTimeout(() => { node.textContent = words; }, 1500);
    this.live.textContent = long;
  }
}

// What a module exports for anywidget.
const anywidget = (Kind) => ({
  render({ model, el }) {
    const figure = new Kind(model, el);
    return () => figure.remove();
  },
});
