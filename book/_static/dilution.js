// A figure to touch: how much attention frame 0 keeps. The law is that of book/study/long_sequences/law.py.
(() => {
  const GROWS = [false, false, true, true]; // frame 0, own frame, matching patches, the rest

  // Mass of each group at `frames` frames from rows of ln sum e^logit, measured at `reference` frames; mean of rows.
  function diluted(rows, frames, reference, kept = 1, first = 0) {
    const growth = Math.log(((frames - 2) / (reference - 2)) * kept);
    const mean = [0, 0, 0, 0];
    for (const row of rows) {
      const logits = row.map((value, g) => value + (GROWS[g] ? growth : 0) + (g === 0 ? first : 0));
      const top = Math.max(...logits);
      const weights = logits.map((value) => Math.exp(value - top));
      const total = weights.reduce((a, b) => a + b, 0);
      weights.forEach((weight, g) => (mean[g] += weight / total / rows.length));
    }
    return mean;
  }

  const keepingBias = (frames, trained) => Math.log((frames - 1) / (trained - 1));

  const { node, control, range, tick, frame, each } = window.living;
  const WIDTH = 620, HEIGHT = 312, LEFT = 74, RIGHT = 26, TOP = 28, BOTTOM = 44, MOST = 1024, LEAST = 0.002;
  const x = (s) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log2(s / 4)) / Math.log2(MOST / 4);
  const y = (p) => TOP + ((HEIGHT - TOP - BOTTOM) * Math.log(p)) / Math.log(LEAST);
  const percent = (p) => `${Number((100 * p).toPrecision(2))} %`;

  function axes(svg) {
    for (let s = 4; s <= MOST; s *= 4) {
      node(svg, "line", { x1: x(s), x2: x(s), y1: TOP, y2: HEIGHT - BOTTOM, class: "grid" });
      node(svg, "text", { x: x(s), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, s);
    }
    for (const p of [1, 0.1, 0.01]) {
      node(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(p), y2: y(p), class: "grid" });
      node(svg, "text", { x: LEFT - 8, y: y(p) + 5, "text-anchor": "end" }, percent(p));
    }
    node(svg, "text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "number of frames");
    node(svg, "text", { x: 4, y: 15 }, "attention on frame 0");
  }

  function begin(root, { rows, reference, trained, measured }) {
    const svg = node(root, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    const title = node(svg, "title", {}, "");
    axes(svg);
    const level = node(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, class: "level" });
    const plain = node(svg, "path", { class: "plain" });
    const changed = node(svg, "path", { class: "changed" });
    for (const [frames, share] of measured) node(svg, "circle", { cx: x(frames), cy: y(share), r: 5, class: "measured" });
    const dot = node(svg, "circle", { r: 7, class: "now" });

    const { form, says } = frame(root);
    const length = range({ min: 2, max: 10, step: 0.25, value: 7 });
    const strength = range({ min: 0, max: 0.9, step: 0.05, value: 0 });
    const sizeBias = tick(), anchor = tick();
    const frames = () => Math.round(2 ** length.valueAsNumber);
    const kept = () => (sizeBias.checked ? 1 : 1 - strength.valueAsNumber);
    const updates = [
      control(form, "Frames", length, () => frames()),
      control(form, "Tokens merged away", strength, () => `${Math.round(100 * strength.valueAsNumber)} %`),
      control(form, "with size bias", sizeBias, () => ""),
      control(form, "bias on frame 0", anchor, () => (anchor.checked ? `${keepingBias(frames(), trained).toFixed(2)} nats` : "")),
    ];
    const share = (s, ...change) => diluted(rows, s, reference, ...change)[0];
    const steps = Array.from({ length: 65 }, (_, i) => 4 * 2 ** (i / 8));
    const path = (of) => steps.map((s, i) => `${i ? "L" : "M"}${x(s).toFixed(1)} ${y(Math.max(of(s), LEAST)).toFixed(1)}`).join("");
    const repaired = (s) => share(s, kept(), anchor.checked ? keepingBias(s, trained) : 0);
    const balance = share(trained);
    level.setAttribute("y1", y(balance));
    level.setAttribute("y2", y(balance));
    plain.setAttribute("d", path((s) => share(s)));
    function draw() {
      updates.forEach((update) => update());
      changed.setAttribute("d", path(repaired));
      const now = repaired(frames());
      dot.setAttribute("cx", x(frames()));
      dot.setAttribute("cy", y(Math.max(now, LEAST)));
      const lost = 1 - now / balance;
      says.textContent =
        `At ${frames()} frames, frame 0 keeps ${percent(now)} of the attention; in training, with ${trained} frames, it had ` +
        `${percent(balance)}. ` + (lost > 0.05 ? `${Math.round(100 * lost)} % of its share is lost.` : "Its share is kept.");
      title.textContent = says.textContent;
      root.dataset.share = now;
    }
    form.addEventListener("input", draw);
    draw();
  }

  window.dilution = { diluted, keepingBias };
  each("dilution", begin);
})();
