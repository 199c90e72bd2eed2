"use strict";
// Charts in SVG, drawn anew at each width, so that their text keeps its size. No library, no request.
const DATA = JSON.parse(document.getElementById("data").textContent);
for (const target of Object.values(DATA.problems).flatMap(p => Object.values(p.times).flat()))
  for (const m in target) target[m] = Object.fromEntries(DATA.keys.map((key, i) => [key, target[m][i]]));
const dark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
const chosen = new Set(DATA.methods.filter(m => m.first).map(m => m.name));
const byName = Object.fromEntries(DATA.methods.map(m => [m.name, m]));
const state = {against: "gradient_equivalents", upwards: "way", target: null, log: true};
const color = m => dark.matches && !printing ? m.dark : m.light;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function node(tag, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

function short(x) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(x) >= size) return +(x / size).toPrecision(3) + letter;
  return String(+x.toPrecision(3));
}

// ---- scales: a function from data to pixels, with its ticks

function logScale(low, high, from, to) {
  const a = Math.log10(low), b = Math.log10(high);
  const scale = x => from + (to - from) * (Math.log10(Math.max(x, 1e-12)) - a) / (b - a || 1);
  scale.back = p => 10 ** (a + (b - a) * (p - from) / (to - from));
  const ticks = (steps) => {
    const found = [];
    for (let e = Math.floor(a); e <= Math.ceil(b); e++)
      for (const s of steps) if (s * 10 ** e >= low * 0.999 && s * 10 ** e <= high * 1.001) found.push(s * 10 ** e);
    return found;
  };
  const room = Math.max(2, Math.abs(to - from) / 55);
  scale.ticks = [[1, 2, 5], [1, 3], [1]].map(ticks).find(t => t.length <= room && t.length > 1) ?? ticks([1]).filter((_, i) => i % 2 === 0);
  return scale;
}

function linearScale(low, high, from, to) {
  const scale = x => from + (to - from) * (x - low) / (high - low || 1);
  scale.back = p => low + (high - low) * (p - from) / (to - from);
  const rough = (high - low) / Math.max(2, Math.abs(to - from) / 60), size = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map(s => s * size).find(s => s >= rough) ?? size;
  scale.ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high + 1e-9; t += step) scale.ticks.push(+t.toPrecision(6));
  return scale;
}

const LOWEST = -0.05, HIGHEST = 0.995;
const left = s => -Math.log10(1 - Math.min(Math.max(s, LOWEST), HIGHEST));

// ---- what all line charts share

function spread(heights, least, top, bottom) {
  const blocks = [];
  heights.forEach((y, i) => {
    blocks.push([y - i * least, 1]);
    while (blocks.length > 1 && blocks.at(-2)[0] > blocks.at(-1)[0]) {
      const [b, m] = blocks.pop(), [a, n] = blocks.pop();
      blocks.push([(n * a + m * b) / (n + m), n + m]);
    }
  });
  const most = bottom - (heights.length - 1) * least;
  return blocks.flatMap(([y, n]) => Array(n).fill(Math.min(Math.max(y, top), Math.max(most, top)))).map((y, i) => y + i * least);
}

const stepAt = (line, x) => {
  let low = 0, high = line.x.length;
  while (low < high) { const middle = (low + high) >> 1; if (line.x[middle] <= x) low = middle + 1; else high = middle; }
  return low - 1;
};

function path(line, sx, sy) {
  let text = `M${sx(line.x[0]).toFixed(1)} ${sy(line.y[0]).toFixed(1)}`;
  for (let i = 1; i < line.x.length; i++) text += `H${sx(line.x[i]).toFixed(1)}V${sy(line.y[i]).toFixed(1)}`;
  return text;
}

function band(line, sx, sy) {
  const there = [], back = [];
  for (let i = 0; i < line.x.length; i++) {
    if (line.low[i] === null || line.high[i] === null) continue;
    const x0 = sx(line.x[i]), x1 = sx(line.x[Math.min(i + 1, line.x.length - 1)]);
    there.push(`${x0.toFixed(1)} ${sy(line.high[i]).toFixed(1)}`, `${x1.toFixed(1)} ${sy(line.high[i]).toFixed(1)}`);
    back.push(`${x0.toFixed(1)} ${sy(line.low[i]).toFixed(1)}`, `${x1.toFixed(1)} ${sy(line.low[i]).toFixed(1)}`);
  }
  return there.length > 2 ? `M${there.join("L")}L${back.reverse().join("L")}Z` : "";
}

