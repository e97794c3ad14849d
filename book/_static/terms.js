// Terms of the glossary: pointing at one, or moving to it by keyboard, shows its meaning in a box. Without this script
// the browser shows the same text as the link's title.
document.addEventListener("DOMContentLoaded", () => {
  const box = Object.assign(document.createElement("div"), { id: "meaning", className: "meaning", hidden: true });
  box.setAttribute("role", "tooltip");
  const hide = () => {
    box.hidden = true;
    document.querySelectorAll("[aria-describedby='meaning']").forEach((link) => link.removeAttribute("aria-describedby"));
  };
  const show = (link) => {
    hide();
    box.textContent = link.dataset.meaning;
    box.hidden = false;
    link.setAttribute("aria-describedby", "meaning");
    const at = link.getClientRects()[0];
    const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
    const below = at.bottom + 6 + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${below ? at.bottom + 6 : at.top - box.offsetHeight - 6}px`;
  };
  for (const link of document.querySelectorAll("a.to-term[title]")) {
    link.dataset.meaning = link.title;
    link.removeAttribute("title");
    link.addEventListener("mouseenter", () => show(link));
    link.addEventListener("focus", () => show(link));
    link.addEventListener("mouseleave", (event) => {
      if (event.relatedTarget !== box) hide();
    });
    link.addEventListener("blur", hide);
  }
  box.addEventListener("mouseleave", hide);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  window.addEventListener("scroll", hide, { passive: true });
  document.body.append(box);
});
