// Saves the figure as one stand-alone SVG, or as a PNG of it. SVG nodes are copied with their computed
// style, and HTML (numbers, words, bars) is drawn as SVG in the same place. The file needs no style
// sheet, no font and no script.

import { element, html, svg } from "./nodes.js";
import { short } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap",
  "stroke-linejoin", "opacity", "paint-order", "clip-path", "font-family", "font-size",
  "font-style", "font-weight", "text-anchor", "stop-color", "stop-opacity",
];
const PIXELS = 2; // of the PNG per CSS pixel
const MARGIN_AROUND = 12;

// A colour as `rgb` or `rgba`, which every program can read, unlike `color-mix`. Null if transparent.
const paint = (() => {
  const known = new Map();
  let pen = null;
  return (colour) => {
    if (!known.has(colour)) {
      pen ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
        .getContext("2d", { willReadFrequently: true });
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, a === 0 ? null : a === 255 ? `rgb(${r},${g},${b})`
        : `rgba(${r},${g},${b},${(a / 255).toFixed(3)})`);
    }
    return known.get(colour);
  };
})();

const unseen = (node, style) =>
  style.display === "none" || style.visibility === "hidden" ||
  node.matches(".dpf-tools, .dpf-unseen, .dpf-target, .dpf-ring, .dpf-button, [type=radio]");

// A copy of an SVG node with its style as attributes.
function styled(node) {
  const style = getComputedStyle(node);
  if (unseen(node, style)) return null;
  const copy = node.cloneNode(false);
  for (const name of [...copy.getAttributeNames()]) {
    if (/^(class|style|role|tabindex|aria-)/.test(name)) copy.removeAttribute(name);
  }
  for (const name of DRAWN) {
    let value = style.getPropertyValue(name);
    if (["fill", "stroke", "stop-color"].includes(name) && !/^(none$|url)/.test(value)) {
      value = paint(value) ?? "none";
    }
    if (value && value !== "normal" && value !== "auto") copy.setAttribute(name, value.replaceAll('"', "'"));
  }
  for (const child of node.childNodes) {
    const part = child.nodeType === Node.ELEMENT_NODE ? styled(child) : child.cloneNode();
    if (part) copy.append(part);
  }
  return copy;
}

// The lines of a text node, each with its box on the screen.
function textLines(text) {
  const range = document.createRange();
  const lines = [];
  const all = text.data;
  for (let i = 0; i < all.length; i += 1) {
    range.setStart(text, i);
    range.setEnd(text, i + 1);
    const at = range.getClientRects()[0];
    if (!at || at.width === 0) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.top - at.top) < 3) {
      last.words += all[i];
      last.right = at.right;
    } else {
      lines.push({ words: all[i], left: at.left, right: at.right, top: at.top, bottom: at.bottom });
    }
  }
  return lines;
}

function wordsAt({ words, left, right, top, bottom }, style, [x, y]) {
  const size = parseFloat(style.fontSize);
  const node = svg("text", {
    x: short(left - x), y: short((top + bottom) / 2 - y + 0.34 * size), fill: paint(style.color),
    "font-family": style.fontFamily.replaceAll('"', "'"), "font-size": style.fontSize,
    "font-style": style.fontStyle, "font-weight": style.fontWeight,
    // a substitute font must have the same width
    textLength: short(right - left), lengthAdjust: "spacingAndGlyphs", "xml:space": "preserve",
  }, words);
  return node;
}

// A box with its background and its border, if any.
function boxAt(node, style, [x, y]) {
  const at = node.getBoundingClientRect();
  const ground = paint(style.backgroundColor);
  const edges = ["Top", "Right", "Bottom", "Left"].map((side) =>
    (parseFloat(style[`border${side}Width`]) > 0 ? paint(style[`border${side}Color`]) : null));
  if (at.width === 0 || at.height === 0) return [];
  const place = { x: short(at.left - x), y: short(at.top - y) };
  const [, shade] = /^(.+?) 0px 0px 0px 1px/.exec(style.boxShadow) ?? []; // a border made by a shadow
  const full = edges.every(Boolean) || shade;
  const drawn = [];
  if (ground || full) {
    drawn.push(svg("rect", {
      ...place, width: short(at.width), height: short(at.height), fill: ground ?? "none",
      rx: parseFloat(style.borderTopLeftRadius) || 0, ...(full ? { stroke: edges[0] ?? paint(shade) } : {}),
    }));
  }
  if (!full && edges[2]) {
    drawn.push(svg("path", {
      d: `M${place.x} ${short(at.bottom - y - 0.5)}h${short(at.width)}`, stroke: edges[2],
    }));
  }
  return drawn;
}

// An HTML node and its descendants as SVG, relative to a corner on the screen.
function drawnFrom(node, corner) {
  const style = getComputedStyle(node);
  if (unseen(node, style)) return [];
  const at = node.getBoundingClientRect();
  const place = { x: short(at.left - corner[0]), y: short(at.top - corner[1]) };
  const room = { ...place, width: short(at.width), height: short(at.height) };
  if (node instanceof SVGSVGElement) return [element(styled(node), { ...room, overflow: "visible" }, [])];
  if (node instanceof HTMLCanvasElement) return [svg("image", { ...room, href: node.toDataURL() })];
  if (node.matches("[type=range]")) return [slid(node, at, corner)];
  const found = boxAt(node, style, corner);
  if (node.matches("input, select")) {
    const words = node.matches("select") ? node.selectedOptions[0]?.text ?? "" : node.value;
    const ends = style.textAlign === "right";
    const left = ends ? at.right - parseFloat(style.paddingRight) - 1
      : at.left + parseFloat(style.paddingLeft) + 1;
    const text = wordsAt({ words, left, right: left, top: at.top, bottom: at.bottom }, style, corner);
    if (ends) text.setAttribute("text-anchor", "end");
    text.removeAttribute("textLength");
    found.push(text);
    return found;
  }
  for (const child of node.childNodes) {
    if (child.nodeType === Node.ELEMENT_NODE) found.push(...drawnFrom(child, corner));
    else if (child.nodeType === Node.TEXT_NODE) {
      found.push(...textLines(child).map((line) => wordsAt(line, style, corner)));
    }
  }
  return found;
}

// A slider as its track and its thumb.
function slid(input, at, [x, y]) {
  const style = getComputedStyle(input);
  const tone = (name) => paint(style.getPropertyValue(`--${name}`).trim());
  const way = (input.value - input.min) / (input.max - input.min);
  const [left, middle] = [at.left - x + 11, at.top - y + at.height / 2];
  return svg("g", {},
    svg("rect", {
      x: short(left - 11), y: short(middle - 2), width: short(at.width), height: 4, rx: 2,
      fill: tone("grid"),
    }),
    svg("circle", {
      cx: short(left + way * (at.width - 22)), cy: short(middle), r: 8, fill: tone("text"),
    }));
}

// The whole view as an SVG: { text, width, height }.
export function viewOf(root, title, words) {
  const at = root.getBoundingClientRect();
  const tools = root.querySelector(".dpf-tools").getBoundingClientRect();
  const [width, height] = [at.width, tools.top - at.top].map((c) => Math.ceil(c + 2 * MARGIN_AROUND));
  const corner = [at.left - MARGIN_AROUND, at.top - MARGIN_AROUND];
  const surface = paint(getComputedStyle(root).getPropertyValue("--surface").trim());
  const whole = svg("svg", {
    xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
  }, svg("title", {}, title), svg("desc", {}, words),
  svg("rect", { width: "100%", height: "100%", fill: surface }), drawnFrom(root, corner));
  return { text: new XMLSerializer().serializeToString(whole), width, height };
}

export async function pngOf({ text, width, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), {
    width: PIXELS * width, height: PIXELS * height,
  });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

export function handOver(blob, name) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