// lines: {method, x, y, low, high}. spec: scales, labels, what the tip says.
function lineChart(place, spec) {
  const width = Math.max(260, place.clientWidth), narrow = width < 520;
  const height = spec.height ?? (narrow ? 330 : 360);
  const longest = Math.max(...spec.lines.map(l => byName[l.method].label.length), 4);
  const right = Math.min(narrow ? 96 : 150, 18 + longest * 6.6), bottom = 44, topEdge = 12;
  const leftEdge = spec.leftEdge(narrow);
  const sx = spec.x(leftEdge, width - right), sy = spec.y(height - bottom, topEdge);
  const svg = node("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", tabindex: 0, "aria-label": spec.words});
  const clip = `clip${Math.random().toString(36).slice(2)}`;
  node("rect", {x: leftEdge, y: topEdge - 4, width: width - right - leftEdge, height: height - bottom - topEdge + 6},
       node("clipPath", {id: clip}, node("defs", {}, svg)));
  for (const t of sx.ticks) {
    node("line", {x1: sx(t), x2: sx(t), y1: topEdge, y2: height - bottom, stroke: "var(--grid)"}, svg);
    node("text", {x: sx(t), y: height - bottom + 16, "text-anchor": "middle"}, svg, spec.xText(t));
  }
  for (const t of spec.yTicks(sy)) {
    const strong = spec.strong?.(t);
    node("line", {x1: leftEdge, x2: width - right, y1: sy(t), y2: sy(t), stroke: strong ? "var(--rest)" : "var(--grid)", "stroke-width": strong ? 1.6 : 1}, svg);
    node("text", {x: leftEdge - 6, y: sy(t) + 4, "text-anchor": "end"}, svg, spec.yText(t, narrow));
  }
  node("text", {x: (leftEdge + width - right) / 2, y: height - 6, "text-anchor": "middle", class: "soft"}, svg, spec.xLabel);
  const inside = node("g", {"clip-path": `url(#${clip})`}, svg);
  const order = [...spec.lines].sort((a, b) => chosen.has(a.method) - chosen.has(b.method)
    || DATA.methods.indexOf(byName[b.method]) - DATA.methods.indexOf(byName[a.method]));
  for (const line of order) {
    const m = byName[line.method], on = chosen.has(line.method), own = on ? color(m) : css("--rest");
    if (on && line.low) node("path", {d: band(line, sx, sy), fill: own, opacity: 0.13}, inside);
    node("path", {d: path(line, sx, sy), fill: "none", stroke: own, "stroke-width": on ? 2.2 : 1, "stroke-dasharray": on ? m.dash : "",
                  opacity: on ? 1 : 0.75, "data-method": line.method}, inside);
  }
  names(svg, spec.lines, sy, width - right, topEdge, height - bottom, right);
  place.replaceChildren(svg);
  pointer(place, svg, spec, sx, sy, {width, height, right, bottom, topEdge, leftEdge});
}

function names(svg, lines, sy, at, topEdge, bottomEdge, right) {
  const least = 14, room = Math.max(1, Math.floor((bottomEdge - topEdge) / least) + 1);
  const ends = lines.map(l => ({m: byName[l.method], y: sy(l.y.at(-1)), on: chosen.has(l.method)}));
  const kept = [...ends].sort((a, b) => b.on - a.on).slice(0, room).sort((a, b) => a.y - b.y);
  const heights = spread(kept.map(e => e.y), least, topEdge, bottomEdge);
  const most = Math.max(4, Math.floor((right - 18) / 6.2));
  kept.forEach((end, i) => {
    const own = end.on ? color(end.m) : css("--name"), words = end.m.label;
    node("line", {x1: at + 1, y1: end.y, x2: at + 12, y2: heights[i], stroke: own, "stroke-width": 0.8}, svg);
    node("text", {x: at + 15, y: heights[i] + 4, style: `fill:${own}`}, svg, words.length > most ? words.slice(0, most - 1) + "\u2026" : words);
  });
}

