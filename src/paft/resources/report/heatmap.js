// Right and wrong in every cell: a small picture for each method, errors in its colour.
function columnOrder(view, tables) {
  const n = view.columns.length, ease = new Float64Array(n);
  for (const right of tables) for (let i = 0; i < right.length; i++) ease[i % n] += right[i];
  return Array.from(ease.keys()).sort((a, b) => ease[b] - ease[a] || a - b);
}

// The colour of a style property as red, green and blue, whatever form the browser gives it.
function rgb(node, property) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = getComputedStyle(node)[property];
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data;
}

function paint(map) {
  const { canvas, right, rows, order } = map, n = order.length;
  canvas.width = n;
  canvas.height = rows.length;
  const pen = canvas.getContext("2d"), image = pen.createImageData(n, rows.length);
  const wrong = rgb(canvas, "color"); // what is right stays clear, so that the paper shows through, on screen and in print
  rows.forEach((p, y) => order.forEach((c, x) => {
    const share = right[p * n + c], at = 4 * (y * n + x);
    for (let k = 0; k < 3; k++) image.data[at + k] = wrong[k];
    image.data[at + 3] = 255 * (1 - share);
  }));
  pen.putImageData(image, 0, 0);
}

function cellText(view, map, row, column) {
  const p = map.rows[row], c = map.order[column], line = exampleLine(view, c);
  return [el("p", null, methodName(map.method), " · prompt ", foreign(view.prompts[p].id), ` (${percent(map.method.accuracy[p])} %) · example `,
    foreign(exampleId(view, c))),
  el("p", { class: "quote" }, foreign(short(promptLine(view.prompts[p]), 220))),
  line && el("p", { class: "quote" }, foreign(short(line, 300))),
  el("p", null, "Right: ", foreign(goldName(view, c)), ". Answered: ", answered(view, map.method, p, c))];
}

function heatmapFigure(view, map, panel) {
  const cursor = el("span", { class: "cursor", hidden: true }), { rows, order, canvas } = map;
  const show = (row, column) => {
    map.at = [Math.max(0, Math.min(rows.length - 1, row)), Math.max(0, Math.min(order.length - 1, column))];
    cursor.hidden = false;
    cursor.style.left = `${(100 * map.at[1]) / order.length}%`;
    cursor.style.top = `${(100 * map.at[0]) / rows.length}%`;
    cursor.style.width = `${100 / order.length}%`;
    cursor.style.height = `${100 / rows.length}%`;
    panel.classList.add("used");
    panel.replaceChildren(...cellText(view, map, ...map.at).filter(Boolean));
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    show(Math.floor(((event.clientY - box.top) / box.height) * rows.length),
      Math.floor(((event.clientX - box.left) / box.width) * order.length));
  };
  const frame = el("div", { class: "heatmap", tabindex: "0", role: "application", vars: { "--m": map.method.colour },
    "aria-label": `${map.method.name}: ${count(rows.length, "prompt")} by ${count(order.length, "example")}; arrow keys move`,
    on: {
      pointermove: point,
      pointerdown: point,
      focus: () => cursor.hidden && show(0, 0),
      blur: () => { cursor.hidden = true; },
      keydown: (event) => {
        const far = event.shiftKey ? 10 : 1, [row, column] = map.at || [0, 0];
        const step = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] }[event.key];
        if (!step) return;
        event.preventDefault();
        show(row + step[0], column + step[1]);
      },
    } }, canvas, cursor);
  return el("figure", { class: "map" }, el("figcaption", null, methodName(map.method), ` ${percent(map.method.numbers.mean)} %`), frame);
}

function heatmap(view, place) {
  if (!hasCells(view)) return missing(place, "Single answers are not kept for these prompts, or there are too many for this page.");
  const methods = view.present.filter((method) => method.runs.some((run) => run.correct));
  const tables = methods.map((method) => rightness(view, method)), order = columnOrder(view, tables);
  const panel = el("div", { class: "readout cell", "aria-live": "polite" },
    el("p", { class: "missing" }, "Point at a cell, or focus a picture and move with the arrow keys (with Shift by ten)."));
  const maps = methods.map((method, i) => {
    const rows = method.accuracy.map((_, p) => p).sort((a, b) => method.accuracy[b] - method.accuracy[a]);
    return { method, right: tables[i], rows, order, canvas: el("canvas", { "aria-hidden": "true" }) };
  });
  place.append(el("div", { class: "maps" }, maps.map((map) => heatmapFigure(view, map, panel))), panel);
  if (view.columns.length < view.sweep.total) {
    place.append(el("p", { class: "caption" }, `To keep the page small, ${whole(view.columns.length)} of ${whole(view.sweep.total)} examples `
      + "are shown here, evenly spaced; all numbers above are over all of them."));
  }
  const repaint = () => maps.forEach(paint);
  repaint();
  onScheme(repaint);
}
