// What happens when one setting, or two, are varied: a line chart or a grid, and the numbers.
const AXES = new Map(data.axes.map(([key, label, nothing]) => [key, { label, nothing }]));
const settingName = (key) => (AXES.has(key) ? AXES.get(key).label : key);
const settingValue = (key, value) =>
  (typeof value === "number" ? plainNumber(value) : value === "null" ? (AXES.has(key) ? AXES.get(key).nothing : "none") : value);
const spread = (numbers) => `${percent(numbers.mean)} ± ${percent(numbers.std)}`;

const methodOf = (view, name) => view.methods.find((method) => method.name === name) || { name, colour: "#6e6e6e" };

function ablationTable(view, key, series) {
  const head = [heading("method"), heading(settingName(key), true), heading("mean", true), heading("std", true),
    heading("corrected std", true), heading("min", true), heading("seeds", true)];
  const rows = series.flatMap((one) => one.rows.map((row) => el("tr", null,
    el("th", { scope: "row" }, methodName(methodOf(view, one.method))),
    number([foreign(settingValue(key, row.values[0])), row.own && " *"]),
    ["mean", "std", "std_corrected", "min"].map((name) => number(percent(row.numbers[name]))), number(whole(row.seeds)))));
  return framed(settingName(key), head, rows);
}

// Evenly spaced on a log axis where the values span more than a factor of eight.
function xScale(values, left, right) {
  const low = Math.min(...values), high = Math.max(...values), log = low > 0 && high / low > 8;
  const f = log ? Math.log : (v) => v;
  return (v) => (high === low ? (left + right) / 2 : left + ((f(v) - f(low)) / (f(high) - f(low))) * (right - left));
}

function lineChart(view, key, series, name, label) {
  const width = 340, height = 190, rows = series.flatMap((one) => one.rows).filter((row) => known(row.numbers[name]));
  const values = [...new Set(rows.map((row) => row.values[0]))], seen = rows.map((row) => row.numbers[name]);
  if (values.length < 2 || values.some((value) => typeof value !== "number")) return null;
  const low = Math.max(0, Math.min(...seen) - 0.02), high = Math.min(1, Math.max(...seen) + 0.02);
  const x = xScale(values, 44, width - 16), y = (v) => 150 - ((v - low) / Math.max(high - low, 1e-9)) * 126;
  const lines = series.map((one) => {
    const known_ = one.rows.filter((row) => known(row.numbers[name])), method = methodOf(view, one.method);
    return svg("g", { class: "line", vars: { "--m": method.colour } },
      svg("polyline", { points: known_.map((row) => `${x(row.values[0]).toFixed(1)},${y(row.numbers[name]).toFixed(1)}`).join(" ") }),
      known_.map((row) => svg("circle", { cx: x(row.values[0]).toFixed(1), cy: y(row.numbers[name]).toFixed(1), r: 4 },
        svg("title", null, `${one.method}, ${settingValue(key, row.values[0])}: ${percent(row.numbers[name])} %`))));
  });
  const across = ticks(low, high, 240).map((v) => [svg("line", { x1: 44, x2: width - 16, y1: y(v), y2: y(v) }),
    svg("text", { x: 38, y: y(v) + 4, "text-anchor": "end" }, percent(v).replace(/\.0$/, ""))]);
  const under = values.map((v) => svg("text", { x: x(v), y: 168, "text-anchor": "middle" }, settingValue(key, v)));
  return el("figure", { class: "chart" }, el("figcaption", null, label), svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${label} against ${settingName(key)}; the numbers stand in the table` }, svg("g", { class: "axis" }, across, under,
      svg("text", { x: width - 16, y: 186, "text-anchor": "end" }, settingName(key))), lines));
}

function gridTable(view, keys, one) {
  const uniform = (i) => [...new Set(one.rows.map((row) => row.values[i]))];
  const cells = new Map(one.rows.map((row) => [JSON.stringify(row.values), row]));
  const cell = (row) => (row ? number([spread(row.numbers), row.own && " *"], { title: count(row.seeds, "seed") }) : number(NONE));
  const head = [heading(settingName(keys[0])), uniform(1).map((v) => heading([settingName(keys[1]), " = ", foreign(settingValue(keys[1], v))], true))];
  const rows = uniform(0).map((a) => el("tr", null, el("th", { scope: "row" }, foreign(settingValue(keys[0], a))),
    uniform(1).map((b) => cell(cells.get(JSON.stringify([a, b]))))));
  return [el("p", null, methodName(methodOf(view, one.method))), framed(`${one.method}: ${keys.join(" by ")}`, head, rows)];
}

function listTable(view, keys, one) {
  const rows = one.rows.map((row) => el("tr", null, row.values.map((v, i) => el("td", null, foreign(settingValue(keys[i], v)))),
    number(spread(row.numbers)), number(whole(row.seeds))));
  return [el("p", null, methodName(methodOf(view, one.method))),
    framed(one.method, [keys.map((key) => heading(settingName(key))), heading("mean ± std", true), heading("seeds", true)], rows)];
}

function ablations(view, place) {
  for (const { keys, where, series } of view.task.ablations) {
    place.append(el("h3", null, foreign(keys.map(settingName).join(" × "))));
    if (where) place.append(el("p", { class: "caption" }, foreign(where)));
    if (keys.length === 1) {
      const charts = [lineChart(view, keys[0], series, "mean", "mean accuracy, %"), lineChart(view, keys[0], series, "std", "std over prompts, %")];
      place.append(el("div", { class: "charts" }, charts), ablationTable(view, keys[0], series));
    } else for (const one of series) place.append(...(keys.length === 2 ? gridTable : listTable)(view, keys, one));
  }
  place.append(el("p", { class: "caption" }, "Unseen prompts, means over seeds, in %; * marks the comparison's own setting. All other settings of a table are alike."));
}
