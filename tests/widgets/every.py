"""Measurements that every figure must pass: it fills its height, has large targets, is at rest."""

from __future__ import annotations

ROOM = """() => {
  const box = document.querySelector(".dpofield-widget");
  const root = document.querySelector(".dpf");
  const inside = root.getBoundingClientRect();
  // boxes of what is drawn; the hidden live region and wide touch targets are no ink
  const ink = "label, input, select, button, dt, dd, p, svg text, .dpf-legend > span";
  const parts = [...root.querySelectorAll(ink)]
    .filter((e) => !e.matches(".dpf-unseen, [type=radio], [hidden]"));
  const out = parts.filter((e) => {
    const r = e.getBoundingClientRect();
    return r.width > 0 && (r.bottom > inside.bottom + 0.5 || r.right > inside.right + 0.5 ||
      r.left < inside.left - 0.5);
  });
  const blocks = [...root.children].filter((e) => !e.matches(".dpf-unseen"))
    .map((e) => [e.className, e.clientHeight, e.scrollHeight])
    .filter(([, has, needs]) => needs > has + 1);
  const lowest = Math.max(...parts.filter((e) => !e.closest(".dpf-tools"))
    .map((e) => e.getBoundingClientRect().bottom));
  const tools = root.querySelector(".dpf-tools").getBoundingClientRect().top;
  return {
    box: box.offsetHeight, root: root.offsetHeight, out: out.map((e) => e.outerHTML),
    wide: parseInt(box.style.getPropertyValue("--wide")),
    narrow: parseInt(box.style.getPropertyValue("--narrow")),
    blocks, spare: tools - lowest, page: document.documentElement.scrollWidth,
  };
}"""


def room(shown, width):
    """Assert that the figure fills its reserved height and that nothing in it is cut or scrolls
    sideways; return the unused pixels between it and the buttons below."""
    shown.frame()
    found = shown.page.evaluate(ROOM)
    reserved = found["narrow"] if width < 600 else found["wide"]
    assert found["box"] == found["root"] == reserved
    assert found["out"] == [], found["out"]
    assert found["blocks"] == [], found["blocks"]
    assert found["page"] == width
    assert found["spare"] >= 0
    return found["spare"]


def targets(shown):
    """Assert that all touch targets have at least 44 px; return them."""
    sizes = shown.root.locator("input, select, button, .dpf-target").evaluate_all(
        "(all) => all.map((e) => { const r = e.getBoundingClientRect();"
        " return [e.outerHTML, r.width, r.height]; }).filter(([, width]) => width > 0)"
    )
    assert all(width >= 44 and height >= 43.9 for _, width, height in sizes), sizes
    return sizes


def moving(shown):
    """The number of running animations, and every element with a transition."""
    return shown.page.evaluate(
        """() => [document.getAnimations().length,
          ...[...document.querySelectorAll(".dpf, .dpf *")]
            .filter((e) => getComputedStyle(e).transitionDuration !== "0s")
            .map((e) => e.outerHTML)]"""
    )
