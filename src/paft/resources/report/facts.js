// Costs, settings, environment, failed cells, the paper's figures and how to run it again.
const COSTS = [
  ["training", (c) => duration(c.training.seconds)], ["processor time", (c) => duration(c.training.processor_seconds)],
  ["tokens trained on", (c) => whole(c.training.tokens)], ["steps", (c) => whole(c.training.steps)],
  ["examples", (c) => whole(c.training.examples)], ["epochs", (c) => plainNumber(c.training.epochs)],
  ["prompts", (c) => whole(c.training.prompts)], ["final loss", (c) => plainNumber(c.training.final_loss)],
  ["dropped", (c) => (c.training.dropped ? whole(c.training.dropped) : NONE)],
  ["choosing the prompt", (c) => duration(c.selection.seconds)], ["queries", (c) => whole(c.selection.queries)],
  ["calls", (c) => whole(c.selection.calls)], ["sweep", (c) => duration(c.sweep)],
  ["answers a second", (c) => (known(c.sweep) && c.sweep > 0 ? oneDecimal(c.cells / c.sweep) : NONE)],
  ["tokens generated", (c) => (c.tokens ? whole(c.tokens) : NONE)],
];

function costs(view, place) {
  const all = view.task.costs, kept = COSTS.filter(([, show]) => all.some((c) => show(c) !== NONE));
  const rows = view.methods.map((method, i) => el("tr", null, el("th", { scope: "row" }, methodName(method)),
    kept.map(([, show]) => number(show(all[i])))));
  place.append(framed("Costs of each method", [heading("method"), kept.map(([name]) => heading(name, true))], rows),
    el("p", { class: "caption" }, "Means over seeds. A sweep's time is that of all unseen prompts and examples, without loading the model; "
      + "tokens are counted where the model writes its answer."));
  const picks = view.methods.flatMap((method, i) => all[i].chosen.map((c) => el("tr", null, el("th", { scope: "row" }, methodName(method)),
    number(c.seeds.join(", ")), el("td", null, foreign(c.id)), el("td", { class: "wide-text" }, foreign(c.text)))));
  if (picks.length) {
    place.append(el("h3", null, "Prompts that were chosen"),
      framed("Prompts that were chosen", [heading("method"), heading("seeds", true), heading("id"), heading("text")], picks));
  }
}

function settings(view, place) {
  const different = (row) => new Set(row.values.filter((v) => v !== null)).size > 1;
  const rows = view.task.settings.filter(different).map((row) => el("tr", null, el("th", { scope: "row" }, foreign(row.key)),
    row.values.map((value) => el("td", { class: "setting" }, value === null ? NONE : foreign(value)))));
  const alike = view.task.settings.filter((row) => !different(row)).map((row) =>
    [el("dt", null, foreign(row.key)), el("dd", null, foreign(row.values.find((value) => value !== null)))]);
  if (rows.length) place.append(framed("Settings in which methods differ", [heading("setting"), view.methods.map((m) => heading(methodName(m)))], rows));
  if (alike.length) place.append(el("h3", null, "The same for every method that is trained"), el("dl", { class: "facts" }, alike));
  if (!view.task.settings.length) missing(place, "The records hold no settings.");
  for (const about of data.about) {
    const facts = about.environment.map(([key, value]) => [el("dt", null, foreign(key)), el("dd", null, foreign(value))]);
    if (facts.length) place.append(el("h3", null, "Environment"), el("dl", { class: "facts" }, facts));
    place.append(el("details", null, el("summary", null, "The whole configuration"), el("pre", { tabindex: "0" }, foreign(about.config))));
  }
}

function failures(view, place) {
  const columns = ["task", "method", "seed", "variant", "error"];
  const rows = data.failures.map((row) => el("tr", null, columns.map((key) => el("td", { class: key === "error" ? "wide-text" : null }, foreign(row[key])))));
  place.append(framed("Cells that failed", columns.map((key) => heading(key)), rows));
}

function rerun(view, place) {
  const commands = data.about.map((about) => about.command).filter(Boolean);
  if (!commands.length) return missing(place, "The command that made these records is not kept beside them.");
  place.append(el("pre", { class: "command", tabindex: "0" }, commands.map((text, i) => [i > 0 && "\n", foreign(text)])),
    el("p", { class: "caption" }, "Cells that are done are not done again. ", el("code", null, "paft report"), " makes this page again from the records."));
}

function paper(view, place) {
  const { source, model, tasks, rows, remarks } = data.paper;
  const cell = (score) => number([`${score[0].toFixed(2)} ± ${score[1].toFixed(2)}`, el("span", { class: "faint" }, `top ${plainNumber(score[2])}`)], { class: "number stacked" });
  place.append(el("p", null, `Table 1 of the paper (${source}): ${model}, 50 test prompts; mean ± std, and the share of prompts at or above `
    + "the threshold. Another model and other tasks than here, unless the settings say so: it shows where the paper stands, not what to expect."),
  framed("The paper's Table 1", [heading("method"), tasks.map((task) => heading(task, true))],
    rows.map((row) => el("tr", null, el("th", { scope: "row" }, row.method), row.scores.map(cell)))),
  el("details", null, el("summary", null, "What does not add up in the paper's figures"), el("ul", null, remarks.map((text) => el("li", null, text)))));
}
