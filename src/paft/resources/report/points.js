// Accuracy over prompts: a row of points for each method, joined by what is said about the prompt in hand.
const ROW = 82, MARGIN = { left: 12, right: 12, top: 6, bottom: 34 };

// Offsets from the middle of a row, so that points that would cover each other stand apart; pressed together where
// the row is too low for them.
function swarm(xs, radius) {
  const order = xs.map((_, i) => i).sort((a, b) => xs[a] - xs[b]), placed = [], ys = new Array(xs.length).fill(0);
  const most = ROW / 2 - 15;
  for (const i of order) {
    const near = placed.filter((j) => xs[i] - xs[j] < 2 * radius);
    let y = 0;
    for (let step = 0; step < 60; step++) {
      y = Math.ceil(step / 2) * radius * (step % 2 ? 1 : -1);
      if (near.every((j) => Math.hypot(xs[i] - xs[j], y - ys[j]) >= 1.7 * radius)) break;
    }
    ys[i] = y;
    placed.push(i);
  }
  const press = Math.min(1, most / Math.max(...ys.map(Math.abs), 1));
  return ys.map((y) => y * press);
}

function ticks(low, high, room) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25].find((s) => ((high - low) / s) * 46 < room) || 0.5;
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9; k++) out.push(k * step);
  return out;
}

function scale(view, width) {
  const all = view.present.flatMap((method) => method.accuracy);
  const low = Math.max(0, Math.min(...all) - 0.03), high = Math.min(1, Math.max(...all) + 0.03);
  const inner = width - MARGIN.left - MARGIN.right;
  return { low, high, x: (value) => MARGIN.left + ((value - low) / Math.max(high - low, 1e-9)) * inner };
}

function axis(range, height, width) {
  const bottom = height - MARGIN.bottom;
  return svg("g", { class: "axis", "aria-hidden": "true" },
    ticks(range.low, range.high, width).map((value) => [
      svg("line", { x1: range.x(value), x2: range.x(value), y1: MARGIN.top, y2: bottom }),
      svg("text", { x: range.x(value), y: bottom + 15, "text-anchor": "middle" }, plainNumber(Math.round(100 * value)))]),
    svg("text", { x: width - MARGIN.right, y: height - 3, "text-anchor": "end" }, "accuracy, %"));
}

function pointRow(view, method, row, range, radius) {
  const middle = MARGIN.top + row * ROW + ROW / 2 + 9, xs = method.accuracy.map(range.x), ys = swarm(xs, radius);
  const order = xs.map((_, p) => p).sort((a, b) => method.accuracy[a] - method.accuracy[b] || a - b);
  const points = order.map((p, rank) => svg("circle", {
    class: "point", cx: xs[p].toFixed(1), cy: (middle + ys[p]).toFixed(1), r: radius, role: "option",
    tabindex: rank === 0 ? 0 : -1, "aria-selected": "false", "data-prompt": p, "data-row": row,
    "aria-label": `${short(promptLine(view.prompts[p]), 160)}, ${percent(method.accuracy[p])} % by ${method.name}`,
  }));
  const at = range.x(mean(method.accuracy)).toFixed(1);
  return svg("g", { class: "row", vars: { "--m": method.colour }, role: "listbox", "aria-orientation": "horizontal",
    "aria-label": `${method.name}: ${count(order.length, "prompt")} by accuracy` },
    svg("line", { class: "base", x1: MARGIN.left, x2: range.x(range.high), y1: middle, y2: middle }), points,
    svg("line", { class: "mean", x1: at, x2: at, y1: middle - 24, y2: middle + 24 }),
    svg("text", { class: "name", x: MARGIN.left, y: middle - 33 }, method.name,
      svg("tspan", { class: "says" }, `   mean ${percent(method.numbers.mean)}, std ${percent(method.numbers.std)}`)));
}

function drawPoints(view, frame) {
  const width = Math.max(280, Math.round(frame.clientWidth || 720));
  const height = MARGIN.top + view.present.length * ROW + MARGIN.bottom, range = scale(view, width);
  const radius = view.prompts.length > 150 ? 3 : width < 500 ? 3.5 : 4.5;
  const thread = svg("polyline", { class: "thread" });
  const rows = view.present.map((method, row) => pointRow(view, method, row, range, radius));
  const figure = svg("svg", { class: "points", width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
    "aria-label": "Accuracy under each prompt, by method" }, axis(range, height, width), thread, rows);
  frame.replaceChildren(figure);
  const circles = rows.map((row) => {
    const found = new Array(view.prompts.length);
    for (const circle of row.querySelectorAll("circle")) found[circle.dataset.prompt] = circle;
    return found;
  });
  return { figure, thread, rows, circles };
}

