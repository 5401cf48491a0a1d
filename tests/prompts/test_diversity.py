"""Figures of a prompt set against a count made the slow way."""

from __future__ import annotations

import json
import statistics
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from paft.errors import InputError
from paft.prompts import Prompt, PromptSet, diversity, import_prompts, similarity
from paft.prompts.diversity import DRAWS, count_tokens, draw, pairwise_similarity
from paft.tasks.base import Task

TREC = Path(__file__).resolve().parents[2] / "examples" / "trec" / "prompts.jsonl"


@pytest.fixture(scope="module")
def trec() -> PromptSet:
    return PromptSet.load(TREC)


def slow_tokens(prompt: Prompt) -> list[str]:
    """Tokens by a walk over the characters."""
    tokens, word = [], ""
    text = prompt.template.mask("\0").casefold()
    for at, c in enumerate(text):
        inner = c in "'’" and word and at + 1 < len(text) and (text[at + 1].isalnum() or text[at + 1] == "_")
        if c.isalnum() or c == "_" or inner:
            word += c
            continue
        tokens += [word] if word else []
        word = ""
        tokens += [] if c.isspace() else [c]
    return tokens + ([word] if word else [])


def slow_distinct(texts: list[list[str]], n: int) -> float:
    grams = [" ".join(text[i : i + n]) for text in texts for i in range(len(text)) if i + n <= len(text)]
    return len(set(grams)) / len(grams)


def test_all_figures_of_a_real_set(trec: PromptSet) -> None:
    found = diversity(trec)
    pairs = [similarity(a.template, b.template) for a, b in combinations(trec, 2)]
    assert found.similarity_mean == pytest.approx(statistics.fmean(pairs), abs=1e-6)
    ranked = sorted(pairs)
    place = 0.95 * (len(ranked) - 1)
    low = int(place)
    expected = ranked[low] + (place - low) * (ranked[low + 1] - ranked[low])
    assert found.similarity_q95 == pytest.approx(expected, abs=1e-6)
    texts = [slow_tokens(prompt) for prompt in trec]
    assert found.tokens == count_tokens(trec) == sum(map(len, texts))
    assert found.distinct == pytest.approx([slow_distinct(texts, n) for n in (1, 2, 3)], abs=1e-12)
    words = sorted(len(str(prompt.text).replace("{text}", " ").split()) for prompt in trec)
    assert (found.words.min, found.words.median, found.words.max) == (words[0], statistics.median(words), words[-1])
    assert found.words.q05 <= found.words.median <= found.words.q95
    assert found.characters.max == max(len(str(p.text).replace("{text}", "")) for p in trec)
    assert found.slots == {"text": len(trec)}
    assert sum(count for _, count in found.layouts) == len(trec) == found.size
    assert found.sources["kind"] == {"bundled": 210}
    assert set(found.sources["voice"].values()) == {21}
    json.dumps(found.row(), allow_nan=False)