// Under the pointer, or moved by the arrow keys: what every method in colour had come to by then.
function pointer(place, svg, spec, sx, sy, box) {
  const cursor = node("line", {y1: box.topEdge, y2: box.height - box.bottom, stroke: "var(--soft)", "stroke-dasharray": "2 2", visibility: "hidden"}, svg);
  const tip = document.createElement("div");
  tip.className = "tip"; tip.hidden = true; tip.setAttribute("role", "status");
  place.append(tip);
  let at = null;
  const show = px => {
    at = Math.min(Math.max(px, box.leftEdge), box.width - box.right);
    const x = sx.back(at);
    cursor.setAttribute("x1", at); cursor.setAttribute("x2", at); cursor.setAttribute("visibility", "visible");
    const rows = spec.lines.filter(l => chosen.has(l.method)).map(l => [l, stepAt(l, x)]).filter(([, i]) => i >= 0)
      .sort(([a, i], [b, j]) => b.y[j] - a.y[i]);
    tip.replaceChildren(Object.assign(document.createElement("b"), {textContent: spec.tipHead(x)}));
    for (const [line, i] of rows) {
      const row = document.createElement("div"), dot = document.createElement("span");
      dot.textContent = "\u25cf "; dot.style.color = color(byName[line.method]);
      row.append(dot, `${byName[line.method].label}: ${spec.tip(line, i)}`);
      tip.append(row);
    }
    tip.hidden = false;
    const half = at > box.width / 2;
    tip.style.top = "8px"; tip.style.left = half ? "" : `${at + 12}px`; tip.style.right = half ? `${place.clientWidth - at + 12}px` : "";
  };
  const hide = () => { tip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
  svg.addEventListener("pointermove", e => show((e.clientX - svg.getBoundingClientRect().left) * box.width / svg.getBoundingClientRect().width));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", e => {
    const step = {ArrowLeft: -12, ArrowRight: 12}[e.key];
    if (e.key === "Escape") hide();
    if (step === undefined) return;
    e.preventDefault();
    show((at ?? box.leftEdge) + step);
  });
}

// ---- the page's charts

function curves(place, name) {
  const p = DATA.problems[name], own = p.curves[state.against] ?? {};
  const lines = DATA.methods.filter(m => own[m.name]).map(m => {
    const [x, y, low, high] = own[m.name];
    return {method: m.name, x, y, low, high};
  });
  if (!lines.length) { place.textContent = "No curve: no method came further than the start."; return; }
  const [start, top] = p.way, value = s => p.factor * (start + s * (top - start));
  const text = s => `${value(s).toFixed(p.digits)}${p.unit}`;
  const metric = state.upwards === "metric";
  const xs = lines.flatMap(l => l.x), first = Math.min(...xs), last = Math.max(...xs);
  const shares = lines.flatMap(l => l.y);
  const [low, high] = [Math.max(Math.min(...shares), -0.3), Math.max(...shares)];
  const ticks = [0, 0.5, 0.8, 0.9, 0.95, 0.99];
  lineChart(place, {
    lines,
    words: `${name}: share of the way to the best against ${DATA.axes[state.against].label}, a line a method. Arrow keys move the cursor.`,
    x: (a, b) => state.log ? logScale(first, Math.max(last, first * 1.01), a, b) : linearScale(0, last, a, b),
    y: (a, b) => {
      if (metric) return linearScale(low - 0.03 * (high - low), high + 0.03 * (high - low), a, b);
      const scale = s => a + (b - a) * (left(s) + 0.03) / (2.33);
      scale.ticks = ticks;
      return scale;
    },
    yTicks: sy => metric ? linearScale(value(low), value(high), 0, 300).ticks.map(v => (v / p.factor - start) / (top - start)) : ticks,
    yText: (s, narrow) => metric ? String(+value(s).toPrecision(4)) : narrow ? `${Math.round(100 * s)} %` : `${Math.round(100 * s)} %  (${value(s).toFixed(p.digits)})`,
    strong: s => !metric && s === 0.95,
    leftEdge: narrow => metric ? 46 : narrow ? 42 : 96,
    xText: short, xLabel: DATA.axes[state.against].label,
    tipHead: x => `${short(x)} ${DATA.axes[state.against].name}`,
    tip: (l, i) => `${text(l.y[i])}` + (l.low[i] !== null && l.high[i] !== null ? ` (${text(l.low[i])} to ${text(l.high[i])})` : "") + `; ${Math.round(100 * l.y[i])}\u00a0%`,
  });
}

