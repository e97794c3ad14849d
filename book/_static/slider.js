// A figure to touch: what was computed beforehand at several values of one number, chosen with a slider.
(() => {
  const { node, control, range, choice, frame, each } = window.living;
  const WIDTH = 230, HEIGHT = 130, LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 26;
  const round = (value) => Number(value.toPrecision(3)).toString().replace("-", "−");

  // One small picture below `parent`: values of every series (rows) at the places `at`, null where nothing was run.
  function curves(parent, at, rows) {
    const svg = node(parent, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    const name = node(svg, "title", {}, "");
    const known = rows.flat().filter((value) => value !== null), top = Math.max(...known), low = Math.min(0, ...known);
    const x = (place) => LEFT + ((WIDTH - LEFT - RIGHT) * (place - at[0])) / (at.at(-1) - at[0]);
    const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (top - value)) / (top - low);
    for (const value of [low, top]) {
      node(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" });
      node(svg, "text", { x: LEFT - 6, y: y(value) + 5, "text-anchor": "end" }, round(value));
    }
    for (const place of [at[0], at.at(-1)])
      node(svg, "text", { x: x(place), y: HEIGHT - 6, "text-anchor": place === at[0] ? "start" : "end" }, round(place));
    const lines = rows.map((row) => {
      let d = "";
      row.forEach((value, i) => {
        if (value !== null) d += `${d ? "L" : "M"}${x(at[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      });
      return node(svg, "path", { d });
    });
    const mark = node(svg, "line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "level" });
    const now = node(svg, "circle", { r: 6, class: "now" });
    return (series, place, text) => {
      lines.forEach((line, i) => line.setAttribute("class", i === series ? "changed" : "plain"));
      svg.append(lines[series], mark, now);
      const value = rows[series][place];
      for (const end of ["x1", "x2"]) mark.setAttribute(end, x(at[place]));
      now.setAttribute("cx", x(at[place]));
      now.setAttribute("cy", value === null ? 0 : y(value));
      now.setAttribute("visibility", value === null ? "hidden" : "visible");
      name.textContent = text;
    };
  }

  const RAISED = { "+": "", "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  function powerOfTen(value) {
    const [front, exponent] = value.toExponential(0).split("e");
    return exponent === "+0" ? front : `${front === "1" ? "" : `${front}·`}10${[...exponent].map((sign) => RAISED[sign]).join("")}`;
  }

  // A picture that is another one at every place: values (positive) against their number, both on logarithmic axes.
  function profile(parent, numbers, rows) {
    const svg = node(parent, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    const name = node(svg, "title", {}, "");
    const [least, most] = [Math.log10(Math.min(...rows.flat())), Math.log10(Math.max(...rows.flat()))];
    const x = (number) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(number)) / Math.log(numbers.at(-1));
    const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (most - Math.log10(value))) / (most - least);
    for (const value of [10 ** least, 10 ** most]) {
      node(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" });
      node(svg, "text", { x: LEFT - 6, y: y(value) + 5, "text-anchor": "end" }, powerOfTen(value));
    }
    for (const number of [1, numbers.at(-1)])
      node(svg, "text", { x: x(number), y: HEIGHT - 6, "text-anchor": number === 1 ? "start" : "end" }, number);
    const line = node(svg, "path", { class: "changed" });
    return (place, text) => {
      line.setAttribute("d", rows[place].map((value, i) => `${i ? "L" : "M"}${x(numbers[i]).toFixed(1)} ${y(value).toFixed(1)}`).join(""));
      name.textContent = text;
    };
  }

  function begin(root, { name, at, series, panels, profile: shape }) {
    root.querySelector("noscript")?.remove();
    const place = range({ min: 0, max: at.length - 1, step: 1, value: Math.floor(at.length / 2) });
    const which = choice(Object.fromEntries(series.map((text, i) => [i, text])));
    const { form, says } = frame(root);
    const updates = [control(form, name, place, () => round(at[place.valueAsNumber]))];
    if (series.length > 1) updates.push(control(form, "rule", which, () => ""));
    const all = Object.assign(document.createElement("div"), { className: "panels" });
    root.append(all);
    function panel(title) {
      const box = Object.assign(document.createElement("div"), { className: "panel" });
      const value = Object.assign(document.createElement("strong"), { className: "value" });
      box.append(Object.assign(document.createElement("span"), { textContent: title }), value);
      all.append(box);
      return { box, value };
    }
    const drawn = panels.map(({ title, unit, values }) => {
      const { box, value } = panel(title), draw = curves(box, at, values);
      return (rule, step) => {
        const found = values[rule][step];
        value.textContent = found === null ? "not run" : `${round(found)}${unit}`;
        draw(rule, step, `${title} against ${name}: ${value.textContent} at ${round(at[step])}`);
        return found;
      };
    });
    const changing = shape && profile(panel(shape.title).box, shape.numbers, shape.values);
    function draw() {
      const step = place.valueAsNumber, rule = which.selectedIndex;
      updates.forEach((update) => update());
      root.dataset.values = JSON.stringify(drawn.map((each) => each(rule, step)));
      if (changing) changing(step, `${shape.title} at ${name} = ${round(at[step])}`);
      const read = panels.map(({ title, unit, values }) =>
        values[rule][step] === null ? [] : `${title} ${round(values[rule][step])}${unit}`).flat();
      says.textContent = `${series[rule] ? `${series[rule]}, ` : ""}${name} = ${round(at[step])}: ${read.join("; ")}.`;
    }
    form.addEventListener("input", draw);
    draw();
  }

  each("slider", begin);
})();
