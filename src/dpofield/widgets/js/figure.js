// Parts every figure is made of. Python joins this text in front of a figure's own module.

const GREEK = { pi: "π", beta: "β" };

function element(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}
const html = (tag, attributes = {}, ...children) =>
  element(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// "ratio $x_1$" -> pieces { text, italic, sub }: the one notation for labels in HTML and SVG.
function pieces(label) {
  return label.split("$").flatMap((part, i) => {
    if (i % 2 === 0) return part ? [{ text: part }] : [];
    return [...part.matchAll(/(\p{L}+)(?:_(\w))?|[^\p{L}]+/gu)].flatMap(([all, name, sub]) => {
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
const brief = (value, digits = 4) =>
  String(Number(value.toPrecision(digits))).replaceAll("-", "−");
const cut = (text) => (text.length > 12 ? `${text.slice(0, 11)}…` : text);

// What a person types: a comma or a typographic minus is no error. NaN when it is no number.
function typed(text) {
  const tidy = text.trim().replace(",", ".").replaceAll("−", "-");
  return tidy === "" ? NaN : Number(tidy);
}

function ticks(low, high, about = 5) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

// A square plot area: data [low, high]^2 to SVG units, y upwards.
function square({ left, top, side }, [low, high]) {
  const unit = side / (high - low);
  return {
    left, top, side, low, high, unit,
    x: (a) => left + (a - low) * unit,
    y: (b) => top + side - (b - low) * unit,
    data: (x, y) => [low + (x - left) / unit, low + (top + side - y) / unit],
    holds: (a, b) => a >= low && a <= high && b >= low && b <= high,
  };
}

const short = (number) => number.toFixed(1);

// A path through (x, y) pairs in SVG units.
const polyline = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${short(x)} ${short(y)}`).join("");

// A straight arrow whose head is two strokes: cheap enough for hundreds in one path.
function arrow(x, y, dx, dy, head) {
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [(dx / length) * head, (dy / length) * head];
  const [tx, ty] = [x + dx, y + dy];
  const left = `${short(tx - ux - uy * 0.6)} ${short(ty - uy + ux * 0.6)}`;
  const right = `${short(tx - ux + uy * 0.6)} ${short(ty - uy - ux * 0.6)}`;
  const tip = `${short(tx)} ${short(ty)}`;
  return `M${short(x)} ${short(y)}L${tip}M${left}L${tip}L${right}`;
}

// Many calls, one run: at the next frame, and once things have been quiet for a while.
function atNextFrame(run) {
  let asked = 0;
  const ask = () => { asked ||= requestAnimationFrame(() => { asked = 0; run(); }); };
  ask.cancel = () => cancelAnimationFrame(asked);
  return ask;
}
function whenQuiet(run, wait) {
  let timer = 0;
  const ask = () => { clearTimeout(timer); timer = setTimeout(run, wait); };
  ask.cancel = () => clearTimeout(timer);
  return ask;
}

// A labelled text field for a number. `take` gets what was typed and returns a complaint, or "" if
// it is good; a refused text gives way to the last good value.
function numberField({ id, role, take }) {
  const input = html("input", {
    id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false",
    class: "dpf-number", "data-field": role,
  });
  const label = html("label", { for: id, class: "dpf-label" });
  let last = "";
  let typing = false; // a redraw must not take the text from under the reader's fingers
  const show = (value) => {
    last = brief(value);
    if (!typing) input.value = last;
  };
  input.addEventListener("input", () => { typing = true; });
  input.addEventListener("blur", () => { typing = false; });
  input.addEventListener("change", () => {
    typing = false;
    if (take(typed(input.value), input.value)) input.value = last;
  });
  return { input, label, show };
}

// A point that is moved in a plane.
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
