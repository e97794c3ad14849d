// The ledger: choose claims by verdict, chapter and kind, or by a word. Without this script all are listed.
document.addEventListener("DOMContentLoaded", () => {
  const summary = document.querySelector(".verdict-summary");
  const table = document.querySelector("table.ledger");
  if (!summary || !table) return;
  const rows = [...table.querySelectorAll("tbody tr")];
  const part = (row, name) => [...row.classList].find((c) => c.startsWith(`${name}-`))?.slice(name.length + 1);
  const verdict = (row) => row.querySelector(".verdict")?.textContent ?? "";
  const chapter = (row) => row.querySelector("td:first-child a.reference:not([href^='#ledger-'])")?.textContent ?? "";
  const KINDS = { eq: "equations", table: "tables", fig: "figures", claim: "claims of the text" };

  const form = document.createElement("form");
  form.className = "ledger-filter";
  form.setAttribute("role", "search");
  form.addEventListener("submit", (event) => event.preventDefault());
  const choice = (label, values) => {
    const box = document.createElement("label");
    const select = document.createElement("select");
    select.append(new Option("all", ""), ...values.map(([value, text]) => new Option(text, value)));
    box.append(`${label} `, select);
    form.append(box);
    return select;
  };
  const distinct = (found) => [...new Set(found)].filter(Boolean).map((text) => [text, text]);
  const pick = {
    verdict: choice("Verdict", distinct(rows.map(verdict))),
    chapter: choice("Chapter", distinct(rows.map(chapter))),
    kind: choice("Kind", Object.entries(KINDS)),
  };
  const box = document.createElement("label");
  const word = Object.assign(document.createElement("input"), { type: "search", size: 14 });
  box.append("Word ", word);
  const count = Object.assign(document.createElement("output"), { className: "ledger-count" });
  form.append(box, count);
  summary.after(form);

  const apply = () => {
    const wanted = word.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const keep =
        (!pick.verdict.value || verdict(row) === pick.verdict.value) &&
        (!pick.chapter.value || chapter(row) === pick.chapter.value) &&
        (!pick.kind.value || part(row, "kind") === pick.kind.value) &&
        (!wanted || row.textContent.toLowerCase().includes(wanted));
      row.hidden = !keep;
      shown += keep;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  form.addEventListener("input", apply);
  for (const badge of summary.querySelectorAll(".verdict")) {
    const name = badge.textContent.replace(/^\d+\s*/, "");
    const button = Object.assign(document.createElement("button"), {
      type: "button", className: badge.className, textContent: badge.textContent,
    });
    button.addEventListener("click", () => {
      pick.verdict.value = pick.verdict.value === name ? "" : name;
      apply();
    });
    badge.replaceWith(button);
  }
  apply();
});
