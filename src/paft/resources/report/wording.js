// One example under two wordings: the prompts as the model met them, what differs, and the answers.
const LONGEST_DIFF = 1500; // words; the table of a longest common subsequence grows with the square

const FEW_WORDS = 3;

const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];

// The rendered turns of a prompt; a value is inserted as it is and never read as a template.
function rendered(view, prompt, column) {
  const values = exampleValues(view, column), slots = view.task.examples.slots;
  return (view.prompts[prompt].turns || []).map((turn) => ({ role: turn.role, text: turn.parts.map((part, i) => {
    if (i % 2 === 0) return part;
    const at = slots.indexOf(part), value = values && at >= 0 ? values[at] : null;
    return value === null ? `{${part}}` : value;
  }).join("") }));
}

const oneText = (turns) => turns.map((turn) => (turn.role ? `[${turn.role}]\n` : "") + turn.text).join("\n");

// [kind, text] pieces of a longest common subsequence of words; kind is "same", "del" (only a) or "ins" (only b).
function wordDiff(a, b) {
  const n = a.length, m = b.length, length = new Uint16Array((n + 1) * (m + 1)), out = [];
  for (let i = n - 1; i >= 0; i--) for (let j = m - 1; j >= 0; j--) {
    const at = i * (m + 1) + j;
    length[at] = a[i] === b[j] ? length[at + m + 2] + 1 : Math.max(length[at + m + 1], length[at + 1]);
  }
  const add = (kind, word) => {
    if (out.length && out[out.length - 1][0] === kind) out[out.length - 1][1] += word;
    else out.push([kind, word]);
  };
  let i = 0, j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[i] === b[j]) { add("same", a[i]); i++; j++; }
    else if (j === m || (i < n && length[(i + 1) * (m + 1) + j] >= length[i * (m + 1) + j + 1])) add("del", a[i++]);
    else add("ins", b[j++]);
  }
  return out;
}

function diffed(one, other) {
  const a = wordsOf(one), b = wordsOf(other);
  if (a.length > LONGEST_DIFF || b.length > LONGEST_DIFF) return null;
  return wordDiff(a, b);
}

function side(label, view, prompt, text, pieces, kind) {
  const parts = pieces ? pieces.filter(([k]) => k === "same" || k === kind) : [["same", text]];
  return el("article", { class: "side" }, el("h3", null, label, " ", foreign(view.prompts[prompt].id)),
    el("div", { class: "template", tabindex: "0", dir: "auto" },
      parts.map(([k, words]) => (k === "same" ? words : el(k, null, words)))));
}

function answerRows(view, pair, column) {
  return view.present.filter((method) => method.runs.some((run) => run.correct)).map((method) => el("tr", null,
    el("th", { scope: "row" }, methodName(method)),
    pair.map((prompt) => el("td", null, answered(view, method, prompt, column)))));
}

// Examples that a method gets right under one prompt and wrong under the other, for more than half of its seeds.
function turned(view, method, pair) {
  const right = rightness(view, method), n = view.columns.length;
  return view.columns.map((_, c) => c).filter((c) => right[pair[0] * n + c] > 0.5 && right[pair[1] * n + c] < 0.5);
}

let compareWordings = () => {};

function wording(view, place) {
  if (!hasCells(view) || !view.sweep.texts || !view.task.examples.values) {
    return missing(place, "This needs the texts of prompts and examples and the single answers; some of them are not kept here.");
  }
  const byFocus = (pick) => view.focus.accuracy.indexOf(pick(...view.focus.accuracy));
  const extremes = [byFocus(Math.max), byFocus(Math.min)], near = view.sweep.pair;
  const pair = near && near.words <= FEW_WORDS ? [...near.prompts] : [...extremes], tools = el("div", { class: "tools wide" }), shown = el("div", { "aria-live": "polite" });
  let column = 0, method = view.focus;
  const names = view.prompts.map((row, p) => `${percent(view.focus.accuracy[p])} %  ${short(promptLine(row), 90)}`);
  const lines = view.columns.map((_, c) => short(`${exampleId(view, c)}  ${exampleLine(view, c)}`, 110));
  const next = () => {
    const found = turned(view, method, pair);
    column = found.find((c) => c > column) ?? found[0] ?? Math.max(column, 0);
    draw();
  };
  const take = (two) => {
    [pair[0], pair[1]] = two;
    column = -1;
    next();
  };
  const draw = () => {
    tools.replaceChildren(...[choice("Prompt A", names, pair[0], (p) => { pair[0] = p; draw(); }),
      choice("Prompt B", names, pair[1], (p) => { pair[1] = p; draw(); }),
      choice("Example", lines, column, (c) => { column = c; draw(); }),
      button("Next example that changes from right to wrong", next),
      button("Best and worst prompt", () => take(extremes)),
      near && button(`Two prompts ${count(near.words, "word")} apart`, () => take(near.prompts))].filter(Boolean));
    const texts = pair.map((prompt) => oneText(rendered(view, prompt, column))), pieces = diffed(...texts);
    shown.replaceChildren(el("div", { class: "sides" }, side("A", view, pair[0], texts[0], pieces, "del"), side("B", view, pair[1], texts[1], pieces, "ins")),
      el("p", { class: "caption" }, pieces ? "Words that only one of them has are marked." : "Too long to mark what differs.", " Right answer: ",
        foreign(goldName(view, column)), `. Under A and not under B, ${count(turned(view, method, pair).length, "example")} of ${whole(view.columns.length)} are right with `,
        foreign(method.name), "."),
      framed("Answers under both prompts", [heading("method"), heading("answer under A"), heading("answer under B")], answerRows(view, pair, column)));
  };
  compareWordings = (a, b, index) => {
    method = view.methods[index];
    take([a, b]);
    place.closest("section").scrollIntoView({ block: "start" });
    tools.querySelector("select").focus({ preventScroll: true });
  };
  place.append(tools, shown);
  take(pair);
}
