// What is shown: a task, a set of prompts, all seeds or one. A view holds its numbers, worked out once.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { task: 0, sweep: 0, seed: null };
const SETS = new Map([
  ["unseen", "unseen prompts"],
  ["hostile", "hostile prompts"],
  ["train", "training prompts"],
  ["user", "the user's prompt"],
]);
const setName = (sweep) => SETS.get(sweep.name) || sweep.name;

// The runs of a method that are shown. One that has a single seed, such as base, stands beside every seed.
function runsShown(entry, seed) {
  if (!entry) return [];
  return seed === null || entry.runs.length === 1 ? entry.runs : entry.runs.filter((run) => run.seed === seed);
}

function makeView() {
  const task = data.tasks[state.task], sweep = task.sweeps[state.sweep];
  const methods = task.methods.map((method, index) => {
    const entry = sweep.methods[index], runs = runsShown(entry, state.seed);
    const accuracy = runs.length ? sweep.prompts.map((_, p) => mean(runs.map((run) => run.accuracy[p]))) : null;
    const numbers = runs.length === 0 ? null : runs.length === entry.runs.length ? entry.numbers : runs[0].numbers;
    return { ...method, index, runs, accuracy, numbers, difference: sweep.differences[index] };
  });
  const present = methods.filter((method) => method.accuracy);
  const focus = present.find((method) => method.index === task.focus) || present[present.length - 1];
  return { task, sweep, methods, present, focus, prompts: sweep.prompts, columns: sweep.columns };
}

const cellCount = (view) => view.prompts.length * view.columns.length;

function correct(view, run) {
  if (!run.correct) return null;
  run.correctTable ||= unpack(run.correct, 1, cellCount(view));
  return run.correctTable;
}

// Index of each answer plus one; 0 where no answer was found. Null where answers were not kept.
function answers(view, run) {
  if (!run.answers) return null;
  run.answerTable ||= unpack(run.answers, view.sweep.bits, cellCount(view));
  return run.answerTable;
}

const hasCells = (view) => view.columns.length > 0 && view.present.some((m) => m.runs.some((run) => run.correct));

// The share of seeds that are right in each cell of a method, prompts x examples.
function rightness(view, method) {
  const tables = method.runs.map((run) => correct(view, run)).filter(Boolean);
  const out = new Float32Array(cellCount(view));
  for (const table of tables) for (let i = 0; i < out.length; i++) out[i] += table[i] / tables.length;
  return out;
}

function answerName(task, index) {
  if (index < 0) return "no answer";
  return index < task.answers.length ? task.answers[index] : `answer ${index + 1}`;
}

function goldName(view, column) {
  const { examples } = view.task, e = view.columns[column];
  return examples.gold[e] >= 0 ? answerName(view.task, examples.gold[e]) : examples.right[e] || "not known";
}

const exampleId = (view, column) => view.task.examples.ids[view.columns[column]];
const exampleValues = (view, column) => view.task.examples.values && view.task.examples.values[view.columns[column]];

function exampleLine(view, column) {
  const values = exampleValues(view, column);
  return values ? [...new Set(values.filter((v) => v !== null))].map(oneLine).join(" · ") : "";
}

const plainPrompt = (prompt) =>
  (prompt.turns || []).map((turn) => turn.parts.map((part, i) => (i % 2 ? `{${part}}` : part)).join("")).join("\n");

const promptLine = (prompt) => (prompt.turns ? oneLine(plainPrompt(prompt)) : prompt.id);

// A template as it is written, each slot marked.
function promptText(prompt) {
  if (!prompt.turns) return el("p", { class: "missing" }, "The text of this prompt is not kept beside the records.");
  return el("div", { class: "template", tabindex: "0" }, prompt.turns.map((turn) => el("div", { class: "turn" },
    turn.role && el("span", { class: "role" }, turn.role),
    el("span", { dir: "auto", class: "isolated" },
      turn.parts.map((part, i) => (i % 2 ? el("span", { class: "slot" }, part) : part))))));
}

// A prompt is chosen in one place and marked in all of them.
const chosen = { prompt: null, heard: [] };
function choose(prompt) {
  chosen.prompt = prompt === chosen.prompt ? null : prompt;
  for (const heard of chosen.heard) heard(chosen.prompt);
}
