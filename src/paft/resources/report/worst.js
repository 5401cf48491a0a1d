// The worst prompts of each method, and what the model answered there instead.
const WORST = 3, SHOWN_EXAMPLES = 4;

// How often each answer was given and was right, over examples and seeds; null where answers were not kept.
function answerCounts(view, method, prompt) {
  const n = view.columns.length, given = new Map(), right = new Map(), swaps = new Map();
  const tables = method.runs.map((run) => answers(view, run)).filter(Boolean);
  if (!tables.length) return null;
  const add = (map, key) => map.set(key, (map.get(key) || 0) + 1);
  for (const table of tables) for (let c = 0; c < n; c++) {
    const answer = table[prompt * n + c] - 1, gold = view.task.examples.gold[view.columns[c]];
    add(given, answer);
    add(right, gold);
    if (answer !== gold && gold >= 0) add(swaps, gold * 1000 + answer + 1);
  }
  return { given, right, swaps, total: tables.length * n, seeds: tables.length };
}

function answerTable(view, counts) {
  const names = [...new Set([...counts.right.keys(), ...counts.given.keys()])].filter((a) => a >= 0).sort((a, b) => a - b);
  if (counts.given.has(-1)) names.push(-1);
  const share = (map, answer) => (map.get(answer) || 0) / counts.total;
  const cell = (value, kind) => el("td", { class: "number" }, el("span", { class: `bar ${kind}`, vars: { "--share": value } }), percent(value));
  const rows = names.map((answer) => el("tr", null, el("th", { scope: "row" }, foreign(answerName(view.task, answer))),
    cell(share(counts.given, answer), "given"), cell(share(counts.right, answer), "right")));
  return el("table", { class: "answers" }, el("caption", null, "Answers under this prompt, in %"),
    el("thead", null, el("tr", null, heading("answer"), heading("given", true), heading("right", true))), el("tbody", null, rows));
}

function swapLine(view, counts) {
  const most = [...counts.swaps].sort((a, b) => b[1] - a[1]).slice(0, 3);
  if (!most.length) return null;
  return el("p", null, "Most often: ", most.map(([key, times], i) => [i ? "; " : "",
    foreign(answerName(view.task, (key % 1000) - 1)), " instead of ", foreign(answerName(view.task, Math.floor(key / 1000))),
    ` (${percent(times / counts.total)} % of the examples)`]), ".");
}

// Examples that most seeds get wrong under this prompt, those first that the other prompts get right.
function wrongExamples(view, method, prompt, right) {
  const n = view.columns.length, found = [];
  for (let c = 0; c < n; c++) {
    if (right[prompt * n + c] > 0.5) continue;
    let elsewhere = 0;
    for (let p = 0; p < view.prompts.length; p++) elsewhere += right[p * n + c];
    found.push([c, elsewhere / view.prompts.length - right[prompt * n + c]]);
  }
  return found.sort((a, b) => b[1] - a[1]).slice(0, SHOWN_EXAMPLES).map(([c]) => c);
}

// What a method answered in one cell, over its seeds: "number (2 of 3 seeds), person (1 of 3)".
function answered(view, method, prompt, column) {
  const at = prompt * view.columns.length + column, found = new Map();
  for (const run of method.runs) {
    const given = answers(view, run), right = correct(view, run);
    if (!right) continue;
    const text = given ? answerName(view.task, given[at] - 1) : right[at] ? "right" : "wrong";
    const entry = found.get(text) || [0, right[at]];
    found.set(text, [entry[0] + 1, right[at]]);
  }
  const all = method.runs.length;
  return [...found].sort((a, b) => b[1][0] - a[1][0]).map(([text, [times, right]]) =>
    el("span", { class: right ? "said right" : "said wrong" }, el("span", { "aria-hidden": "true" }, right ? "✓ " : "✗ "),
      el("span", { class: "hidden" }, right ? "right: " : "wrong: "), foreign(text), all > 1 && ` (${times} of ${all} seeds)`));
}

function exampleList(view, method, prompt, right) {
  const found = wrongExamples(view, method, prompt, right);
  if (!found.length) return el("p", { class: "missing" }, "No example is wrong for most seeds.");
  return el("ul", { class: "examples" }, found.map((c) => el("li", null,
    el("span", { class: "quote" }, foreign(short(exampleLine(view, c) || exampleId(view, c), 300))),
    el("span", { class: "told" }, "right: ", foreign(goldName(view, c)), ". Answered: ", answered(view, method, prompt, c)))));
}

function worstPrompt(view, method, prompt, right) {
  const counts = hasCells(view) ? answerCounts(view, method, prompt) : null;
  const best = method.accuracy.indexOf(Math.max(...method.accuracy));
  return el("article", { class: "worst" },
    el("h4", null, `${percent(method.accuracy[prompt])} %`, el("span", { class: "prompt-id" }, " ", foreign(view.prompts[prompt].id))),
    promptText(view.prompts[prompt]),
    counts ? [answerTable(view, counts), swapLine(view, counts)]
      : el("p", { class: "missing" }, "Which answers were given is not kept for this method."),
    right && [el("h5", null, "Wrong here, mostly right under other prompts"), exampleList(view, method, prompt, right)],
    right && best !== prompt && button("Compare with its best prompt, side by side", () => compareWordings(best, prompt, method.index), { class: "link" }));
}

function worst(view, place) {
  const ordered = [view.focus, ...view.present.filter((method) => method !== view.focus)];
  for (const method of ordered) {
    const order = method.accuracy.map((_, p) => p).sort((a, b) => method.accuracy[a] - method.accuracy[b]).slice(0, WORST);
    const details = el("details", { open: method === view.focus },
      el("summary", null, methodName(method), ` worst ${percent(method.accuracy[order[0]])} %, mean ${percent(method.numbers.mean)} %`));
    const fill = () => {
      if (details.children.length > 1) return;
      const right = hasCells(view) && method.runs.some((run) => run.correct) ? rightness(view, method) : null;
      details.append(el("div", { class: "worsts" }, order.map((p) => worstPrompt(view, method, p, right))));
    };
    if (details.open) fill();
    else later.push(fill);
    details.addEventListener("toggle", fill);
    place.append(details);
  }
}
