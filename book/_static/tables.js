// On a telephone the name of a row stays in sight while its table is dragged, and outer levels of an index become lines
// of their own above the rows that they name. Without this script a table scrolls as it is.
document.addEventListener("DOMContentLoaded", () => {
  const narrow = matchMedia("(max-width: 600px)");
  const bare = (text) => /^([-−+]?[.\d]|yes$|no$)/.test(text.trim());
  const heads = (row) => [...row.cells].filter((cell) => cell.tagName === "TH");
  // What the levels before the last are called: the head's row of names, where it has one.
  const names = (table, levels) =>
    [...table.tHead.rows].map((row) => [...row.cells].slice(0, levels).map((cell) => cell.textContent.trim()))
      .findLast((row) => row.some((name) => name !== "")) ?? [];
  // A bare value says of what: "frames 32"; a name says it itself.
  const line = (outer, called, columns) => {
    const row = Object.assign(document.createElement("tr"), { className: "outer-levels" });
    const head = row.appendChild(Object.assign(document.createElement("th"), { colSpan: columns, scope: "rowgroup" }));
    const words = head.appendChild(document.createElement("span"));
    outer.forEach((cell, level) => {
      if (level > 0) words.append(" · ");
      if (called[level] && bare(cell.textContent)) words.append(`${called[level]} `);
      words.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    });
    return row;
  };
  const fold = (table) => {
    const rows = [...table.tBodies[0].rows];
    const levels = Math.max(...rows.map((row) => heads(row).length));
    if (levels > 1) {
      const called = names(table, levels), outer = [];
      const columns = Math.max(...rows.map((row) => row.cells.length)) - levels + 1;
      for (const row of rows) {
        const new_ = heads(row).slice(0, -1);  // an outer level that goes on has no cell in this row
        new_.forEach((cell, k) => { outer[levels - 1 - new_.length + k] = cell; cell.classList.add("folded"); });
        if (new_.length > 0) row.before(line(outer, called, columns));
      }
      for (const row of table.tHead.rows)
        [...row.cells].slice(0, levels - 1).forEach((cell) => cell.classList.add("folded"));
    }
    for (const row of rows) (heads(row).at(-1) ?? row.cells[0]).classList.add("stays");
    for (const row of table.tHead.rows) row.cells[Math.max(levels, 1) - 1]?.classList.add("stays");
  };
  const unfold = (table) => {
    table.querySelectorAll(".outer-levels").forEach((row) => row.remove());
    table.querySelectorAll(".folded, .stays").forEach((cell) => cell.classList.remove("folded", "stays"));
  };
  const tables = [...document.querySelectorAll(".bd-article table.dataframe")].filter((t) => t.tHead && t.tBodies[0]?.rows.length);
  const fit = () => tables.forEach(narrow.matches ? fold : unfold);
  narrow.addEventListener("change", fit);
  if (narrow.matches) fit();
});
