"use strict";
// What every report does: theme, contents, tables that sort and copy, figures that tell values.
// Components of the sciences register themselves in `report.components` and are started below.
const report = { components: {} };

report.make = (tag, parent, text, attributes) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
};
report.button = (parent, text, action) => {
  const made = report.make("button", parent, text, { type: "button" });
  made.addEventListener("click", () => action(made));
  return made;
};
report.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
report.style = (name) => {
  // A colour of the theme as the canvas wants it.
  const probe = report.make("span", document.body, undefined, { style: `color: var(--${name})` });
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
};
report.save = (name, blob) => {
  const link = report.make("a", document.body, "", { download: name });
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => { URL.revokeObjectURL(link.href); link.remove(); }, 1000);
};
report.fileName = (element, ending) => {
  let head = element;
  while (head && !/^H[123]$/.test(head.tagName)) head = head.previousElementSibling;
  const name = (head || document.querySelector("h1")).textContent.trim().toLowerCase();
  return (name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "figure") + ending;
};

// -- theme -------------------------------------------------------------------------------------
function theme() {
  const button = document.querySelector("button.theme"), root = document.documentElement;
  if (!button) return;
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (preferred.matches ? "dark" : "light")) === "dark";
  const changed = () => {
    button.textContent = dark() ? "Light" : "Dark";
    window.dispatchEvent(new Event("theme"));
  };
  button.hidden = false;
  button.setAttribute("aria-label", "light or dark colours");
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    changed();
  });
  preferred.addEventListener("change", changed);
  changed();
}

