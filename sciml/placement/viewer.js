"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const floats = (text) => new Float32Array(bytes(text));
const integers = (text) => new Int32Array(bytes(text));

const kind = new Uint8Array(bytes(data.kind));
const netStart = integers(data.net_start), pinNode = integers(data.pin_node);
const placements = data.placements.map((p) => ({
  ...p, boxes: floats(p.boxes), turns: new Uint8Array(bytes(p.turns)), pins: floats(p.pins),
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

const COLOURS = ["#c8553d", "#588b8b", "#2d5d7b", "#222222"];
const layers = { macros: true, "soft macros": true, cells: true, ports: true, density: false,
                 congestion: false, violations: true, "all macro nets": false, moves: true };
let shown = placements.length - 1, chosen = -1, marked = null;
let scale = 1, left = 0, top_ = 0, ratio = 1;

const canvas = document.querySelector("canvas"), view = document.getElementById("view");
const note = document.getElementById("note"), g = canvas.getContext("2d");
const X = (x) => (x - left) * scale, Y = (y) => (top_ - y) * scale;

function fit(box) {
  const w = view.clientWidth, h = view.clientHeight;
  scale = 0.94 * Math.min(w / (box[2] - box[0]), h / (box[3] - box[1]));
  left = (box[0] + box[2]) / 2 - w / 2 / scale;
  top_ = (box[1] + box[3]) / 2 + h / 2 / scale;
  draw();
}

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
  g.strokeStyle = "#0008";
  for (let i = 0; i < kind.length; i++) {
    if (kind[i] !== of) continue;
    const x0 = X(b[4 * i]), y0 = Y(b[4 * i + 3]);
    const w = (b[4 * i + 2] - b[4 * i]) * scale, h = (b[4 * i + 3] - b[4 * i + 1]) * scale;
    if (x0 > canvas.width || y0 > canvas.height || x0 + w < 0 || y0 + h < 0) continue;
    if (of === 3) { g.fillRect(x0 - 2, y0 - 2, 4, 4); continue; }
    g.fillRect(x0, y0, Math.max(w, 0.7), Math.max(h, 0.7));
    if (!stroke || w < 4) continue;
    g.strokeRect(x0, y0, w, h);
    corner(p.turns[i], x0, y0, w, h);
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

function draw() {
  const p = placements[shown];
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, canvas.width, canvas.height);
  g.lineWidth = 1;
  g.fillStyle = "#f7f8fa";
  const c = data.canvas, w = (c[2] - c[0]) * scale, h = (c[3] - c[1]) * scale;
  g.fillRect(X(c[0]), Y(c[3]), w, h);
  if (layers.cells) nodes(p, 2, COLOURS[2] + "66", scale > 3);
  if (layers["soft macros"]) nodes(p, 1, COLOURS[1] + "55", true);
  if (layers.macros) nodes(p, 0, COLOURS[0] + "cc", true);
  if (layers.density) map(p.density, p, 1);
  if (layers.congestion) map(p.congestion, p, 1.2);
  if (layers.ports) nodes(p, 3, COLOURS[3], false);
  g.strokeStyle = "#555";
  g.strokeRect(X(c[0]), Y(c[3]), w, h);
  if (layers["all macro nets"])
    for (let n = 0; n + 1 < netStart.length; n++)
      for (let q = netStart[n]; q < netStart[n + 1]; q++)
        if (kind[pinNode[q]] === 0) { net(p, n, "#1557c022"); break; }
  if (placements.length > 1 && layers.moves) {
    const other = placements[1 - shown].boxes, b = p.boxes;
    g.strokeStyle = "#7b2cbf88";
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
  if (layers.violations) {
    g.lineWidth = 2;
    g.strokeStyle = "#e00000";
    for (const v of p.violations)
      for (const b of v.boxes)
        g.strokeRect(X(b[0]), Y(b[3]), (b[2] - b[0]) * scale, (b[3] - b[1]) * scale);
  }
  if (chosen >= 0) {
    g.lineWidth = 1.3;
    for (const n of netsOf(chosen)) net(p, n, "#1557c0aa");
    outline(p.boxes.subarray(4 * chosen, 4 * chosen + 4), "#1557c0");
  }
  if (marked) outline(marked, "#ff00aa");
}

function outline(b, colour) {
  g.lineWidth = 3;
  g.strokeStyle = colour;
  g.strokeRect(X(b[0]) - 1, Y(b[3]) - 1, (b[2] - b[0]) * scale + 2, (b[3] - b[1]) * scale + 2);
}

const VISIBLE = ["macros", "soft macros", "cells", "ports"];
function at(x, y) {
  const b = placements[shown].boxes, near = 4 / scale;
  let best = -1, area = Infinity;
  for (let i = 0; i < kind.length; i++) {
    if (!layers[VISIBLE[kind[i]]]) continue;
    const r = kind[i] === 3 ? near : 0;
    if (x < b[4 * i] - r || x > b[4 * i + 2] + r || y < b[4 * i + 1] - r || y > b[4 * i + 3] + r)
      continue;
    const size = (b[4 * i + 2] - b[4 * i]) * (b[4 * i + 3] - b[4 * i + 1]);
    if (size < area) { area = size; best = i; }
  }
  return best;
}

function about(i) {
  const p = placements[shown], b = p.boxes.subarray(4 * i, 4 * i + 4);
  const name = data.names[i] || `${data.kinds[kind[i]]} ${i}`;
  const size = `${+(b[2] - b[0]).toFixed(4)} x ${+(b[3] - b[1]).toFixed(4)}`;
  const place = `(${+b[0].toFixed(4)}, ${+b[1].toFixed(4)})`;
  const turn = kind[i] === 3 ? "" : ` ${data.orientations[p.turns[i]]}`;
  return `${name}: ${data.kinds[kind[i]]}, ${size} at ${place}${turn}, ${netsOf(i).length} nets`;
}

// -- the panel -------------------------------------------------------------------------------
const make = (tag, parent, text) => {
  const made = parent.appendChild(document.createElement(tag));
  if (text !== undefined) made.textContent = text;
  return made;
};
const number = (v) => typeof v === "number" ? String(+v.toPrecision(6)) : v === null ? "-" : String(v);

function panel() {
  const home = document.getElementById("panel");
  if (placements.length > 1) {
    make("h2", home, "Placement");
    placements.forEach((p, k) => {
      const label = make("label", home), radio = make("input", label);
      radio.type = "radio";
      radio.name = "shown";
      radio.checked = k === shown;
      radio.onchange = () => { shown = k; violations(); draw(); };
      label.append(" " + p.label);
    });
  }
  make("h2", home, "Layers");
  for (const name of Object.keys(layers)) {
    if (name === "moves" && placements.length < 2) continue;
    if (name === "all macro nets" && !kind.includes(0)) continue;
    if (VISIBLE.includes(name) && !kind.includes(VISIBLE.indexOf(name))) continue;
    const label = make("label", home), box = make("input", label);
    box.type = "checkbox";
    box.checked = layers[name];
    box.onchange = () => { layers[name] = box.checked; draw(); };
    if (VISIBLE.includes(name)) {
      const swatch = make("span", label);
      swatch.className = "swatch";
      swatch.style.background = COLOURS[VISIBLE.indexOf(name)];
    }
    label.append(" " + name);
  }
  make("h2", home, "Scores");
  const table = make("table", home);
  if (placements.length > 1) {
    const row = make("tr", table);
    ["", ...placements.map((p) => p.label)].forEach((t) => make("td", row, t));
  }
  for (const key of Object.keys(placements[0].scores)) {
    const row = make("tr", table);
    make("td", row, key.replaceAll("_", " "));
    placements.forEach((p) => make("td", row, number(p.scores[key])));
  }
  make("h2", home, "Violations").id = "count";
  make("div", home).id = "violations";
  make("p", home, "Drag to pan, wheel to zoom, click a node for its nets, double click for the whole canvas.");
  violations();
}

function violations() {
  const p = placements[shown], list = document.getElementById("violations");
  document.getElementById("count").textContent = `Violations: ${p.problems}`;
  list.replaceChildren();
  for (const v of p.violations.slice(0, 200)) {
    const link = make("a", list, v.text);
    link.onclick = () => {
      if (!v.boxes.length) return;
      marked = [0, 1, 2, 3].map((k) => Math[k < 2 ? "min" : "max"](...v.boxes.map((b) => b[k])));
      const room = Math.max(marked[2] - marked[0], marked[3] - marked[1], 1e-3);
      fit([marked[0] - room, marked[1] - room, marked[2] + room, marked[3] + room]);
    };
  }
}

// -- the mouse -------------------------------------------------------------------------------
let drag = null;
const place = (e) => [left + e.offsetX / scale, top_ - e.offsetY / scale];
canvas.onpointerdown = (e) => {
  drag = { x: e.offsetX, y: e.offsetY, left, top: top_, moved: false };
  canvas.setPointerCapture(e.pointerId);
};
canvas.onpointermove = (e) => {
  if (!drag) {
    const i = at(...place(e));
    note.textContent = i < 0 ? place(e).map((v) => v.toFixed(2)).join(", ") : about(i);
    return;
  }
  const dx = e.offsetX - drag.x, dy = e.offsetY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
  left = drag.left - dx / scale;
  top_ = drag.top + dy / scale;
  draw();
};
canvas.onpointerup = (e) => {
  if (drag && !drag.moved) {
    chosen = at(...place(e));
    marked = null;
    note.textContent = chosen < 0 ? "" : about(chosen);
    draw();
  }
  drag = null;
};
canvas.ondblclick = () => fit(data.canvas);
canvas.onwheel = (e) => {
  e.preventDefault();
  const [x, y] = place(e), factor = Math.exp(-e.deltaY / 400);
  scale *= factor;
  left = x - e.offsetX / scale;
  top_ = y + e.offsetY / scale;
  draw();
};
function resize() {
  ratio = window.devicePixelRatio || 1;
  canvas.width = view.clientWidth * ratio;
  canvas.height = view.clientHeight * ratio;
  canvas.style.width = `${view.clientWidth}px`;
  canvas.style.height = `${view.clientHeight}px`;
  draw();
}
window.onresize = resize;
// #node=NAME opens the page with a node chosen; layers=a,b chooses layers.
for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
  if (key === "node")
    chosen = +(Object.keys(data.names).find((i) => data.names[i] === value) ?? -1);
  if (key === "layers") for (const name of Object.keys(layers)) layers[name] = value.split(",").includes(name);
}
panel();
resize();
fit(data.canvas);
