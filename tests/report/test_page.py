"""What the page is made from, without a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from report.making import NASTY, make_comparison, make_record, make_records

from paft.errors import InputError
from paft.experiments.records import by_method
from paft.experiments.summary import over_seeds
from paft.prompts import Prompt, PromptSet
from paft.report.comparison import Comparison, TaskTexts
from paft.report.page import SCRIPTS, embedded, page_data, write_page
from paft.report.page_cells import derived_gold, pack, packed_cells, pick_columns
from paft.report.page_data import task_data
from paft.report.page_facts import ablations
from paft.report.page_text import cut, fitted, prompt_parts, shown


def unpacked(text: str, bits: int, count: int) -> list[int]:
    """The inverse of ``pack``, by a way of its own: one long number, low bit first."""
    whole = int.from_bytes(base64.b64decode(text), "little")
    return [(whole >> (i * bits)) & ((1 << bits) - 1) for i in range(count)]


def filled(turns: list[dict], values: dict[str, str]) -> str:
    """The text that the page makes of a prompt's turns."""
    return "\n".join("".join(values[p] if i % 2 else p for i, p in enumerate(turn["parts"])) for turn in turns)


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 6])
def test_cells_survive_packing(bits: int) -> None:
    table = np.random.default_rng(bits).integers(0, 2**bits, (7, 13))
    assert unpacked(pack(table, bits), bits, table.size) == table.ravel().tolist()


def test_every_answer_of_a_record_is_on_the_page() -> None:
    records = make_records(methods=("user", "paft"), seeds=2, prompts=5, examples=30)
    task = task_data(Comparison(records, {"pets": TaskTexts()}), "pets")
    sweep = task["sweeps"][0]
    assert [method["name"] for method in task["methods"]] == ["user", "paft"]
    assert sweep["columns"] == list(range(30))
    for group, entry in zip(by_method(records).values(), sweep["methods"], strict=True):
        for record, run in zip(group, entry["runs"], strict=True):
            assert unpacked(run["correct"], 1, 150) == record.unseen.correct_pn.ravel().tolist()
            assert unpacked(run["answers"], sweep["bits"], 150) == (record.unseen.answer_pn.ravel() + 1).tolist()


def test_numbers_are_those_of_the_answers() -> None:
    records = make_records(methods=("base", "user", "paft"), seeds=3, prompts=9, examples=25)
    task = task_data(Comparison(records, {"pets": TaskTexts()}), "pets")
    for name, entry in zip(("base", "user", "paft"), task["sweeps"][0]["methods"], strict=True):
        tables = [r.unseen.correct_pn.astype(float) for r in records if r.method == name]
        each = [t.mean(axis=1) for t in tables]
        numbers = entry["numbers"]
        assert numbers["mean"] == pytest.approx(np.mean(tables))
        assert numbers["std"] == pytest.approx(np.mean([a.std(ddof=1) for a in each]))
        assert numbers["min"] == pytest.approx(np.mean([a.min() for a in each]))
        assert numbers["q05"] == pytest.approx(np.mean([np.quantile(a, 0.05) for a in each]))
        assert numbers["top"] == pytest.approx(np.mean([(a >= 0.85).mean() for a in each]))
        assert [run["accuracy"] for run in entry["runs"]] == [pytest.approx(a, abs=1e-6) for a in each]
    gap, low, high = task["sweeps"][0]["differences"][1]["mean"]
    means = [task["sweeps"][0]["methods"][i]["numbers"]["mean"] for i in (1, 2)]
    assert gap == pytest.approx(means[1] - means[0])
    assert low < gap < high


def test_examples_are_thinned_evenly_where_there_are_too_many() -> None:
    measured = [r.unseen for r in make_records(methods=("user", "paft"), seeds=2, prompts=10, examples=400)]
    assert pick_columns(measured, 10**6).tolist() == list(range(400))
    few = pick_columns(measured, 4_000)
    # four tables of ten rows, three bits a cell (one of them for right or wrong), four bytes for three in base64
    size = sum(len(each) for m in measured for each in packed_cells(m, few, 2).values())
    assert 3_600 < size <= 4_000 + 4 * 4 * 2
    assert (few[0], few[-1]) == (0, 399)
    assert set(np.diff(few)) <= {int(np.floor(399 / (len(few) - 1))), int(np.ceil(399 / (len(few) - 1)))}
    assert pick_columns(measured, 200) is None


def test_gold_is_known_without_examples_where_anything_was_right() -> None:
    record = make_record(examples=50)
    gold = derived_gold([record.unseen])
    answered = record.unseen.correct_pn.any(axis=0)
    assert (gold[~answered] == -1).all()
    for column in np.flatnonzero(answered):
        prompt = record.unseen.correct_pn[:, column].argmax()
        assert gold[column] == record.unseen.answer_pn[prompt, column]


def test_hidden_marks_are_spelled_out() -> None:
    assert shown("plain é 漢字 🙂\n\tkept") == "plain é 漢字 🙂\n\tkept"
    assert shown("a\u202eb\u2066c") == "a⟨U+202E⟩b⟨U+2066⟩c"
    assert shown("\u200b\ufeff\x00\x1b\r\u2028\ud800") == "".join(
        f"⟨U+{code}⟩" for code in ("200B", "FEFF", "0000", "001B", "000D", "2028", "D800")
    )
    assert cut("x" * 100_000, 10) == "x" * 10 + "… [cut: 10 of 100,000 characters]"


def test_lengths_shrink_until_they_fit() -> None:
    assert fitted(lambda n: "x" * n, (100, 50, 10), 60) == ("x" * 50, 50)
    assert fitted(lambda n: "x" * n, (100, 50, 10), 5) == ("x" * 10, 10)


