// Boxes that scroll sideways fade out where they go on, and can be moved by keyboard. Without this script they only scroll.
document.addEventListener("DOMContentLoaded", () => {
  const BOXES = ".drawn, .cell_output > .output, .pst-scrollable-table-container, div.math, span.math, div.highlight pre";
  const watched = new Set();
  const mark = (box) => {
    const hidden = box.scrollWidth - box.clientWidth;
    const scrolls = hidden > 2;
    if (scrolls && !box.hasAttribute("tabindex")) box.tabIndex = 0;
    box.classList.toggle("scrolls", scrolls);
    box.classList.toggle("goes-on-left", scrolls && box.scrollLeft > 2);
    box.classList.toggle("goes-on-right", scrolls && hidden - box.scrollLeft > 2);
  };
  // A formula scrolls beside its number, in a box that is there when it is set; one with a tag of its own in the
  // box around it.
  const changed = (found) => {
    for (const box of [found, found.querySelector(":scope > mjx-container")]) {
      if (box === null) continue;
      if (!watched.has(box)) box.addEventListener("scroll", () => mark(box), { passive: true });
      watched.add(box);
      mark(box);
    }
  };
  // Letters come later than boxes: what overflowed in other letters need not in its own.
  const again = () => watched.forEach(mark);
  document.fonts.ready.then(again);
  document.fonts.addEventListener("loadingdone", again);
  window.MathJax?.startup?.promise?.then(() => requestAnimationFrame(() => requestAnimationFrame(again)));
  const sizes = new ResizeObserver((all) => new Set(all.map((one) => one.target.closest(BOXES))).forEach(changed));
  for (const box of document.querySelectorAll(`.bd-article :is(${BOXES})`)) {
    sizes.observe(box);
    if (box.tagName !== "PRE") for (const inside of box.children) sizes.observe(inside);
  }
});