function profileChart(place) {
  const lines = DATA.methods.filter(m => DATA.profile[m.name]).map(m => ({method: m.name, x: [...DATA.profile[m.name][0]], y: [...DATA.profile[m.name][1]]}));
  if (!lines.length) { place.textContent = "No profile: it needs two methods, one of which reaches a target."; return; }
  const last = Math.max(...lines.flatMap(l => l.x)) * 1.2;
  for (const l of lines) { l.x.push(last); l.y.push(l.y.at(-1)); }
  lineChart(place, {
    lines,
    words: "Performance profile: share of targets that a method reached within a factor of the fastest method's time.",
    x: (a, b) => logScale(1, Math.max(last, 1.5), a, b), y: (a, b) => linearScale(-0.02, 1.02, a, b),
    yTicks: () => [0, 0.2, 0.4, 0.6, 0.8, 1], yText: s => `${Math.round(100 * s)} %`,
    leftEdge: () => 48, xText: x => `${short(x)}x`, xLabel: "time over that of the fastest method (times)",
    tipHead: x => `within ${short(x)} times the fastest`, tip: (l, i) => `${Math.round(100 * l.y[i])} % of targets`,
  });
}

function targetOf(p) {
  const headline = p.targets.findIndex(t => t.headline);
  const wanted = state.target;
  if (wanted === null) return headline;
  const found = p.targets.findIndex((t, i) => t.share === null ? i === Math.min(wanted, p.targets.length - 1) : t.share === SHARES[wanted]);
  return found >= 0 ? found : headline;
}

const SHARES = [...new Set(Object.values(DATA.problems).flatMap(p => p.targets.map(t => t.share)))].filter(s => s !== null).sort();

