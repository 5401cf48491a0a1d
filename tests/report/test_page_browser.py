"""The page in a real browser: quiet, safe, right, and usable by pointer and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report.browser import Opened, chromium, missing, opened
from report.making import make_comparison, make_record, prompt_ids

from paft.experiments.records import Measured, Record
from paft.files import read_jsonl, write_jsonl
from paft.prompts import PromptSet
from paft.report.comparison import Comparison, TaskTexts
from paft.report.page import write_page

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
VARIANTS = [{"examples_per_prompt": 1}, {"examples_per_prompt": 1, "num_train_epochs": 6}, {"train_prompts": 10}]
NASTY_ID = "it's \"quoted\"\n<img src=x onerror='window.broken=1'>\u202e"
OPEN = "() => document.querySelectorAll('details').forEach(each => { each.open = true; })"
CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, four methods, hostile texts, ablations and failures."""
    methods = ("base", "user", "zopo", "paft")
    out = tmp_path_factory.mktemp("page") / "out"
    return make_comparison(out, ("birds", "pets"), methods, 2, 8, 20, VARIANTS, hostile=True, failures=1)


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Comparison:
    return Comparison.load(folder)


@pytest.fixture(scope="module")
def path(comparison: Comparison, folder: Path) -> Path:
    return write_page(comparison, folder / "report" / "index.html")


@pytest.fixture
def seen(browser, path: Path) -> Iterator[Opened]:
    with opened(browser, path) as seen:
        yield seen


def accuracies(comparison: Comparison, task: str, sweep: str = "unseen") -> dict[str, np.ndarray]:
    """Method -> accuracy of each prompt, mean over seeds."""
    groups = comparison.methods(task).items()
    having = {m: [r.sweeps[sweep].correct_pn for r in g if sweep in r.sweeps] for m, g in groups}
    return {m: np.mean(tables, axis=0).mean(axis=1) for m, tables in having.items()}


def test_every_view_is_quiet_and_runs_nothing(seen: Opened, path: Path) -> None:
    page = seen.page
    for task in (0, 1):
        page.select_option("[name=task]", str(task))
        for sweep in (1, 2, 0):
            page.select_option("[name=set]", str(sweep))
            page.evaluate(OPEN)
            page.locator("circle.point").first.press("Enter")
            page.locator(".heatmap").first.press("ArrowDown")
            page.locator(".worst .link").first.click()
    page.select_option("[name=seeds]", "1")
    assert page.evaluate("window.broken") is None
    assert page.locator("img, iframe, object, main script").count() == 0
    assert seen.quiet(path), (seen.console, seen.errors, seen.requests)
    assert "<script>window.broken = 1</script>" in seen.text("main")
    assert "right ⟨U+202E⟩ to left ⟨U+2066⟩" in page.locator("#prompts").inner_text()


def test_policy_stops_what_is_slipped_in(seen: Opened) -> None:
    inject = """() => { const s = document.createElement('script');
        try { s.textContent = 'window.broken = 1'; } catch (refused) { window.refused = 1; }
        document.body.append(s); }"""
    seen.page.evaluate(inject)
    markup = "() => { try { document.body.innerHTML = '<b>'; } catch (refused) { return refused.name; } }"
    assert seen.page.evaluate(markup) == "TypeError"
    handler = "() => { try { document.body.setAttribute('onclick', 'broken = 1'); } catch (no) { return no.name; } }"
    assert seen.page.evaluate(handler) == "TypeError"
    assert (
        seen.page.evaluate("() => fetch('https://example.invalid/').then(() => 'sent', () => 'stopped')") == "stopped"
    )
    image = "() => new Promise(done => { const i = new Image(); i.onerror = () => done('stopped'); i.src = 'x.png'; })"
    assert seen.page.evaluate(image) == "stopped"
    assert seen.page.evaluate("window.broken") is None
    assert seen.page.evaluate("document.querySelectorAll('h2').length") > 5


def test_table_holds_the_numbers_of_the_answers(seen: Opened, comparison: Comparison) -> None:
    for task in ("birds", "pets"):
        seen.page.select_option("[name=task]", label=task)
        rows = seen.page.locator(".overview tbody tr").all()
        for row, (method, group) in zip(rows, comparison.methods(task).items(), strict=True):
            each = [r.unseen.correct_pn.mean(axis=1) for r in group]
            wanted = {
                "mean": np.mean(each),
                "std": np.mean([a.std(ddof=1) for a in each]),
                "min": np.mean([a.min() for a in each]),
                "q05": np.mean([np.quantile(a, 0.05) for a in each]),
                "top": np.mean([(a >= 0.85).mean() for a in each]),
            }
            assert row.locator("th").inner_text() == method
            for key, value in wanted.items():
                assert row.locator(f"[data-key={key}]").inner_text() == f"{100 * value:.1f}", (task, method, key)
    seen.page.select_option("[name=seeds]", label="only 1")
    one = next(r for r in comparison.methods("pets")["paft"] if r.seed == 1)
    mean = seen.page.locator(".overview tbody tr").last.locator("[data-key=mean]").inner_text()
    assert mean == f"{100 * one.unseen.correct_pn.mean():.1f}"