// Arrow keys: left and right along a row, up and down to the same prompt of the next method.
function movePoint(drawn, circle, key) {
  const row = Number(circle.dataset.row), list = [...drawn.rows[row].querySelectorAll("circle")], at = list.indexOf(circle);
  const along = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: list.length - 1 }[key];
  const across = { ArrowDown: row + 1, ArrowUp: row - 1 }[key];
  const next = along !== undefined ? list[along] : drawn.circles[across] && drawn.circles[across][circle.dataset.prompt];
  if (!next) return;
  for (const other of drawn.rows[Number(next.dataset.row)].querySelectorAll("[tabindex='0']")) other.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

function nearest(drawn, event) {
  const box = drawn.figure.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = 16;
  for (const row of drawn.circles) for (const circle of row) {
    const away = Math.hypot(circle.getAttribute("cx") - x, circle.getAttribute("cy") - y);
    if (away < least) [best, least] = [circle, away];
  }
  return best;
}

// With no prompt in hand, the worst one of the method that it is about.
function readout(view, prompt) {
  const none = prompt === null, worstOne = view.focus.accuracy.indexOf(Math.min(...view.focus.accuracy));
  const shown = none ? worstOne : prompt, row = view.prompts[shown];
  return [none && el("p", { class: "missing" }, "The worst prompt of ", foreign(view.focus.name), ". Point at another or walk through them with "
    + "the arrow keys; a click or Enter keeps one in all pictures and tables."),
  el("p", { class: "prompt-id" }, foreign(row.id), row.origin && [" · ", foreign(row.origin)]), promptText(row),
    el("table", { class: "bars" }, el("tbody", null, view.present.map((method) => el("tr", null,
      el("th", { scope: "row" }, methodName(method)),
      el("td", null, el("span", { class: "bar", vars: { "--m": method.colour, "--share": method.accuracy[shown] } })),
      number(percent(method.accuracy[shown]))))))].filter(Boolean);
}

function points(view, place) {
  const frame = el("div", { class: "canvas" }), panel = el("div", { class: "readout", "aria-live": "polite" });
  place.append(el("div", { class: "beside" }, frame, panel));
  let drawn = drawPoints(view, frame);
  const say = (prompt) => {
    panel.replaceChildren(...readout(view, prompt));
    const chain = prompt === null ? [] : drawn.circles.map((row) => row[prompt]);
    drawn.thread.setAttribute("points", chain.map((c) => `${c.getAttribute("cx")},${c.getAttribute("cy")}`).join(" "));
    for (const circle of drawn.figure.querySelectorAll(".near")) circle.classList.remove("near");
    for (const circle of chain) circle.classList.add("near");
  };
  const mark = (prompt) => {
    for (const circle of drawn.figure.querySelectorAll("circle")) {
      circle.setAttribute("aria-selected", Number(circle.dataset.prompt) === prompt && prompt !== null);
    }
    say(prompt);
  };
  const target = (event) => (event.target.matches("circle") ? Number(event.target.dataset.prompt) : null);
  frame.addEventListener("pointermove", (event) => {
    const found = nearest(drawn, event);
    if (found) say(Number(found.dataset.prompt));
  });
  frame.addEventListener("pointerleave", () => say(chosen.prompt));
  frame.addEventListener("click", (event) => {
    const found = nearest(drawn, event);
    if (found) choose(Number(found.dataset.prompt));
  });
  frame.addEventListener("focusin", (event) => target(event) !== null && say(target(event)));
  frame.addEventListener("keydown", (event) => {
    if (target(event) === null) return;
    if (event.key === "Enter" || event.key === " ") choose(target(event));
    else if (event.key === "Escape" && chosen.prompt !== null) choose(chosen.prompt);
    else if (/^(Arrow|Home|End)/.test(event.key)) movePoint(drawn, event.target, event.key);
    else return;
    event.preventDefault();
  });
  chosen.heard.push(mark);
  mark(chosen.prompt);
  onResize(frame, () => { drawn = drawPoints(view, frame); mark(chosen.prompt); });
}