function timeChart(place, name) {
  const p = DATA.problems[name], i = targetOf(p), all = p.times[state.against]?.[i];
  if (!all) { place.textContent = "No target: no run came to an end."; return; }
  const rows = DATA.methods.filter(m => all[m.name]).map(m => ({m, ...all[m.name]}));
  rows.sort((a, b) => (a.bound !== "") - (b.bound !== "") || (a.at ?? Infinity) - (b.at ?? Infinity));
  const width = Math.max(260, place.clientWidth), row = 21, topEdge = 4, bottom = 40;
  const most = width < 520 ? 15 : 30, label = m => m.label.length > most ? m.label.slice(0, most - 1) + "\u2026" : m.label;
  const leftEdge = 14 + 6.9 * Math.max(...rows.map(r => label(r.m).length)), right = 62;
  const height = topEdge + row * rows.length + bottom;
  const known = rows.flatMap(r => [r.at, r.low, r.high]).filter(v => v !== null && v > 0);
  const low = Math.min(...known, Infinity), high = Math.max(...known, 0);
  const sx = known.length ? logScale(low / 1.3, Math.max(high, low * 1.5) * 1.3, leftEdge, width - right) : logScale(1, 10, leftEdge, width - right);
  const goal = p.targets[i], words = `${(p.factor * goal.value).toFixed(p.digits)}${p.unit}` + (goal.share === null ? "" : `, ${Math.round(100 * goal.share)} % of the way`);
  const svg = node("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${name}: ${DATA.axes[state.against].label} until ${words}, a row a method. The same numbers stand in the table of results.`});
  rows.forEach((_, y) => y % 2 === 0 && node("rect", {x: 0, y: topEdge + y * row, width, height: row, fill: "var(--grid)", opacity: 0.45}, svg));
  for (const t of sx.ticks) {
    node("line", {x1: sx(t), x2: sx(t), y1: topEdge, y2: height - bottom, stroke: "var(--grid)"}, svg);
    node("text", {x: sx(t), y: height - bottom + 16, "text-anchor": "middle"}, svg, short(t));
  }
  node("text", {x: (leftEdge + width - right) / 2, y: height - 5, "text-anchor": "middle", class: "soft"}, svg, DATA.axes[state.against].label);
  rows.forEach((r, y) => {
    const middle = topEdge + (y + 0.5) * row, on = chosen.has(r.m.name), own = on ? color(r.m) : css("--rest"), edge = width - right;
    node("text", {x: leftEdge - 8, y: middle + 4, "text-anchor": "end", style: `fill:${on ? color(r.m) : css("--name")}`}, svg, label(r.m));
    const g = node("g", {"data-row": r.m.name}, svg);
    if (r.low !== null) {
      const end = r.open ? edge : sx(r.high);
      node("line", {x1: sx(r.low), x2: end, y1: middle, y2: middle, stroke: own, "stroke-width": r.interval ? 2.4 : 1.2}, g);
      if (r.open) node("path", {d: `M${edge} ${middle - 4}l6 4l-6 4Z`, fill: own}, g);
    }
    const text = r.of === 0 ? "failed" : r.bound === ">" ? `> ${short(r.at)}` : short(r.at);
    if (r.at !== null) {
      if (r.bound === ">") node("path", {d: `M${sx(r.at) - 4} ${middle - 5}l9 5l-9 5Z`, fill: css("--card"), stroke: own, "stroke-width": 1.5}, g);
      else node("circle", {cx: sx(r.at), cy: middle, r: 4.6, fill: own}, g);
    }
    node("text", {x: width - 2, y: middle + 4, "text-anchor": "end"}, svg, text);
    const kind = r.low === null ? "a single seed" : `${r.interval ? "95 % interval" : "range of the seeds"} ${short(r.low)} to ${r.open ? "no end" : short(r.high)}`;
    node("title", {}, g, `${r.m.label}: ${text} (${kind}); ${r.there} of ${r.of} runs got there` + (r.failed ? `; ${r.failed} failed` : ""));
  });
  place.replaceChildren(svg);
  place.closest("article").querySelector(".goal").textContent = words;
}

// ---- menus and toggles

function drawAll() {
  for (const place of document.querySelectorAll(".chart")) draw(place);
}

function draw(place) {
  const kind = place.dataset.chart, name = place.dataset.problem;
  ({profile: profileChart, curves, times: timeChart})[kind](place, name);
}

function menus() {
  const target = document.getElementById("target");
  const several = SHARES.length ? SHARES.map(s => `${Math.round(100 * s)} % of the way`)
    : Object.values(DATA.problems)[0]?.targets.map((t, i) => `target ${i + 1}`) ?? [];
  several.forEach((words, i) => target.add(new Option(words, i)));
  const headline = SHARES.length ? SHARES.indexOf(0.95) : several.length - 1;
  target.value = String(Math.max(headline, 0));
  state.target = Number(target.value);
  target.addEventListener("change", () => { state.target = Number(target.value); drawAll(); });
  for (const key of ["against", "upwards"])
    document.getElementById(key).addEventListener("change", e => { state[key] = e.target.value; drawAll(); });
  document.getElementById("log").addEventListener("change", e => { state.log = e.target.checked; drawAll(); });
  const place = document.getElementById("methods");
  for (const m of DATA.methods) {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = m.label; button.dataset.method = m.name;
    button.setAttribute("aria-pressed", chosen.has(m.name));
    button.addEventListener("click", () => {
      if (!chosen.delete(m.name)) chosen.add(m.name);
      button.setAttribute("aria-pressed", chosen.has(m.name));
      drawAll();
    });
    place.append(button);
  }
}

function paint() {
  for (const button of document.querySelectorAll("#methods button")) button.style.setProperty("--own", color(byName[button.dataset.method]));
  drawAll();
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => {
      const text = row.cells[column].textContent.trim();
      const number = parseFloat(text.replace(/[,><~\s]/g, ""));
      return Number.isNaN(number) ? text.toLowerCase() : number;
    };
    const before = (a, b) => {
      const x = key(a), y = key(b);
      if (typeof x === typeof y) return x < y ? -1 : x > y ? 1 : 0;
      return typeof x === "number" ? -1 : 1;
    };
    const rows = [...table.tBodies[0].rows].sort(before);
    if (down) rows.reverse();
    table.tBodies[0].append(...rows);
  }));
}

document.querySelectorAll("table.sortable").forEach(sortable);
if (DATA.methods.length) {
  document.querySelectorAll("[data-script]").forEach(part => part.hidden = false);
  menus();
  paint();
  dark.addEventListener("change", paint);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
  document.querySelectorAll("details").forEach(part => part.addEventListener("toggle", () => part.querySelectorAll(".chart").forEach(draw)));
  addEventListener("beforeprint", () => { printing = true; document.querySelectorAll("details").forEach(d => d.open = true); paint(); });
  addEventListener("afterprint", () => { printing = false; paint(); });
}
document.querySelectorAll("button.copy").forEach(button => button.addEventListener("click", async () => {
  await navigator.clipboard?.writeText(document.getElementById(button.dataset.of).textContent);
  button.textContent = "Copied";
}));
