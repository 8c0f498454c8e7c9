// A CA trace that turns: drag or arrow keys turn it, + and - (or the wheel, once it has the focus)
// zoom, a pointer names the residue that it is on.
report.components.structure = (place, data) => {
  const SUB = 5, canvas = report.make("canvas", place, "", {
    tabindex: "0", role: "img", style: "width:100%;max-width:46rem;cursor:grab",
    "aria-label": `${place.getAttribute("aria-label")}. Arrow keys turn it, plus and minus zoom.`,
  });
  const say = report.make("p", place, data.hint, { class: "say", role: "status" });
  if (data.legend.length) {
    const legend = report.make("p", place, "", { class: "say" });
    for (const [colour, text] of data.legend) {
      report.make("span", legend, "", { class: "swatch", style: `background:${colour}` });
      legend.append(`${text}  `);
    }
  }
  const g = canvas.getContext("2d"), count = data.colours.length, ends = new Set(data.ends);
  const atoms = Array.from({ length: count }, (_, i) => data.points.slice(3 * i, 3 * i + 3));
  const radius = Math.max(1, ...atoms.map((p) => Math.hypot(...p)));
  // Catmull-Rom through the atoms of each chain: [x, y, z, residue of the colour].
  const pieces = [];
  for (let i = 0; i + 1 < count; i++) {
    if (ends.has(i)) continue;
    const [b, c] = [atoms[i], atoms[i + 1]];
    const a = i === 0 || ends.has(i - 1) ? b : atoms[i - 1];
    const d = i + 2 >= count || ends.has(i + 1) ? c : atoms[i + 2];
    const at = (t) => [0, 1, 2].map((k) => 0.5 * (2 * b[k] + (c[k] - a[k]) * t
      + (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k]) * t * t
      + (3 * b[k] - a[k] - 3 * c[k] + d[k]) * t * t * t));
    for (let s = 0; s < SUB; s++)
      pieces.push([at(s / SUB), at((s + 1) / SUB), s < SUB / 2 ? i : i + 1]);
  }
  let turn = 0.4, tilt = 0.3, zoom = 1, drag = null, marked = -1, width = 1, height = 1;

  const seen = (p) => {
    const x = p[0] * Math.cos(turn) + p[2] * Math.sin(turn);
    const w = p[2] * Math.cos(turn) - p[0] * Math.sin(turn);
    const y = p[1] * Math.cos(tilt) - w * Math.sin(tilt);
    const depth = p[1] * Math.sin(tilt) + w * Math.cos(tilt);
    const s = 0.46 * Math.min(width, height) * zoom / radius;
    return [width / 2 + x * s, height / 2 - y * s, depth];
  };
  function draw() {
    const ratio = window.devicePixelRatio || 1, back = report.style("back");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const drawn = pieces.map(([a, b, i]) => [seen(a), seen(b), i]);
    drawn.sort((p, q) => p[0][2] + p[1][2] - q[0][2] - q[1][2]);
    const thick = Math.max(1.5, Math.min(width, height) * zoom / 75);
    for (const [a, b, i] of drawn) {
      const near = (a[2] / radius + 1) / 2;
      for (const [colour, wide] of [[back, 1.7], [data.colours[i], 1]]) {
        g.strokeStyle = colour;
        g.globalAlpha = wide > 1 ? 1 : 0.65 + 0.35 * near;
        g.lineCap = wide > 1 ? "butt" : "round";  // the gap lies beside the trace, not across it
        g.lineWidth = thick * wide * (0.7 + 0.6 * near);
        g.beginPath();
        g.moveTo(a[0], a[1]);
        g.lineTo(b[0], b[1]);
        g.stroke();
      }
    }
    g.globalAlpha = 1;
    if (marked >= 0) {
      const [x, y] = seen(atoms[marked]);
      g.strokeStyle = report.style("ink");
      g.lineWidth = 2;
      g.beginPath();
      g.arc(x, y, thick * 1.2, 0, 7);
      g.stroke();
    }
  }
  function resize() {
    const ratio = window.devicePixelRatio || 1;
    width = canvas.clientWidth || 320;
    height = Math.round(Math.min(width * 0.68, 440));
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = `${height}px`;
    draw();
  }
  canvas.addEventListener("pointerdown", (e) => {
    drag = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointermove", (e) => {
    if (drag) {
      turn += (e.clientX - drag[0]) / 120;
      tilt += (e.clientY - drag[1]) / 120;
      drag = [e.clientX, e.clientY];
      return draw();
    }
    let best = 14, nearest = -1;
    atoms.forEach((atom, i) => {
      const [x, y] = seen(atom), away = Math.hypot(x - e.offsetX, y - e.offsetY);
      if (away < best) [best, nearest] = [away, i];
    });
    if (nearest === marked) return;
    marked = nearest;
    say.textContent = nearest < 0 ? data.hint : data.names[nearest];
    draw();
  });
  canvas.addEventListener("wheel", (e) => {
    if (document.activeElement !== canvas) return;  // the page scrolls
    e.preventDefault();
    zoom *= Math.exp(-e.deltaY / 800);
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const turns = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15],
                    ArrowDown: [0, 0.15] }[e.key];
    if (turns) { turn += turns[0]; tilt += turns[1]; }
    else if (e.key === "+" || e.key === "=") zoom *= 1.15;
    else if (e.key === "-") zoom /= 1.15;
    else return;
    e.preventDefault();
    draw();
  });
  window.addEventListener("theme", draw);
  window.addEventListener("resize", resize);
  resize();
};