def test_prompts_are_sorted_and_filtered(seen: Opened, comparison: Comparison) -> None:
    page, accuracy = seen.page, accuracies(comparison, "birds")
    column = "#prompts tbody td:nth-child({})"
    ascending = [f"{100 * a:.1f}" for a in sorted(accuracy["paft"])]
    assert seen.texts(column.format(5)) == ascending
    head = page.locator("#prompts thead th")
    assert head.nth(4).get_attribute("aria-sort") == "ascending"
    head.nth(4).locator("button").press("Enter")
    assert seen.texts(column.format(5)) == ascending[::-1]
    assert head.nth(4).get_attribute("aria-sort") == "descending"
    assert page.evaluate("document.activeElement.className") == "sort"
    head.nth(2).locator("button").click()
    assert seen.texts(column.format(3)) == [f"{100 * a:.1f}" for a in sorted(accuracy["user"])]
    spreads = np.ptp(np.array(list(accuracy.values())), axis=0)
    head.nth(5).locator("button").click()
    assert seen.texts(column.format(6)) == [f"{100 * a:.1f}" for a in sorted(spreads)]
    page.fill("input[type=search]", "WORDING 6")
    assert len(seen.texts(column.format(5))) == 1
    assert seen.text("#prompts [role=status]") == "1 of 8 prompts"
    page.fill("input[type=search]", "nothing like it")
    assert seen.texts(column.format(5)) == []


def test_points_tell_their_prompt_by_pointer_and_by_key(seen: Opened, comparison: Comparison) -> None:
    page, accuracy = seen.page, accuracies(comparison, "birds")
    row = page.locator("g.row").nth(3)
    best, worst = accuracy["paft"].argmax(), accuracy["paft"].argmin()
    row.locator(f"circle[data-prompt='{best}']").scroll_into_view_if_needed()
    row.locator(f"circle[data-prompt='{best}']").hover()
    readout = ".beside .readout"
    assert prompt_ids("unseen", 8)[best] in seen.text(readout)
    assert seen.texts(f"{readout} td.number") == [f"{100 * a[best]:.1f}" for a in accuracy.values()]
    page.mouse.move(5, 5)
    assert prompt_ids("unseen", 8)[worst] in seen.text(readout)
    point = row.locator("circle[tabindex='0']")
    point.focus()
    assert point.get_attribute("data-prompt") == str(worst)
    page.keyboard.press("ArrowRight")
    second = np.argsort(accuracy["paft"], kind="stable")[1]
    assert prompt_ids("unseen", 8)[second] in seen.text(readout)
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    page.keyboard.press("Enter")
    assert page.locator(f"circle[data-prompt='{second}'][aria-selected=true]").count() == 4
    assert page.locator("#prompts tr.chosen").get_attribute("data-prompt") == str(second)
    page.keyboard.press("Escape")
    assert page.locator("circle[aria-selected=true]").count() == 0


def test_heatmap_tells_the_answer_of_a_cell(seen: Opened, comparison: Comparison) -> None:
    page, group = seen.page, comparison.methods("birds")["paft"]
    wrong_pn = 1 - np.mean([r.unseen.correct_pn for r in group], axis=0)
    ease = sum(
        np.mean([r.unseen.correct_pn for r in g], axis=0).sum(axis=0) for g in comparison.methods("birds").values()
    )
    columns, rows = np.argsort(-np.round(ease, 6), kind="stable"), np.argsort(wrong_pn.mean(axis=1), kind="stable")
    heat = page.locator(".heatmap").nth(3)
    heat.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    said = seen.text(".readout.cell")
    example = group[0].unseen.example_ids[columns[2]]
    assert prompt_ids("unseen", 8)[rows[1]] in said
    assert f"example {example}" in said
    gold = comparison.tasks["birds"].examples[example]["answer"]
    assert f"Right: {gold}." in said
    assert page.locator(".heatmap canvas").nth(3).evaluate("c => [c.width, c.height]") == [20, 8]


def test_wordings_are_rendered_as_the_model_met_them(seen: Opened, folder: Path, comparison: Comparison) -> None:
    page, texts = seen.page, comparison.tasks["birds"]
    prompts = list(PromptSet.load(folder / "tasks" / "birds" / "prompts" / "unseen.jsonl"))
    examples = list(texts.examples.values())
    for a, b, e in ((5, 6, 0), (3, 7, 9)):
        for select, value in (("Prompt A", a), ("Prompt B", b), ("Example", e)):
            page.get_by_label(select, exact=True).select_option(str(value))
        for side, prompt in zip(page.locator(".side .template").all(), (a, b), strict=True):
            assert side.evaluate("n => n.textContent") == prompts[prompt].render(examples[e]["slots"])
    assert "".join(seen.texts(".side del"))
    answers = page.locator("#wording tbody tr").last.locator("td").all_inner_texts()
    for record in comparison.methods("birds")["paft"]:
        for prompt, text in zip((3, 7), answers, strict=True):
            assert texts.facts["answers"][record.unseen.answer_pn[prompt, 9]] in text


