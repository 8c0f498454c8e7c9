// A placement, or two of one netlist, that is panned and zoomed: nodes, nets, maps, violations.
report.components.placement = (place, data) => {
  const { make, button } = report;
  const floats = (text) => new Float32Array(report.bytes(text).buffer);
  const integers = (text) => new Int32Array(report.bytes(text).buffer);
  const kind = report.bytes(data.kind);
  const netStart = integers(data.net_start), pinNode = integers(data.pin_node);
  const placements = data.placements.map((p) => ({
    ...p, boxes: floats(p.boxes), turns: report.bytes(p.turns), pins: floats(p.pins),
    density: floats(p.density), congestion: floats(p.congestion),
  }));
  // The nets of each node, as one list with starts.
  const netsOf = (() => {
    const start = new Int32Array(kind.length + 1);
    for (const i of pinNode) start[i + 1]++;
    for (let i = 0; i < kind.length; i++) start[i + 1] += start[i];
    const list = new Int32Array(pinNode.length), next = start.slice();
    for (let n = 0; n + 1 < netStart.length; n++)
      for (let p = netStart[n]; p < netStart[n + 1]; p++) list[next[pinNode[p]]++] = n;
    return (i) => [...new Set(list.subarray(start[i], start[i + 1]))];
  })();

  const VISIBLE = ["macros", "soft macros", "cells", "ports"];
  const COLOURS = ["#c8553d", "#588b8b", "#4a83ad", "#888888"];
  const layers = { macros: true, "soft macros": true, cells: true, ports: true, density: false,
                   congestion: false, violations: true, "all macro nets": false, moves: true };
  let shown = placements.length - 1, chosen = -1, marked = null, colours = {};
  let scale = 1, left = 0, top = 0, ratio = 1, fitted = true;

  place.classList.add("placement");
  const view = make("div", place, undefined, { class: "view" });
  const panel = make("div", place, undefined, { class: "panel" });
  const canvas = make("canvas", view, "", {
    tabindex: "0", role: "img",
    "aria-label": `${place.getAttribute("aria-label")}. Arrow keys pan, plus and minus zoom, 0 fits.`,
  });
  const keys = make("div", view, undefined, { class: "keys" });
  const HINT = "Drag to pan, click a node for its nets; plus, minus, or the wheel after a click, zoom.";
  const note = make("p", view, HINT, { class: "say", role: "status" });
  const g = canvas.getContext("2d");
  const X = (x) => (x - left) * scale, Y = (y) => (top - y) * scale;

  function fit(box) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    fitted = box === data.canvas;
    scale = 0.94 * Math.min(w / (box[2] - box[0]), h / (box[3] - box[1]));
    left = (box[0] + box[2]) / 2 - w / 2 / scale;
    top = (box[1] + box[3]) / 2 + h / 2 / scale;
    draw();
  }
  function zoom(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
    const x = left + px / scale, y = top - py / scale;
    fitted = false;
    scale *= factor;
    left = x - px / scale;
    top = y + py / scale;
    draw();
  }
  function pan(dx, dy) {
    fitted = false;
    left += dx / scale;
    top -= dy / scale;
    draw();
  }

  // -- drawing -----------------------------------------------------------------------------------
  function map(values, p, most) {
    const w = (data.canvas[2] - data.canvas[0]) / p.columns;
    const h = (data.canvas[3] - data.canvas[1]) / p.rows;
    for (let r = 0; r < p.rows; r++)
      for (let c = 0; c < p.columns; c++) {
        const v = Math.min(values[r * p.columns + c] / most, 1);
        g.fillStyle = `hsla(${240 - 240 * v}, 85%, 50%, ${0.1 + 0.55 * v})`;
        g.fillRect(X(data.canvas[0] + c * w), Y(data.canvas[1] + (r + 1) * h),
                   w * scale + 0.5, h * scale + 0.5);
      }
  }
  function nodes(p, of, fill, stroke) {
    const b = p.boxes;
    g.fillStyle = fill;
    g.strokeStyle = colours.ink;
    for (let i = 0; i < kind.length; i++) {
      if (kind[i] !== of) continue;
      const x0 = X(b[4 * i]), y0 = Y(b[4 * i + 3]);
      const w = (b[4 * i + 2] - b[4 * i]) * scale, h = (b[4 * i + 3] - b[4 * i + 1]) * scale;
      if (x0 > canvas.width || y0 > canvas.height || x0 + w < 0 || y0 + h < 0) continue;
      if (of === 3) { g.fillRect(x0 - 2, y0 - 2, 4, 4); continue; }
      g.fillRect(x0, y0, Math.max(w, 0.7), Math.max(h, 0.7));
      if (!stroke || w < 4) continue;
      g.globalAlpha = 0.55;
      g.strokeRect(x0, y0, w, h);
      corner(p.turns[i], x0, y0, w, h);
      g.globalAlpha = 1;
    }
  }
  // A cut corner where the lower left of the node as N is.
  function corner(turn, x0, y0, w, h) {
    const right = [1, 2, 4, 6].includes(turn), up = [1, 3, 5, 6].includes(turn);
    const s = Math.min(w, h) / 4, x = right ? x0 + w : x0, y = up ? y0 : y0 + h;
    g.beginPath();
    g.moveTo(x + (right ? -s : s), y);
    g.lineTo(x, y + (up ? s : -s));
    g.stroke();
  }
  function net(p, n, colour) {
    // A star from the driver.
    const a = netStart[n];
    g.strokeStyle = colour;
    g.beginPath();
    for (let q = a + 1; q < netStart[n + 1]; q++) {
      g.moveTo(X(p.pins[2 * a]), Y(p.pins[2 * a + 1]));
      g.lineTo(X(p.pins[2 * q]), Y(p.pins[2 * q + 1]));
    }
    g.stroke();
  }
  function moves(p) {
    const other = placements[1 - shown].boxes, b = p.boxes;
    g.strokeStyle = "#a05bd6aa";
    g.beginPath();
    for (let i = 0; i < kind.length; i++) {
      if (kind[i] === 3) continue;
      const x = (b[4 * i] + b[4 * i + 2]) / 2, y = (b[4 * i + 1] + b[4 * i + 3]) / 2;
      const u = (other[4 * i] + other[4 * i + 2]) / 2, v = (other[4 * i + 1] + other[4 * i + 3]) / 2;
      if (Math.abs(x - u) + Math.abs(y - v) < 1e-3) continue;
      g.moveTo(X(u), Y(v));
      g.lineTo(X(x), Y(y));
    }
    g.stroke();
  }
  function outline(b, colour) {
    g.lineWidth = 3;
    g.strokeStyle = colour;
    g.strokeRect(X(b[0]) - 1, Y(b[3]) - 1, (b[2] - b[0]) * scale + 2, (b[3] - b[1]) * scale + 2);
  }
  function draw() {
    const p = placements[shown], c = data.canvas;
    const w = (c[2] - c[0]) * scale, h = (c[3] - c[1]) * scale;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.lineWidth = 1;
    g.fillStyle = colours.raised;
    g.fillRect(X(c[0]), Y(c[3]), w, h);
    if (layers.cells) nodes(p, 2, COLOURS[2] + "66", scale > 3);
    if (layers["soft macros"]) nodes(p, 1, COLOURS[1] + "66", true);
    if (layers.macros) nodes(p, 0, COLOURS[0] + "cc", true);
    if (layers.density) map(p.density, p, 1);
    if (layers.congestion) map(p.congestion, p, 1.2);
    if (layers.ports) nodes(p, 3, COLOURS[3], false);
    g.strokeStyle = colours.soft;
    g.strokeRect(X(c[0]), Y(c[3]), w, h);
    if (layers["all macro nets"])
      for (let n = 0; n + 1 < netStart.length; n++)
        for (let q = netStart[n]; q < netStart[n + 1]; q++)
          if (kind[pinNode[q]] === 0) { net(p, n, "#3d7ee833"); break; }
    if (placements.length > 1 && layers.moves) moves(p);
    if (layers.violations) {
      g.lineWidth = 2;
      g.strokeStyle = colours.bad;
      for (const v of p.violations)
        for (const b of v.boxes)
          g.strokeRect(X(b[0]), Y(b[3]), (b[2] - b[0]) * scale, (b[3] - b[1]) * scale);
    }
    if (chosen >= 0) {
      g.lineWidth = 1.3;
      for (const n of netsOf(chosen)) net(p, n, colours.accent);
      outline(p.boxes.subarray(4 * chosen, 4 * chosen + 4), colours.accent);
    }
    if (marked) outline(marked, "#ff00aa");
  }

  // -- what a pointer is on ----------------------------------------------------------------------
  function at(x, y) {
    const b = placements[shown].boxes, near = 4 / scale;
    let best = -1, area = Infinity;
    for (let i = 0; i < kind.length; i++) {
      if (!layers[VISIBLE[kind[i]]]) continue;
      const r = kind[i] === 3 ? near : 0;
      if (x < b[4 * i] - r || x > b[4 * i + 2] + r || y < b[4 * i + 1] - r || y > b[4 * i + 3] + r)
        continue;
      const size = (b[4 * i + 2] - b[4 * i]) * (b[4 * i + 3] - b[4 * i + 1]);
      if (size < area) [area, best] = [size, i];
    }
    return best;
  }
  function about(i) {
    const p = placements[shown], b = p.boxes.subarray(4 * i, 4 * i + 4);
    const name = data.names[i] || `${data.kinds[kind[i]]} ${i}`;
    const size = `${+(b[2] - b[0]).toFixed(4)} × ${+(b[3] - b[1]).toFixed(4)}`;
    const where = `(${+b[0].toFixed(4)}, ${+b[1].toFixed(4)})`;
    const turn = kind[i] === 3 ? "" : ` ${data.orientations[p.turns[i]]}`;
    return `${name}: ${data.kinds[kind[i]]}, ${size} at ${where}${turn}, ${netsOf(i).length} nets`;
  }
  function choose(i) {
    chosen = i;
    marked = null;
    note.textContent = i < 0 ? HINT : about(i);
    draw();
  }

  // -- the panel ---------------------------------------------------------------------------------
  function box(parent, type, name, checked, action, colour) {
    const label = make("label", parent), input = make("input", label, undefined, { type });
    input.checked = checked;
    input.addEventListener("change", () => action(input.checked));
    if (colour) make("span", label, "", { class: "swatch", style: `background:${colour}` });
    label.append(` ${name}`);
    return input;
  }
  let list, count;
  function build() {
    button(keys, "+", () => zoom(1.4)).setAttribute("aria-label", "zoom in");
    button(keys, "−", () => zoom(1 / 1.4)).setAttribute("aria-label", "zoom out");
    button(keys, "Fit", () => fit(data.canvas));
    if (placements.length > 1) {
      const group = make("fieldset", panel), name = `shown-${Math.random()}`;
      make("legend", group, "Placement");
      placements.forEach((p, k) => {
        box(group, "radio", p.label, k === shown, () => { shown = k; violations(); draw(); })
          .name = name;
      });
      group.querySelectorAll("input")[shown].checked = true;
    }
    const group = make("fieldset", panel);
    make("legend", group, "Layers");
    for (const name of Object.keys(layers)) {
      const of = VISIBLE.indexOf(name);
      if (name === "moves" && placements.length < 2) continue;
      if (name === "all macro nets" && !kind.includes(0)) continue;
      if (of >= 0 && !kind.includes(of)) continue;
      box(group, "checkbox", name, layers[name], (on) => { layers[name] = on; draw(); }, COLOURS[of]);
    }
    const label = make("label", panel, "Find a node "), find = make("input", label);
    find.type = "search";
    find.addEventListener("change", () => {
      const i = Object.keys(data.names).find((key) => data.names[key] === find.value);
      if (i === undefined) { note.textContent = `No node is named ${find.value}.`; return; }
      choose(+i);
      const b = placements[shown].boxes.subarray(4 * i, 4 * i + 4);
      const room = 3 * Math.max(b[2] - b[0], b[3] - b[1], 1e-3);
      fit([b[0] - room, b[1] - room, b[2] + room, b[3] + room]);
    });
    count = make("p", panel, "", { class: "count" });
    list = make("div", panel, "", { class: "violations" });
    violations();
  }
  function violations() {
    const p = placements[shown];
    count.textContent = p.problems ? `${p.problems} violations of rules` : "No violation of a rule";
    list.replaceChildren();
    for (const v of p.violations.slice(0, 200))
      button(list, v.text, () => {
        if (!v.boxes.length) return;
        marked = [0, 1, 2, 3].map((k) => Math[k < 2 ? "min" : "max"](...v.boxes.map((b) => b[k])));
        const room = Math.max(marked[2] - marked[0], marked[3] - marked[1], 1e-3);
        fit([marked[0] - room, marked[1] - room, marked[2] + room, marked[3] + room]);
      });
  }

  // -- pointer and keyboard ----------------------------------------------------------------------
  let drag = null;
  const where = (e) => [left + e.offsetX / scale, top - e.offsetY / scale];
  canvas.addEventListener("pointerdown", (e) => {
    drag = { x: e.offsetX, y: e.offsetY, left, top, moved: false };
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!drag) {
      const i = at(...where(e));
      note.textContent = i < 0 ? where(e).map((v) => v.toFixed(2)).join(", ") : about(i);
      return;
    }
    const dx = e.offsetX - drag.x, dy = e.offsetY - drag.y;
    if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
    left = drag.left - dx / scale;
    top = drag.top + dy / scale;
    draw();
  });
  canvas.addEventListener("pointerup", (e) => {
    if (drag && !drag.moved) choose(at(...where(e)));
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => {
    if (!drag) note.textContent = chosen < 0 ? HINT : about(chosen);
  });
  canvas.addEventListener("dblclick", () => fit(data.canvas));
  canvas.addEventListener("wheel", (e) => {
    if (document.activeElement !== canvas) return;  // the page scrolls
    e.preventDefault();
    zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] };
    if (step[e.key]) pan(...step[e.key]);
    else if (e.key === "+" || e.key === "=") zoom(1.25);
    else if (e.key === "-") zoom(0.8);
    else if (e.key === "0") fit(data.canvas);
    else if (e.key === "Escape") choose(-1);
    else return;
    e.preventDefault();
  });
  function resize() {
    ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    if (fitted) fit(data.canvas);
    else draw();
  }
  function theme() {
    for (const name of ["ink", "soft", "raised", "accent", "bad"]) colours[name] = report.style(name);
    draw();
  }
  // #node=NAME opens the page with a node chosen; layers=a,b chooses layers.
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (key === "node")
      chosen = +(Object.keys(data.names).find((i) => data.names[i] === value) ?? -1);
    if (key === "layers")
      for (const name of Object.keys(layers)) layers[name] = value.split(",").includes(name);
  }
  build();
  theme();
  resize();
  window.addEventListener("resize", resize);
  window.addEventListener("theme", theme);
};
