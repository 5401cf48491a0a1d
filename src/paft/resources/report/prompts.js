// All prompts of a set: sorted by any column, filtered by their text.
function promptColumns(view) {
  const spread = (p) => {
    const all = view.present.map((method) => method.accuracy[p]);
    return Math.max(...all) - Math.min(...all);
  };
  const columns = view.present.map((method) => ({ method, label: method.name, value: (p) => method.accuracy[p] }));
  if (columns.length > 1) columns.push({ label: "spread", title: "largest minus smallest accuracy of a prompt", value: spread });
  return columns;
}

function promptRow(view, columns, p) {
  const row = view.prompts[p];
  const name = button("", () => choose(p), { class: "pick", "aria-pressed": "false", "data-prompt": p });
  name.append(foreign(short(promptLine(row), 400)));
  return el("tr", { "data-prompt": p }, el("th", { scope: "row" }, name, el("div", { class: "origin" }, foreign(row.id), row.origin && [" · ", foreign(row.origin)])),
    columns.map((column) => number(percent(column.value(p)), {
      class: column.method ? "number tinted" : "number",
      vars: column.method ? { "--m": column.method.colour, "--share": column.value(p) } : {},
    })));
}

function sortHead(columns, sort, resort) {
  return [{ label: "prompt" }, ...columns].map((column, i) => {
    const current = sort.column === i - 1, direction = sort.up ? "ascending" : "descending";
    const mark = el("span", { class: "arrow", "aria-hidden": "true" }, current ? (sort.up ? "▲" : "▼") : "");
    const label = column.method ? methodName(column.method) : column.label;
    const control = el("button", { type: "button", class: "sort", title: column.title, on: { click: () => resort(i - 1) } }, label, mark);
    return el("th", { scope: "col", class: i ? "number" : null, "aria-sort": current ? direction : "none" }, control);
  });
}

function prompts(view, place) {
  const columns = promptColumns(view), sort = { column: columns.findIndex((c) => c.method === view.focus), up: true };
  const rows = view.prompts.map((_, p) => promptRow(view, columns, p));
  const texts = view.prompts.map((row) => `${row.id}\n${row.origin}\n${plainPrompt(row)}`.toLowerCase());
  const head = el("tr"), body = el("tbody"), status = el("p", { class: "caption", role: "status" });
  const search = el("input", { type: "search", placeholder: "words of the text, id or origin", autocomplete: "off", spellcheck: "false" });
  const by = (p) => (sort.column < 0 ? p : columns[sort.column].value(p));

  const draw = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const order = view.prompts.map((_, p) => p).filter((p) => wanted.every((word) => texts[p].includes(word)));
    order.sort((a, b) => (sort.up ? by(a) - by(b) : by(b) - by(a)) || a - b);
    body.replaceChildren(...order.map((p) => rows[p]));
    status.textContent = `${order.length} of ${count(rows.length, "prompt")}`;
  };
  const dress = () => head.replaceChildren(...sortHead(columns, sort, (column) => {
    sort.up = sort.column === column ? !sort.up : true;
    sort.column = column;
    dress();
    head.children[column + 1].firstChild.focus();
    draw();
  }));
  search.addEventListener("input", draw);
  dress();
  draw();
  place.append(el("div", { class: "tools" }, el("label", { class: "field" }, el("span", null, "Find"), search), status),
    el("div", { class: "frame tall", role: "region", tabindex: "0", "aria-label": "Prompts and their accuracies" },
      el("table", { class: "prompts" }, el("thead", null, head), body)));
  const mark = (prompt) => rows.forEach((row, p) => {
    row.classList.toggle("chosen", p === prompt);
    row.querySelector(".pick").setAttribute("aria-pressed", p === prompt);
  });
  chosen.heard.push(mark);
  mark(chosen.prompt);
}