@pytest.mark.parametrize(
    "text",
    [
        "{a} and {b}",
        "{{literal}} {a}{a}",
        "}}{{ {b} {{a}}",
        [{"role": "system", "content": "{{x}}"}, {"role": "user", "content": "{a}"}],
    ],
)
def test_prompts_are_filled_as_templates_are(text: str | list[dict[str, str]]) -> None:
    prompt, values = Prompt.from_text(text), {"a": "{b} {{ }} <i>", "b": "{a}"}
    rendered = prompt.render(values)
    plain = rendered if isinstance(rendered, str) else "\n".join(turn["content"] for turn in rendered)
    assert filled(prompt_parts(prompt, 1000), values) == plain


def test_a_long_template_keeps_its_slots() -> None:
    turns = prompt_parts(Prompt.from_text("x" * 100_000 + "{text}" + "y" * 100_000), 500)
    assert turns[0]["parts"][1] == "text"
    assert len(turns[0]["parts"][0]) < 400
    assert "of 100,000 characters]" in turns[0]["parts"][2]


def test_data_cannot_end_its_element() -> None:
    value = {"a": ["</script><!--", "\u2028\u2029&<>", '"', float("nan"), float("inf"), 0.25, None]}
    text = embedded(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": ["</script><!--", "\u2028\u2029&<>", '"', None, None, 0.25, None]}


def test_page_is_one_file_with_one_script_and_one_style(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "out", methods=("user", "paft"), seeds=2, hostile=True, prompts=6)
    path = write_page(Comparison.load(folder), tmp_path / "index.html")
    text = path.read_text(encoding="utf-8")
    scripts, styles = re.findall(r"<script>(.*?)</script>", text, re.S), re.findall(r"<style>(.*?)</style>", text, re.S)
    assert (len(scripts), len(styles)) == (1, 1)
    assert len(re.findall(r"<script", text)) == 2  # the other one is data
    csp = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1])
    rules = dict(rule.strip().split(" ", 1) for rule in csp.split(";"))
    for kind, body in (("script-src", scripts[0]), ("style-src", styles[0])):
        assert rules[kind] == f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'"
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in csp
    assert not re.search(r"\s(src|href)=\"(?!#)", re.sub(r"<script.*?</script>", "", text, flags=re.S))


def test_script_writes_text_only_as_text() -> None:
    source = "".join(
        (files("paft.resources") / "report" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS
    )
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
        assert forbidden not in source


def test_marks_of_the_skeleton_in_a_text_stay_text(tmp_path: Path) -> None:
    records = [replace(make_record(method=m), task="%%script%% <b>") for m in ("user", "paft")]
    path = write_page(Comparison(records, {"%%script%% <b>": TaskTexts()}), tmp_path / "index.html")
    text = path.read_text(encoding="utf-8")
    assert '<bdi id="task-name">%%script%% &lt;b&gt;</bdi>' in text
    assert text.count('"use strict"') == 1


def test_the_same_records_make_the_same_page(tmp_path: Path) -> None:
    comparison = Comparison.load(make_comparison(tmp_path / "out", methods=("user", "paft"), seeds=2))
    pages = [write_page(comparison, tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_nothing_but_variants_is_refused() -> None:
    records = make_records(methods=(), variants=[{"examples_per_prompt": 2}])
    with pytest.raises(InputError, match="only variants"):
        page_data(Comparison(records, {"pets": TaskTexts()}))


def test_ablations_hold_what_differs_in_nothing_else() -> None:
    ks = [{"examples_per_prompt": k} for k in (1, 8)]
    both = [{"examples_per_prompt": 1, "num_train_epochs": 6}]
    records = make_records(methods=("base", "user", "paft"), seeds=2, variants=[*ks, *both, {"limit": 100}])
    stray = make_record(method="paft", variant={"limit": 300})
    stray = replace(stray, settings={**stray.settings, "learning_rate": 1.0})
    comparison = Comparison([*records, stray], {"pets": TaskTexts()})
    grid, own, other = ablations(comparison, "pets")
    assert grid["keys"] == ["examples_per_prompt", "num_train_epochs"]
    assert own["keys"] == other["keys"] == ["limit"]
    assert [s["method"] for table in (grid, own, other) for s in table["series"]] == ["paft"] * 3
    rows = [(row["values"], row["own"]) for row in grid["series"][0]["rows"]]
    assert rows == [([1, 3], False), ([1, 6], False), ([4, 3], True), ([8, 3], False)]
    assert [row["values"] for row in own["series"][0]["rows"]] == [[100], [1000]]
    assert [row["values"] for row in other["series"][0]["rows"]] == [[300]]
    wanted = over_seeds([r for r in records if r.variant == {"limit": 100}])
    assert own["series"][0]["rows"][0]["numbers"]["std"] == wanted["std"]
    assert "learning_rate 0.0001" in own["where"]
    assert "learning_rate 1.0" in other["where"]


def test_a_long_cell_does_not_swell_the_page(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "out", methods=("user", "paft"), seeds=1, hostile=True, prompts=6, examples=20)
    text = write_page(Comparison.load(folder), tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(text) < 250_000
    assert f"of {len(NASTY[-1]):,} characters]" in text


def test_prompt_set_of_a_sweep_may_lack_prompts() -> None:
    texts = TaskTexts(prompts={"unseen": PromptSet([Prompt.from_text("Only one {text}", id="u001")])})
    task = task_data(Comparison(make_records(methods=("paft",), prompts=3), {"pets": texts}), "pets")
    assert [row["turns"] is not None for row in task["sweeps"][0]["prompts"]] == [False, True, False]
