// The table above the fold: each method's numbers and how far the focus is ahead of it.
const COLUMNS = [
  ["mean", "mean", 1], ["std", "std", -1], ["corrected std", "std_corrected", -1],
  ["min", "min", 1], ["5% quantile", "q05", 1], ["top", "top", 1],
];

function bestShown(methods, key, sign) {
  const values = methods.map((m) => percent(m.numbers[key])).filter((text) => text !== NONE).map(Number);
  if (new Set(values).size < 2) return null;
  return sign > 0 ? Math.max(...values) : Math.min(...values);
}

function differenceOf(view, method) {
  if (method.index === view.focus.index) return null;
  if (state.seed === null) return method.difference && method.difference.mean;
  return [view.focus.numbers.mean - method.numbers.mean, null, null];
}

const bare = (x) => signed(x).replace("+", "");

function forest(interval, [left, right]) {
  const x = (value) => 6 + ((value - left) / (right - left)) * 148;
  const [estimate, low, high] = interval;
  return svg("svg", { class: "forest", viewBox: "0 0 160 16", "aria-hidden": "true" },
    svg("line", { class: "zero", x1: x(0), x2: x(0), y1: -20, y2: 36 }),
    known(low) && svg("line", { class: "whisker", x1: x(low), x2: x(high), y1: 8, y2: 8 }),
    svg("circle", { cx: x(estimate), cy: 8, r: 3.5 }));
}

function overviewRow(view, method, best, reach) {
  const cells = COLUMNS.map(([, key], i) => {
    const text = percent(method.numbers[key]);
    return number(text, { "data-key": key, class: Number(text) === best[i] && best[i] !== null ? "number best" : "number" });
  });
  const interval = differenceOf(view, method);
  const says = interval && `${signed(interval[0])}${known(interval[1]) ? ` (${bare(interval[1])} to ${bare(interval[2])})` : ""}`;
  const name = el("th", { scope: "row" }, methodName(method));
  const gap = method.index === view.focus.index ? "" : says || NONE;
  return el("tr", { class: method.index === view.focus.index ? "focus" : null }, name, cells,
    el("td", { class: "number gap" }, gap), el("td", { class: "picture" }, interval && forest(interval, reach)));
}

function overview(view, place) {
  const best = COLUMNS.map(([, key, sign]) => bestShown(view.present, key, sign));
  const intervals = view.present.map((method) => differenceOf(view, method)).filter(Boolean);
  const ends = intervals.flat().filter(known), reach = [Math.min(-0.01, ...ends), Math.max(0.01, ...ends)];
  const top = `top ≥ ${plainNumber(100 * view.sweep.threshold)}`;
  const head = [heading("method"), COLUMNS.map(([text, key]) => heading(key === "top" ? top : text, true)),
    heading([foreign(view.focus.name), " minus this"], true), heading(el("span", { class: "hidden" }, "as a picture"))];
  const rows = view.present.map((method) => overviewRow(view, method, best, reach));
  place.append(framed("Numbers of each method", head, rows, { class: "overview" }), overviewNotes(view));
}

function overviewNotes(view) {
  const gone = view.methods.filter((method) => !method.accuracy).map((method) => method.name);
  const where = `the ${setName(view.sweep)}${state.seed === null ? "" : `, seed ${state.seed}`}`;
  const interval = state.seed === null
    ? " In brackets 95% intervals, paired, with prompts and examples drawn again, and seeds too from three on."
    : " Intervals are given for all seeds together.";
  return el("p", { class: "caption" },
    `In %, over ${where}. The standard deviation is over prompts; the corrected one leaves out the noise of finitely `,
    "many examples. Best of each column in bold; differences are of the means.", interval,
    gone.length > 0 && [" Not measured here: ", foreign(gone.join(", ")), "."]);
}

function summaryLine(view) {
  const { sweep, task } = view, seeds = new Set(task.methods.flatMap((m) => m.seeds)).size;
  return [`${count(sweep.prompts.length, "prompt")} × ${count(sweep.total, "example")} (`, foreign(sweep.split), ", ",
    foreign(sweep.scoring), `), ${count(view.present.length, "method")}, ${count(seeds, "seed")}. Model: `,
    foreign(task.models.join(", ")), ". ", foreign(task.description)];
}
