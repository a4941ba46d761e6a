// Nodes of HTML and SVG, and labels in them.

const GREEK = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", eta: "η", theta: "θ", lambda: "λ",
  mu: "μ", pi: "π", tau: "τ",
};

export function element(node, attributes, children = []) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}
export const html = (tag, attributes = {}, ...children) =>
  element(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
export const box = (name, ...children) => html("div", { class: name }, ...children);

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

export const htmlLabel = (label) =>
  pieces(label).map(({ text, italic, sub }) =>
    italic ? html("i", {}, text) : sub ? html("sub", {}, text) : text);

export function svgLabel(label) {
  let lowered = false;
  return pieces(label).map(({ text, italic, sub }) => {
    const dy = sub ? 4 : lowered ? -4 : 0;
    lowered = Boolean(sub);
    return svg("tspan", { dy, class: italic ? "dpf-it" : sub ? "dpf-sub" : "" }, text);
  });
}

export const spoken = (label) =>
  pieces(label).map(({ text, sub }) => (sub ? ` ${text}` : text)).join("");

// An unchanged text causes no layout.
export const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };
