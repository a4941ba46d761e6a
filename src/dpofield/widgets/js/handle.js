// A point in a plane that the reader can move.

import { element, svg } from "./nodes.js";
import { short } from "./text.js";

// The dot, which can be moved by mouse, touch and keys.
export const handleNode = () =>
  svg("g", {
    class: "dpf-handle", tabindex: 0, role: "slider", "aria-roledescription": "point in the plane",
  }, svg("circle", { r: 28, class: "dpf-target" }), svg("circle", { r: 14, class: "dpf-ring" }),
  svg("circle", { r: 8, class: "dpf-dot" }));

// Put the dot at (x, y) of the plot; `name`, `value` and `text` are for screen readers.
export function placeHandle(handle, [x, y], { low, high }, name, value, text) {
  const attributes = {
    transform: `translate(${short(x)} ${short(y)})`, "aria-label": name, "aria-valuenow": value,
    "aria-valuemin": low, "aria-valuemax": high, "aria-valuetext": text,
  };
  element(handle, attributes);
}

// The position of a pointer in the units of a plot.
export function placeIn(plot, { clientX, clientY }) {
  const toPlot = plot.getScreenCTM().inverse();
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(toPlot);
  return [x, y];
}

// Move a point by pointer. Mouse: press anywhere in the plot and drag. Touch: drag the handle, or tap
// a place; a swipe outside the handle scrolls the page. Without `anywhere`, only the handle itself can
// be dragged (for plots with several handles).
export function listenToPointer(plot, handle, frame, moveTo, { anywhere = true } = {}) {
  let offset = null;
  const place = (event) => placeIn(plot, event);
  const go = (event) => {
    const [x, y] = place(event);
    moveTo(...frame().data(x + offset[0], y + offset[1]));
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const onHandle = handle.contains(event.target);
    const byPlace = anywhere && event.pointerType !== "touch" && frame().covers(...place(event));
    if (!onHandle && !byPlace) return;
    // The target is larger than the dot, so keep the distance between pointer and dot.
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
    if (!tapped || !frame().covers(...place(event))) return;
    moveTo(...frame().data(...place(event)));
  });
  return () => offset !== null;
}

export function listenToKeys(handle, step, home) {
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
