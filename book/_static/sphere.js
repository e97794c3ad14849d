// A figure to touch: tokens on the sphere under attention layers. The laws are those of lib.dynamics.
(() => {
  const { node, control, range, tick, choice, frame, each } = window.living;
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const plus = (a, b, times) => [a[0] + times * b[0], a[1] + times * b[1], a[2] + times * b[2]];
  const scaled = (a, factor) => [factor * a[0], factor * a[1], factor * a[2]];
  const unit = (a) => scaled(a, 1 / Math.sqrt(dot(a, a)));
  const mean = (tokens) => scaled(tokens.reduce((sum, a) => plus(sum, a, 1), [0, 0, 0]), 1 / tokens.length);

  // 1 - R² of the directions: their variance, exact also when it is tiny.
  function spread(tokens) {
    const directions = tokens.map(unit), middle = mean(directions);
    return directions.reduce((sum, a) => {
      const off = plus(a, middle, -1);
      return sum + dot(off, off);
    }, 0) / tokens.length;
  }

  // For every token the sum of w_j e^{beta <x, x_j>} x_j over that of the weights.
  function attend(tokens, beta, weights) {
    return tokens.map((query) => {
      const logits = tokens.map((key) => beta * dot(query, key)), top = Math.max(...logits);
      let total = 0, sum = [0, 0, 0];
      tokens.forEach((value, j) => {
        const weight = weights[j] * Math.exp(logits[j] - top);
        total += weight;
        sum = plus(sum, value, weight);
      });
      return scaled(sum, 1 / total);
    });
  }

  // The group of every token. One token in four stays as it is; of the others a share m of all tokens is merged
  // into these: the most similar first, each into its most similar ("similar"), or by position alone ("position").
  function grouped(u, rule, m) {
    const labels = u.map(() => -1), targets = [], sources = [];
    u.forEach((_, i) => (i % 4 ? sources : targets).push(i));
    targets.forEach((i, place) => (labels[i] = place));
    const pairs = sources.map((i, place) => {
      if (rule === "position") return { i, target: place % targets.length, cosine: 0 };
      const cosines = targets.map((j) => dot(u[i], u[j])), cosine = Math.max(...cosines);
      return { i, target: cosines.indexOf(cosine), cosine };
    });
    pairs.sort((a, b) => b.cosine - a.cosine);
    const merged = rule === "none" ? 0 : Math.round(m * u.length);
    pairs.slice(0, merged).forEach(({ i, target }) => (labels[i] = target));
    pairs.slice(merged).forEach(({ i }, place) => (labels[i] = targets.length + place));
    return labels;
  }

  // What attention adds to every token: queries, keys and values averaged in groups, the output copied back.
  function attraction(u, beta, labels, sizeBias) {
    const groups = Array.from({ length: Math.max(...labels) + 1 }, () => []);
    labels.forEach((group, i) => groups[group].push(u[i]));
    const out = attend(groups.map(mean), beta, groups.map((group) => (sizeBias ? group.length : 1)));
    return labels.map((group) => out[group]);
  }

  // Streams and spreads before every layer and after the last, and the groups of every layer.
  // setting: beta, scale (factor on logits), step, norm ("post", "pre"), rule, m, sizeBias.
  function simulate(tokens, setting, layers) {
    let z = tokens.map(unit);
    const streams = [z], groups = [];
    for (let layer = 0; layer < layers; layer++) {
      const u = z.map(unit), labels = grouped(u, setting.rule, setting.m);
      const added = attraction(u, setting.beta * setting.scale, labels, setting.sizeBias);
      z = (setting.norm === "post" ? u : z).map((a, i) => plus(a, added[i], setting.step));
      if (setting.norm === "post") z = z.map(unit);
      streams.push(z);
      groups.push(labels);
    }
    return { streams, groups, spreads: streams.map(spread) };
  }

  // Layer, with a fraction, where the spread falls below `level`; Infinity if never.
  function layersTo(spreads, level) {
    const k = spreads.findIndex((value) => value < level);
    if (k < 1) return k ? Infinity : 0;
    const before = Math.log(spreads[k - 1]), after = Math.log(spreads[k]);
    return k - 1 + (before - Math.log(level)) / (before - after);
  }

  const COLLAPSED = 0.05, LEAST = 1e-4, SIZE = 300, RADIUS = 132, LEFT = 56, RIGHT = 12, TOP = 12, BOTTOM = 44;

  function chart(root, layers) {
    const svg = node(root, "svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
    const x = (layer) => LEFT + ((SIZE - LEFT - RIGHT) * layer) / layers;
    const y = (value) => TOP + ((SIZE - TOP - BOTTOM) * Math.log(Math.max(value, LEAST))) / Math.log(LEAST);
    for (let layer = 0; layer <= layers; layer += layers / 4) {
      node(svg, "line", { x1: x(layer), x2: x(layer), y1: TOP, y2: SIZE - BOTTOM, class: "grid" });
      node(svg, "text", { x: x(layer), y: SIZE - BOTTOM + 18, "text-anchor": "middle" }, layer);
    }
    for (const [value, text] of [[1, "1"], [0.1, "0.1"], [0.01, "0.01"], [0.001, "10⁻³"], [LEAST, "10⁻⁴"]]) {
      node(svg, "line", { x1: LEFT, x2: SIZE - RIGHT, y1: y(value), y2: y(value), class: "grid" });
      node(svg, "text", { x: LEFT - 8, y: y(value) + 5, "text-anchor": "end" }, text);
    }
    node(svg, "line", { x1: LEFT, x2: SIZE - RIGHT, y1: y(COLLAPSED), y2: y(COLLAPSED), class: "level" });
    node(svg, "text", { x: (LEFT + SIZE) / 2, y: SIZE - 6, "text-anchor": "middle" }, "layer");
    const name = node(svg, "title", {}, "");
    const plain = node(svg, "path", { class: "plain" }), changed = node(svg, "path", { class: "changed" });
    const now = node(svg, "circle", { r: 7, class: "now" });
    const path = (values) => // down to where the axis ends
      values.map((value, i) => (value < LEAST ? "" : `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
    return (unmerged, spreads, layer) => {
      plain.setAttribute("d", path(unmerged));
      changed.setAttribute("d", path(spreads));
      now.setAttribute("cx", x(layer));
      now.setAttribute("cy", y(spreads[layer]));
      name.textContent = `Spread against layers; at layer ${layer} it is ${round(spreads[layer])}.`;
    };
  }

  const round = (value) => Number(value.toPrecision(3)).toString();

  function ball(root, redraw) {
    const svg = node(root, "svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", tabindex: 0, class: "ball" });
    svg.setAttribute("aria-label", "Tokens as points on the sphere. Arrow keys turn it.");
    const view = { turn: 0.6, tilt: 0.4 };
    const turn = (across, down) => {
      view.turn += across;
      view.tilt = Math.max(-1.5, Math.min(1.5, view.tilt + down));
      redraw();
    };
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
      if (!by) return;
      turn(...by);
      event.preventDefault();
    });
    svg.addEventListener("pointerdown", (event) => svg.setPointerCapture(event.pointerId));
    svg.addEventListener("pointermove", (event) => event.buttons && turn(event.movementX / 130, event.movementY / 130));
    const seen = ([a, b, c]) => {
      const [ct, st, cp, sp] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
      const across = ct * b - st * a, near = ct * a + st * b;
      return { x: SIZE / 2 + RADIUS * across, y: SIZE / 2 - RADIUS * (cp * c - sp * near), front: cp * near + sp * c > 0 };
    };
    return (stream, labels) => {
      svg.replaceChildren();
      node(svg, "circle", { cx: SIZE / 2, cy: SIZE / 2, r: RADIUS, class: "outline" });
      const directions = stream.map(unit), places = directions.map(seen), first = new Map();
      labels.forEach((group, i) => {
        if (!first.has(group)) return first.set(group, places[i]);
        const target = first.get(group);
        node(svg, "line", { x1: places[i].x, y1: places[i].y, x2: target.x, y2: target.y, class: "merged" });
      });
      for (const place of places) node(svg, "circle", { cx: place.x, cy: place.y, r: 4, class: place.front ? "front" : "back" });
      const middle = seen(mean(directions));
      node(svg, "line", { x1: SIZE / 2, y1: SIZE / 2, x2: middle.x, y2: middle.y, class: "mean" });
      node(svg, "circle", { cx: middle.x, cy: middle.y, r: 6, class: "now" });
    };
  }

  function begin(root, { tokens, layers }) {
    root.querySelector("noscript")?.remove();
    const panels = Object.assign(document.createElement("div"), { className: "panels" });
    root.append(panels);
    const inputs = {
      layer: range({ min: 0, max: layers, step: 1, value: layers / 4 }),
      beta: range({ min: 0, max: 20, step: 0.5, value: 1 }),
      step: range({ min: 0.02, max: 0.5, step: 0.02, value: 0.1 }),
      count: range({ min: 8, max: tokens.length, step: 4, value: 40 }),
      norm: choice({ post: "post-LN: back to the sphere", pre: "pre-LN: the stream grows" }),
      rule: choice({ none: "none", similar: "the most similar first", position: "by position alone" }),
      m: range({ min: 0.05, max: 0.75, step: 0.05, value: 0.75 }),
      sizeBias: tick(),
      scale: range({ min: 0.5, max: 4, step: 0.1, value: 1 }),
    };
    let run, unmerged, wanted;
    const drawBall = ball(panels, () => draw()), drawChart = chart(panels, layers);
    const { form, says } = frame(root);
    const number = (name) => inputs[name].valueAsNumber;
    const play = Object.assign(document.createElement("button"), { type: "button", textContent: "Play" });
    const updates = [
      control(form, "Layer", inputs.layer, () => number("layer")),
      (form.append(play), () => {}),
      control(form, "β", inputs.beta, () => number("beta")),
      control(form, "Logit scale", inputs.scale, () => number("scale").toFixed(1)),
      control(form, "Step h", inputs.step, () => number("step").toFixed(2)),
      control(form, "Tokens N", inputs.count, () => number("count")),
      control(form, "Norm", inputs.norm, () => ""),
      control(form, "Merging", inputs.rule, () => ""),
      control(form, "Merged away, m", inputs.m, () => number("m").toFixed(2)),
      control(form, "with size bias", inputs.sizeBias, () => ""),
    ];
    const setting = () => ({
      beta: number("beta"), scale: number("scale"), step: number("step"), norm: inputs.norm.value,
      rule: inputs.rule.value, m: number("m"), sizeBias: inputs.sizeBias.checked,
    });

    function compute() {
      const now = setting(), key = JSON.stringify([now, number("count")]);
      if (key === wanted) return;
      wanted = key;
      const some = tokens.slice(0, number("count"));
      run = simulate(some, now, layers);
      unmerged = simulate(some, { ...now, scale: 1, rule: "none" }, layers);
      inputs.m.disabled = inputs.sizeBias.disabled = now.rule === "none";
      root.dataset.spreads = JSON.stringify(run.spreads);
    }

    function reached(spreads) {
      const layer = layersTo(spreads, COLLAPSED);
      return layer === Infinity ? `stays above ${COLLAPSED}` : `falls below ${COLLAPSED} after ${layer.toFixed(1)} layers`;
    }
    function draw() {
      compute();
      const layer = number("layer"), value = run.spreads[layer], now = setting();
      updates.forEach((update) => update());
      drawBall(run.streams[layer], run.groups[Math.min(layer, layers - 1)]);
      drawChart(unmerged.spreads, run.spreads, layer);
      const changed = now.rule !== "none" || now.scale !== 1;
      says.textContent =
        `Layer ${layer}: spread 1 − R² = ${round(value)}, mean length R = ${round(Math.sqrt(Math.max(0, 1 - value)))}. ` +
        `It ${reached(run.spreads)}` +
        (changed ? `; with nothing merged and logit scale 1 it ${reached(unmerged.spreads)}.` : ".");
      root.dataset.spread = value;
    }

    let playing = 0;
    function stop() {
      clearInterval(playing);
      playing = 0;
      play.textContent = "Play";
    }
    play.addEventListener("click", () => {
      if (playing) return stop();
      if (number("layer") === layers) inputs.layer.value = 0;
      play.textContent = "Stop";
      playing = setInterval(() => {
        inputs.layer.value = number("layer") + 1;
        draw();
        if (number("layer") === layers) stop();
      }, 120);
    });
    inputs.layer.addEventListener("input", stop);
    form.addEventListener("input", draw);
    draw();
  }

  window.sphere = { simulate, layersTo };
  each("sphere", begin);
})();
