// Sections in reading order, drawn anew whenever something else is to be shown.
const SECTIONS = [
  { id: "overview", title: null, draw: overview },
  { id: "prompts-by-method", title: "Accuracy under each prompt", draw: points },
  { id: "prompts", title: "All prompts", draw: prompts },
  { id: "worst", title: "The worst prompts, and what happens there", draw: worst },
  { id: "cells", title: "Every answer, right or wrong", draw: heatmap,
    about: "A row is a prompt, the best on top; a column is an example, the easiest on the left; errors are coloured, paler where only some seeds err." },
  { id: "wording", title: "From one wording to the next", draw: wording },
  { id: "ablations", title: "Other settings", draw: ablations, when: (view) => view.task.ablations.length > 0 },
  { id: "costs", title: "What it cost", draw: costs },
  { id: "settings", title: "Settings and environment", draw: settings },
  { id: "failures", title: "Cells that failed", draw: failures, when: () => data.failures.length > 0 },
  { id: "paper", title: "The paper's figures", draw: paper, when: () => Boolean(data.paper) },
  { id: "rerun", title: "Run it again", draw: rerun },
];

let later = []; // what closed parts still have to draw, done at the latest before printing
let resized = [], schemed = [];
const onResize = (node, heard) => { resized.push({ node, heard, width: node.clientWidth }); watcher.observe(node); };
const onScheme = (heard) => schemed.push(heard);

const watcher = new ResizeObserver(() => requestAnimationFrame(() => {
  for (const one of resized) {
    if (one.node.clientWidth === one.width || one.node.clientWidth === 0) continue;
    one.width = one.node.clientWidth;
    one.heard();
  }
}));

function missing(place, text) {
  place.append(el("p", { class: "missing" }, text));
}

function controls(view) {
  const form = document.getElementById("controls"), { task } = view;
  const sweeps = task.sweeps.map((sweep) => `${setName(sweep)} (${sweep.prompts.length})`);
  const seeds = [...new Set(task.methods.flatMap((method) => method.seeds))].sort((a, b) => a - b);
  const change = (name, key, value) => {
    state[key] = value;
    render();
    const again = form.querySelector(`[name='${name}']`);
    if (again) again.focus();
  };
  form.replaceChildren(...[
    data.tasks.length > 1 && choice("Task", data.tasks.map((one) => one.name), state.task,
      (i) => { state.sweep = 0; state.seed = null; change("task", "task", i); }, { name: "task" }),
    sweeps.length > 1 && choice("Prompts", sweeps, state.sweep, (i) => change("set", "sweep", i), { name: "set" }),
    seeds.length > 1 && choice("Seeds", ["mean over all", ...seeds.map((seed) => `only ${seed}`)], seeds.indexOf(state.seed) + 1,
      (i) => change("seeds", "seed", i ? seeds[i - 1] : null), { name: "seeds" }),
  ].filter(Boolean));
  form.hidden = form.children.length === 0;
}

function render() {
  const view = makeView(), main = document.getElementById("main");
  [chosen.prompt, chosen.heard, later, resized, schemed] = [null, [], [], [], []];
  watcher.disconnect();
  document.getElementById("task-name").textContent = view.task.name;
  document.getElementById("verdict").textContent = view.task.verdict[0];
  document.getElementById("further").textContent = view.task.verdict.slice(1).join(" ");
  document.getElementById("summary").replaceChildren(...summaryLine(view).filter(Boolean));
  controls(view);
  const shown = SECTIONS.filter((section) => !section.when || section.when(view));
  const places = shown.map((section) => el("section", { id: section.id, "aria-label": section.title || "Overview" },
    section.title && el("h2", null, section.title), section.about && el("p", { class: "caption" }, section.about)));
  main.replaceChildren(...places);
  shown.forEach((section, i) => section.draw(view, places[i].appendChild(el("div"))));
  document.getElementById("contents").replaceChildren(...shown.filter((section) => section.title).map((section) =>
    el("a", { href: `#${section.id}` }, section.title)));
}

function openAll() {
  for (const fill of later) fill();
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.printed = "yes";
  }
}

window.addEventListener("beforeprint", openAll);
window.addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-printed]")) {
    details.open = false;
    delete details.dataset.printed;
  }
});
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => schemed.forEach((heard) => heard()));
render();
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
