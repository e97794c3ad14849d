// What the figures to touch share: parts of a picture, controls with their readings.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // A new element of an SVG below `parent`.
  function node(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // A labelled input at the end of `form`; the function returned writes its reading anew.
  function control(form, label, input, value) {
    const box = document.createElement("label");
    const shown = document.createElement("output");
    box.append(label, input, shown);
    form.append(box);
    return () => (shown.textContent = value());
  }

  const input = (type, attributes) => Object.assign(document.createElement("input"), { type, ...attributes });
  const range = (attributes) => input("range", attributes);
  const tick = () => input("checkbox", {});

  function choice(options) {
    const select = document.createElement("select");
    select.append(...Object.entries(options).map(([value, text]) => new Option(text, value)));
    return select;
  }

  // A form below `root`, and under it the sentence that says what the figure shows.
  function frame(root) {
    const form = document.createElement("form");
    form.addEventListener("submit", (event) => event.preventDefault());
    const says = Object.assign(document.createElement("p"), { className: "says" });
    says.setAttribute("aria-live", "polite");
    root.append(form, says);
    return { form, says };
  }

  // Begin every figure of one kind once the page is read; what stands in for it without scripts goes.
  function each(kind, begin) {
    document.addEventListener("DOMContentLoaded", () =>
      document.querySelectorAll(`[data-${kind}]`).forEach((root) => begin(root, JSON.parse(root.dataset[kind]))));
  }

  // The library's viewer in a frame takes the page's theme, now and whenever it changes.
  document.addEventListener("DOMContentLoaded", () => {
    const page = document.documentElement;
    for (const viewer of document.querySelectorAll("iframe.viewer")) {
      const follow = () => (viewer.contentDocument.documentElement.dataset.theme = page.dataset.theme ?? "light");
      viewer.addEventListener("load", follow);
      new MutationObserver(follow).observe(page, { attributeFilter: ["data-theme"] });
      follow();
    }
  });

  window.living = { node, control, range, tick, choice, frame, each };
})();