def test_the_matrix_is_the_same_whatever_the_block(trec: PromptSet, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    templates = [prompt.template for prompt in trec]
    whole = pairwise_similarity(templates)
    monkeypatch.setattr(sys.modules["paft.prompts.diversity"], "BLOCK", 64)
    assert np.array_equal(pairwise_similarity(templates), whole)
    assert np.array_equal(whole, whole.T)


def test_n_grams_stay_in_their_template_and_slots_are_one_token() -> None:
    found = diversity(PromptSet.from_texts(["One two {a_long_name}", "Two {b} one", "don't {a}{b}!"]))
    # one two # | two # one | don't # # !
    assert found.tokens == 10
    assert found.distinct == pytest.approx((5 / 10, 6 / 7, 4 / 4), abs=1e-12)


def test_a_budget_is_kept_and_whole_sets_are_compared_fairly(trec: PromptSet) -> None:
    lengths = [len(slow_tokens(prompt)) for prompt in trec]
    for number in range(3):
        taken = draw(lengths, 1000, 0, number)
        assert sum(length for _, length in taken) == 1000
        assert len({index for index, _ in taken}) == len(taken)
        assert all(length == lengths[index] for index, length in taken[:-1])
    assert draw(lengths, 1000, 0, 0) != draw(lengths, 1000, 0, 1)
    assert draw(lengths, 1000, 0, 0) != draw(lengths, 1000, 1, 0)
    found = diversity(trec, tokens=1000, seed=5)
    texts = [slow_tokens(prompt) for prompt in trec]
    items = list(trec)
    means, ratios = [], []
    for number in range(DRAWS):
        taken = draw(lengths, 1000, 5, number)
        chosen = [items[index].template for index, _ in taken]
        means.append(statistics.fmean(similarity(a, b) for a, b in combinations(chosen, 2)))
        ratios.append(slow_distinct([texts[index][:length] for index, length in taken], 2))
    assert found.similarity_mean == pytest.approx(statistics.fmean(means), abs=1e-6)
    assert found.distinct[1] == pytest.approx(statistics.fmean(ratios), abs=1e-12)
    assert found.distinct[1] > diversity(trec).distinct[1]  # less text repeats itself less
    assert (found.budget, found.tokens) == (1000, sum(lengths))
    everything = diversity(trec, tokens=sum(lengths))
    assert everything.distinct == pytest.approx(diversity(trec).distinct, abs=1e-12)
    assert diversity(trec, tokens=1000, seed=5) == found


@pytest.mark.parametrize("tokens", [0, -1, 8, 10**9])
def test_a_budget_that_cannot_be_met(tokens: int) -> None:
    with pytest.raises(InputError, match=rf"tokens must be from 1 to 7, what the set holds; found {tokens}"):
        diversity(PromptSet.from_texts(["a b {x} c", "d e {x}"]), tokens=tokens)


def test_one_prompt_has_no_pairs() -> None:
    found = diversity(PromptSet.from_texts(["{x}"]))
    assert (found.similarity_mean, found.similarity_q95) == (None, None)
    assert found.distinct == (1.0, None, None)
    assert (found.words.max, found.characters.max) == (0, 0)
    assert found.sources == {}
    assert diversity(PromptSet.from_texts(["{x}"]), tokens=1).distinct == (1.0, None, None)


def test_identical_prompts() -> None:
    found = diversity(PromptSet(Prompt.from_text("Say {x}:", id=str(i)) for i in range(5)))
    assert (found.similarity_mean, found.similarity_q95, len(found.layouts)) == (1.0, 1.0, 1)
    assert found.distinct == pytest.approx((3 / 15, 2 / 10, 1 / 5))


def test_chats_count_with_all_their_turns() -> None:
    turns = [{"role": "system", "content": "Be brief now."}, {"role": "user", "content": "{x}?"}]
    found = diversity(PromptSet.from_texts([turns, "Be brief now.\n{x}?"]))
    assert (found.chat, found.size, found.tokens) == (1, 2, 12)
    assert found.similarity_mean == 1.0
    assert len(found.layouts) == 1


def test_sources_that_only_some_prompts_name() -> None:
    rows = [
        Prompt.from_text(f"{word} {{x}}", {"kind": "llm", "model": model})
        for word, model in zip("abc", "mmn", strict=True)
    ]
    found = diversity(PromptSet([*rows, Prompt.from_text("d {x}", {"author": "Ann"})]))
    assert found.sources == {"kind": {"llm": 3, "(none)": 1}, "model": {"m": 2, "(none)": 1, "n": 1}}
    styles = [Prompt.from_text("e {x}", {"style": "terse"}), Prompt.from_text("f {x}", {"voice": "terse"})]
    assert diversity(PromptSet(styles)).sources == {"voice": {"terse": 2}}


def test_task_tells_the_layouts(mood_task: Task) -> None:
    prompts = PromptSet.from_texts(["positive or negative? {text}", "good or bad? {text}"])
    assert len(diversity(prompts).layouts) == 1
    assert len(diversity(prompts, mood_task).layouts) == 2


def test_a_published_set(shared_data: Path) -> None:
    if not (shared_data / "prompts").is_dir():
        pytest.skip("published prompt files not present")
    prompts, _ = import_prompts(shared_data / "prompts" / "robust_traindataset_piqa.xlsx")
    found = diversity(prompts)
    some = list(prompts)[::7]
    pairs = [similarity(a.template, b.template) for a, b in combinations(some, 2)]
    assert found.similarity_mean == pytest.approx(statistics.fmean(pairs), abs=0.03)
    assert set(found.slots) == {"goal", "sol1", "sol2"}
    assert {layout.options for layout, _ in found.layouts} <= {"before", "after", "among"}