// -- contents ----------------------------------------------------------------------------------
function contents() {
  const details = document.querySelector(".contents details");
  if (!details) return;
  const wide = window.matchMedia("(min-width: 1200px)");
  const fold = () => { details.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
  const links = [...details.querySelectorAll("a")];
  for (const link of links)
    link.addEventListener("click", () => { if (!wide.matches) details.open = false; });
  const heads = links.map((a) => document.getElementById(decodeURIComponent(a.hash.slice(1))));
  const mark = () => {
    let at = -1;
    heads.forEach((head, i) => {
      if (head && head.getBoundingClientRect().top < 120) at = i;
    });
    links.forEach((link, i) => {
      if (i === at) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  document.addEventListener("scroll", mark, { passive: true });
  mark();
}

// -- tables ------------------------------------------------------------------------------------
const valueOf = (cell) => cell.dataset.value ?? cell.textContent;
const numberOf = (text) => {
  const match = /^[\s<>≥≤]*([-+−]?[\d,]*\.?\d+(?:e[-+]?\d+)?)/i.exec(text);
  return match ? Number(match[1].replaceAll(",", "").replace("−", "-")) : NaN;
};

function sort(table, column, button) {
  const head = button.parentElement, body = table.tBodies[0];
  const rising = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
  const told = rows.filter(([text]) => text !== "–");
  const numeric = told.every(([text]) => !Number.isNaN(numberOf(text)));
  told.sort(([a], [b]) => (numeric ? numberOf(a) - numberOf(b) : a.localeCompare(b)));
  if (!rising) told.reverse();
  const missing = rows.filter(([text]) => text === "–");  // stay at the end
  body.append(...[...told, ...missing].map(([, row]) => row));
}

report.csv = (table) => {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const text = (cell) => (valueOf(cell) === "–" ? "" : valueOf(cell));
  return [...table.rows].map((row) => [...row.cells].map((c) => field(text(c))).join(","))
    .join("\r\n") + "\r\n";
};

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // not allowed where the page lies
    const area = report.make("textarea", document.body);
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function tables() {
  for (const figure of document.querySelectorAll("figure.table")) {
    const table = figure.querySelector("table");
    if (table.tBodies[0].rows.length > 1)
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const name = head.textContent;
        head.textContent = "";
        report.button(head, name, (button) => sort(table, column, button)).title = "Sort";
      });
    const tools = report.make("div", figure, undefined, { class: "tools" });
    report.button(tools, "Copy as CSV", async (button) => {
      await copy(report.csv(table));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy as CSV"; }, 1500);
    });
  }
}

// -- figures -----------------------------------------------------------------------------------
function download(figure, drawing) {
  const tools = report.make("div", figure, undefined, { class: "tools" });
  const svg = drawing.querySelector("svg"), image = drawing.querySelector("img");
  if (svg)
    report.button(tools, "Download SVG", () => {
      const copied = svg.cloneNode(true);
      copied.setAttribute("style", "color: #000; background: #fff; fill: #000");
      copied.setAttribute("font-family", "sans-serif");
      const text = new XMLSerializer().serializeToString(copied);
      report.save(report.fileName(figure, ".svg"), new Blob([text], { type: "image/svg+xml" }));
    });
  else if (image)
    report.button(tools, "Download picture", () => {
      const [, kind, data] = /^data:image\/(\w+);base64,(.*)$/.exec(image.src);
      report.save(report.fileName(figure, `.${kind}`), new Blob([report.bytes(data)]));
    });
}

const shortly = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(+value.toPrecision(4));
};

// An axis of a figure: from its data to the share of the panel's width or height, and back.
function axis({ limits: [a, b], log }) {
  const to = log ? Math.log : (v) => v, back = log ? Math.exp : (v) => v;
  return {
    share: (v) => (to(v) - to(a)) / (to(b) - to(a)),
    value: (s) => back(to(a) + s * (to(b) - to(a))),
  };
}

function hover(drawing) {
  const source = drawing.querySelector(":scope > script");
  if (!source) return;
  const panels = JSON.parse(source.textContent);
  const tip = report.make("div", drawing, "", { class: "tip", role: "status" });
  const cross = report.make("div", drawing, "", { class: "cross" });
  const marks = [];
  tip.hidden = cross.hidden = true;
  let place = null;  // the panel and what is pointed at, for the keyboard

  const clear = () => {
    tip.hidden = cross.hidden = true;
    while (marks.length) marks.pop().remove();
  };
  const show = (panel, x, y, lines, upright) => {
    const [left, top, right, bottom] = panel.box;
    const w = drawing.clientWidth, h = drawing.clientHeight;
    const px = (left + x * (right - left)) * w, py = (bottom - y * (bottom - top)) * h;
    tip.replaceChildren(...lines);
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(px + 12, w - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, py - tip.offsetHeight - 8)}px`;
    if (px + 12 + tip.offsetWidth > w) tip.style.left = `${Math.max(0, px - 12 - tip.offsetWidth)}px`;
    cross.hidden = !upright;
    Object.assign(cross.style, { left: `${px}px`, top: `${top * h}px`, width: "1px",
                                 height: `${(bottom - top) * h}px` });
    return [px, py];
  };
  const line = (text, colour) => {
    const made = document.createElement("div");
    if (colour) report.make("span", made, "", { class: "swatch", style: `background:${colour}` });
    made.append(text);
    return made;
  };

  function curves(panel, share) {
    const x = axis(panel.x), y = axis(panel.y), [left, top, right, bottom] = panel.box;
    clear();
    const value = x.value(share), rows = [];
    let at = share;
    for (const curve of panel.lines) {
      if (!curve.x.length) continue;
      let best = 0;
      curve.x.forEach((v, i) => {
        if (Math.abs(v - value) < Math.abs(curve.x[best] - value)) best = i;
      });
      if (!rows.length) at = x.share(curve.x[best]);
      rows.push([curve.y[best], curve, x.share(curve.x[best])]);
    }
    rows.sort((a, b) => b[0] - a[0]);
    const lines = rows.map(([v, curve]) => line(`${curve.label}: ${shortly(v)}`, curve.colour));
    show(panel, at, 0.98, [line(`${panel.x.label || "x"} ${shortly(x.value(at))}`), ...lines], true);
    for (const [v, curve, share] of rows) {
      const height = y.share(v);
      if (!(height >= 0 && height <= 1)) continue;
      const mark = report.make("div", drawing, "", { class: "point" });
      mark.style.left = `${(left + share * (right - left)) * drawing.clientWidth}px`;
      mark.style.top = `${(bottom - height * (bottom - top)) * drawing.clientHeight}px`;
      mark.style.background = curve.colour;
      marks.push(mark);
    }
    place = { panel, share: at };
  }

  function pixels(panel, column, row) {
    const { columns, rows, low, high, extent, values, label, digits } = panel.image;
    panel.bytes ??= report.bytes(values);
    const byte = panel.bytes[row * columns + column];
    const dx = (extent[1] - extent[0]) / columns, dy = (extent[3] - extent[2]) / rows;
    const x = extent[0] + (column + 0.5) * dx, y = extent[2] + (row + 0.5) * dy;
    const value = byte === 255 ? "–" : (low + (high - low) * byte / 254).toFixed(digits);
    clear();
    const named = (one, v) => `${one.label || ""} ${shortly(v)}`.trim();
    show(panel, axis(panel.x).share(x), axis(panel.y).share(y),
         [line(`${named(panel.x, x)}, ${named(panel.y, y)}`), line(`${label}: ${value}`)], false);
    place = { panel, column, row };
  }

  function pointed(fx, fy) {
    for (const panel of panels) {
      const [left, top, right, bottom] = panel.box;
      if (fx < left || fx > right || fy < top || fy > bottom) continue;
      const x = (fx - left) / (right - left), y = (bottom - fy) / (bottom - top);
      if (!panel.image) return curves(panel, x);
      const { extent, columns, rows } = panel.image;
      const c = (axis(panel.x).value(x) - extent[0]) / (extent[1] - extent[0]) * columns;
      const r = (axis(panel.y).value(y) - extent[2]) / (extent[3] - extent[2]) * rows;
      if (c >= 0 && r >= 0 && c < columns && r < rows)
        return pixels(panel, Math.floor(c), Math.floor(r));
    }
    clear();
  }
  drawing.addEventListener("pointermove", (e) => {
    const box = drawing.getBoundingClientRect();
    pointed((e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
  });
  drawing.addEventListener("pointerleave", clear);

  // The same by the arrow keys, where the figure has the focus.
  drawing.tabIndex = 0;
  drawing.addEventListener("blur", clear);
  drawing.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (e.key === "Escape") return clear();
    const move = step[e.key];
    if (!move || e.ctrlKey || e.metaKey || e.altKey) return;
    const panel = (place && place.panel) || panels[0];
    if (panel.image) {
      const { columns, rows, extent } = panel.image;
      const up = Math.sign((panel.y.limits[1] - panel.y.limits[0]) * (extent[3] - extent[2])) || 1;
      const inside = (v, n) => Math.max(0, Math.min(n - 1, v));
      const [c, r] = place ? [place.column + move[0], place.row + up * move[1]] : [0, 0];
      pixels(panel, inside(c, columns), inside(r, rows));
    } else {
      if (!move[0]) return;
      const x = axis(panel.x), longest = panel.lines.reduce((a, b) => (b.x.length > a.x.length ? b : a));
      const shares = longest.x.map(x.share);
      const now = place ? place.share : -1;
      const next = move[0] > 0 ? shares.filter((s) => s > now + 1e-9).sort((a, b) => a - b)[0]
                               : shares.filter((s) => s < now - 1e-9).sort((a, b) => b - a)[0];
      curves(panel, next ?? (place ? now : shares[0]));
    }
    e.preventDefault();
  });
}

// What scrolls sideways says so; what does not is no stop of the keyboard.
function scrolls() {
  for (const box of document.querySelectorAll(".scroll")) {
    const sideways = box.scrollWidth > box.clientWidth + 1;
    const watch = () => box.classList.toggle(
      "more", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
    if (sideways || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    box.onscroll = watch;
    watch();
  }
}

report.start = () => {
  theme();
  contents();
  tables();
  for (const figure of document.querySelectorAll("figure.plot")) {
    const drawing = figure.querySelector(".drawing");
    if (!drawing) continue;
    download(figure, drawing);
    hover(drawing);
  }
  for (const root of document.querySelectorAll("[data-component]")) {
    const data = JSON.parse(root.querySelector(":scope > script").textContent);
    report.components[root.dataset.component](root.querySelector(".place"), data);
  }
  scrolls();
  window.addEventListener("resize", scrolls);
};