def test_worst_prompts_count_answers(seen: Opened, comparison: Comparison) -> None:
    group = comparison.methods("birds")["paft"]
    prompt = accuracies(comparison, "birds")["paft"].argmin()
    given = np.concatenate([r.unseen.answer_pn[prompt] for r in group])
    cells = seen.texts(".worst >> nth=0 >> .answers tbody td:nth-child(2)")
    assert cells == [f"{100 * (given == a).mean():.1f}" for a in range(3)]


@pytest.mark.parametrize("width", [360, 800])
def test_no_sideways_scroll(browser, path: Path, width: int) -> None:
    with opened(browser, path, width=width) as seen:
        seen.page.evaluate(OPEN)
        seen.page.locator("circle.point").first.press("Enter")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.evaluate("document.body.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_and_controls_have_names(browser, path: Path, scheme: str) -> None:
    with opened(browser, path, color_scheme=scheme) as seen:
        paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) < 200) == (scheme == "dark")
        found = seen.page.evaluate(CONTRAST)
        assert found["checked"] > 300
        assert found["poor"] == []
        assert found["nameless"] == []


def test_prints_everything_and_no_controls(browser, path: Path) -> None:
    with opened(browser, path, color_scheme="dark") as seen:
        page = seen.page
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("details:not([open])").count() == 0
        assert page.locator(".controls:visible, .contents:visible, input:visible, .link:visible").count() == 0
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert len(page.locator("article.worst:visible").all()) == 4 * 3
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 1


def nasty_record(method: str, seed: int) -> Record:
    """Ids that objects and attributes stumble over, numbers that are not there, no answers."""
    record = make_record("pets", method, seed, {"unseen": 3}, 4)
    m = record.unseen
    numbers = {**m.numbers, "std": None, "std_corrected": None, "q05": float("nan"), "per_prompt": {}}
    ids = ["__proto__", NASTY_ID, "constructor"]
    changed = Measured(numbers, ids, ["__proto__", NASTY_ID, "toString", "x"], m.correct_pn)
    return replace(
        record, method=method, sweeps={"unseen": changed}, settings={"__proto__": {"a": [1]}, NASTY_ID: None}
    )


def test_stands_without_texts_answers_and_numbers(browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=window.broken=1>"
    records = [nasty_record("paft", 0), nasty_record(hostile, 1)]
    page_path = write_page(Comparison(records, {"pets": TaskTexts()}), tmp_path / "index.html")
    with opened(browser, page_path, width=360) as seen:
        assert seen.quiet(page_path), (seen.console, seen.errors, seen.requests)
        assert seen.page.evaluate("[window.broken, {}.polluted]") == [None, None]
        assert "–" in seen.texts(".overview [data-key=std]")
        assert seen.texts(".overview tbody th") == ["paft", hostile]
        assert len(seen.texts("#prompts tbody tr")) == 3
        assert "⟨U+202E⟩" in seen.text("#prompts tbody")
        assert "not kept" in seen.text("#wording")
        assert "not kept" in seen.text("#rerun")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_one_method_one_prompt_one_example(browser, tmp_path: Path) -> None:
    record = make_record("pets", "base", 0, {"unseen": 1}, 1)
    page_path = write_page(Comparison([record], {"pets": TaskTexts()}), tmp_path / "index.html")
    with opened(browser, page_path) as seen:
        assert seen.quiet(page_path), (seen.console, seen.errors, seen.requests)
        assert "Only base was run" in seen.text("#verdict")
        assert seen.texts(".overview tbody th") == ["base"]


@pytest.mark.slow
def test_large_comparison_is_small_and_quick(browser, tmp_path: Path) -> None:
    methods = ("base", "user", "top-accuracy", "batprompt", "static-mix", "paft")
    out = make_comparison(tmp_path / "out", methods=methods, seeds=1, prompts=50, examples=2000, sweeps=("unseen",))
    examples = out / "tasks" / "pets" / "examples.jsonl"
    rng = np.random.default_rng(0)
    rows = [row for _, row in read_jsonl(examples)]
    for row in rows:
        row["slots"]["text"] = " ".join(f"w{n}" for n in rng.integers(0, 9999, 150))
    write_jsonl(examples, rows)
    page_path = write_page(Comparison.load(out), tmp_path / "index.html")
    assert page_path.stat().st_size < 5_000_000
    with opened(browser, page_path) as seen:
        session = seen.page.context.new_cdp_session(seen.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time, whatever else the machine does
        seen.page.reload()
        spent = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        assert spent["ScriptDuration"] < 1.0
        assert seen.page.locator(".heatmap canvas").first.evaluate("c => [c.width, c.height]") == [2000, 50]
