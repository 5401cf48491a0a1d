"""Attacks on text: how far they may go, and what they leave alone."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.baselines.attacks import ATTACKS, CHARACTER, OFFLINE, REWRITTEN, Attacker, allowed, core
from paft.tasks import Example, Task, load_task

PIQA = load_task("piqa")
WINOGRANDE = load_task("winogrande")
LABEL = Task("mood", "label", {"text": "a remark", "from": "who made it"}, answers=("glad", "not glad"))
FREE = Task("sums", "free", {"text": "a story", "ask": "a question on it"})
SENTENCE = "The old lighthouse keeper carefully counted 12 boats before the storm came in from the west."

words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
sentences = st.one_of(words, st.lists(st.sampled_from(SENTENCE.split()), max_size=15).map(" ".join))


def distance(one, other) -> int:
    """Levenshtein, from the definition."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        above, row[0] = row[:], i
        for j, right in enumerate(other, start=1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
    return row[-1]


def alike(one, other) -> float:
    return 1 - distance(one, other) / max(len(one), len(other), 1)


def attack(task: Task, example: Example, kind: str, seed: int, times: int = 3) -> Example:
    current = example
    rng = random.Random(seed)
    for _ in range(times):
        current = Attacker(task).attack(kind, example, current, rng)
    return current


@pytest.mark.parametrize("kind", OFFLINE)
@settings(max_examples=40)
@given(text=sentences, other=sentences, seed=st.integers(0, 10**6))
def test_floors_hold_however_often_a_text_is_attacked(kind, text, other, seed):
    example = Example("train:0", {"text": text, "from": other}, "glad", 0)
    current = attack(LABEL, example, kind, seed)
    for name, before in example.slots.items():
        after = current.slots[name]
        if before == after:
            continue
        if kind in CHARACTER:
            assert alike(before, after) >= 0.6
        elif kind == "deletion":
            assert alike(before.split(), after.split()) >= 0.6
        else:
            assert distance(before.split(), after.split()) == len(after.split()) - len(before.split()) <= 4
    assert (current.answer, current.gold, current.options) == ("glad", 0, ())
    assert (current.id == example.id) == (current.slots == example.slots)


@pytest.mark.parametrize("kind", OFFLINE)
@settings(max_examples=40)
@given(goal=sentences, one=sentences, two=sentences, gold=st.integers(0, 1), seed=st.integers(0, 10**6))
def test_options_keep_in_step_and_apart(kind, goal, one, two, gold, seed):
    slots = {"goal": goal, "sol1": one, "sol2": two}
    example = Example("train:7", slots, "AB"[gold], gold, (one, two))
    current = attack(PIQA, example, kind, seed, times=6)
    assert current.options == (current.slots["sol1"], current.slots["sol2"])
    assert (current.answer, current.gold) == (example.answer, example.gold)
    if one.casefold().split() != two.casefold().split():
        assert current.options[0].casefold().split() != current.options[1].casefold().split()
    assert example.slots == slots


@pytest.mark.parametrize("kind", OFFLINE)
def test_aliases_keep_in_step_and_the_blank_stays(kind):
    given = {"sentence": "Ann never lent Mary the 3 books because _ was careless.", "option1": "Ann", "option2": "Mary"}
    slots = {**given, **{WINOGRANDE.aliases[alias]: text for alias, text in given.items()}}
    example = Example("train:1", slots, "B", 1, ("Ann", "Mary"))
    seen = set()
    for seed in range(60):
        current = attack(WINOGRANDE, example, kind, seed)
        assert set(current.slots) == set(slots)
        for alias, name in WINOGRANDE.aliases.items():
            assert current.slots[alias] == current.slots[name]
        assert "_" in current.slots["sentence"].split()
        assert "3" in current.slots["sentence"].split()
        if kind == "deletion":
            assert "never" in current.slots["sentence"].split()
        assert current.options == (current.slots["option1"], current.slots["option2"])
        seen.add(current.slots["sentence"])
    assert len(seen) > 10


@pytest.mark.parametrize("kind", OFFLINE)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_words_of_labels_and_of_free_answers_stay(kind, seed):
    text = "I was glad, really glad, that the ferry to Stone Harbour left late and was not full."
    labelled = attack(LABEL, Example("a", {"text": text, "from": "me"}, "glad", 0), kind, seed)
    assert {"glad", "not"} <= {core(word) for word in labelled.slots["text"].split()}
    free = Example("b", {"text": text, "ask": "Where did it go?"}, "Stone Harbour")
    kept = attack(FREE, free, kind, seed)
    assert {"Stone", "Harbour"} <= set(kept.slots["text"].split())
    assert kept.answer == "Stone Harbour"


@pytest.mark.parametrize("kind", OFFLINE)
def test_an_ordinary_sentence_is_altered_and_a_seed_decides_how(kind):
    outcomes = [ATTACKS[kind](SENTENCE, random.Random(seed), ()) for seed in range(50)]
    assert outcomes == [ATTACKS[kind](SENTENCE, random.Random(seed), ()) for seed in range(50)]
    assert len(set(outcomes)) > 15
    assert all(text != SENTENCE for text in outcomes)
    assert all(allowed(kind, SENTENCE, text) for text in outcomes)


def test_what_each_kind_does():
    def of(kind: str) -> list[str]:
        return [ATTACKS[kind](SENTENCE, random.Random(seed), ()) for seed in range(40)]

    for text in (*of("typos"), *of("letters")):
        changed = [pair for pair in zip(SENTENCE.split(), text.split(), strict=True) if pair[0] != pair[1]]
        assert 1 <= len(changed) <= 3
        assert all(distance(*pair) <= 2 and "12" not in pair[0] for pair in changed)
    for text in of("trailing"):
        assert text.startswith(SENTENCE + " ")
        assert 1 <= len(text) - len(SENTENCE) - 1 <= 5
    for text in of("handle"):
        assert text.replace(SENTENCE, "").strip().startswith("@")
    for text in of("deletion"):
        assert 1 <= len(SENTENCE.split()) - len(text.split()) <= 2
        assert "12" in text.split()


def test_ids_follow_from_the_text():
    example = Example("train:0", {"text": SENTENCE, "from": "a keeper"}, "glad", 0)
    attacker = Attacker(LABEL)
    one = attacker.replaced("paraphrase", example, example, "text", SENTENCE.lower())
    assert one.id.startswith("train:0~")
    assert one.id == attacker.replaced("syntax", example, example, "text", SENTENCE.lower()).id
    back = attacker.replaced("paraphrase", example, one, "text", SENTENCE)
    assert back is example
    other = replace(example, id="train:1")
    assert attacker.replaced("syntax", other, other, "text", SENTENCE.lower()).id != one.id


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        ("synonyms", SENTENCE.replace("old", "aged").replace("storm", "gale"), True),
        ("synonyms", "An aged warden tallied a dozen vessels ahead of bad weather that arrived that day, 12.", False),
        ("paraphrase", "Before the storm blew in from the west, the old lighthouse keeper counted 12 boats.", True),
        ("paraphrase", "The keeper counted.", False),
        ("syntax", SENTENCE * 3, False),
        ("syntax", "  ", False),
    ],
)
def test_what_a_writer_may_send(kind, text, fits):
    assert kind in REWRITTEN
    assert allowed(kind, SENTENCE, text) is fits


def test_a_rewritten_text_without_its_answer_is_not_taken():
    example = Example("b", {"text": "The ferry goes to Stone Harbour.", "ask": "Where to?"}, "Stone Harbour")
    attacker = Attacker(FREE)
    assert attacker.replaced("paraphrase", example, example, "text", "The ferry goes to Stony Port.") is example
    taken = attacker.replaced("paraphrase", example, example, "text", "To Stone Harbour goes the ferry.")
    assert taken.slots["text"] == "To Stone Harbour goes the ferry."
