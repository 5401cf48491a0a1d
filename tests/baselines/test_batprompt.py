"""BATprompt offline: the search on a made-up surface, and its record."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from baselines.surface import Surface, damage, make_examples

from paft.baselines.attacks import OFFLINE, REWRITTEN
from paft.baselines.base import Scored
from paft.baselines.batprompt import BatPrompt
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.prompts.generation.grammar import grammar_templates
from paft.tasks import load_task

PIQA = load_task("piqa")
USER = Prompt.from_text(PIQA.user_prompt, id="user")
TEXTS = list(islice(grammar_templates(PIQA, seed=7), 60))
POOL = PromptSet.from_texts(TEXTS)
STRENGTH = {text: 0.2 + 5 * at / len(TEXTS) for at, text in enumerate(TEXTS)}


def surface(count: int = 40) -> Surface:
    return Surface(make_examples(count), STRENGTH)


def test_the_pick_bears_what_the_user_prompt_does_not():
    score = surface()
    selection = BatPrompt(PIQA, USER).select(POOL, score)
    facts = selection.facts
    assert selection.method == "batprompt"
    assert selection.prompt.text in TEXTS
    assert selection.score > facts["user_prompt"]["score"] + 0.3
    assert [each.score for each in selection.scores] == sorted((each.score for each in selection.scores), reverse=True)
    assert selection.scores[0].prompt_id == selection.prompt.id
    assert {each.examples for each in selection.scores} == {20 * len(OFFLINE)}
    strongest = max(
        (STRENGTH[str(POOL[each.prompt_id].text)], each.prompt_id)
        for each in selection.scores
        if each.prompt_id in POOL
    )
    assert strongest[1] == selection.prompt.id
    # 5 rounds of 14 drawn, 7 of them scored, until 60 prompts are used up: 14 x 4 + 4
    assert [len(each["candidates"]) for each in facts["history"]] == [7, 7, 7, 7, 4]
    assert len(selection.scores) == 1 + 32
    assert all(len(each["kept"]) <= 5 for each in facts["history"])
    starts = [each["prompt_id"] for each in facts["history"]]
    assert starts == ["user", *(each["kept"][0] for each in facts["history"][:-1])]


def test_the_score_is_the_mean_over_kinds_of_altered_examples():
    score = surface()
    selection = BatPrompt(PIQA, USER, rounds=1).select(POOL, score)
    first = [example for prompt, example in score.asked if prompt == "user"]
    originals = {example.id: example for example in score.examples}
    ground = first[: next(at for at, example in enumerate(first) if at and example.id in originals)]
    user = selection.facts["by_attack"]["user"]
    assert set(user) == set(OFFLINE)
    assert selection.facts["user_prompt"]["score"] == pytest.approx(np.mean(list(user.values())))
    right = [score.margin(USER, example) > 0 for example in ground]
    assert len(ground) == 20 * len(OFFLINE)  # no two kinds made the same text, so the mean over kinds is the plain one
    assert selection.facts["user_prompt"]["score"] == pytest.approx(np.mean(right))
    assert all(20 >= count >= 18 for count in selection.facts["altered"].values())


def test_answers_and_training_examples_are_left_alone():
    score = surface()
    before = [replace(example, slots=dict(example.slots)) for example in score.examples]
    BatPrompt(PIQA, USER, rounds=2).select(POOL, score)
    assert list(score.examples) == before
    originals = {example.id: example for example in before}
    texts: dict[str, dict[str, str]] = {}
    for _, example in score.asked:
        original = originals[example.id.split("~")[0]]
        assert (example.answer, example.gold) == (original.answer, original.gold)
        assert example.options == (example.slots["sol1"], example.slots["sol2"])
        assert texts.setdefault(example.id, dict(example.slots)) == example.slots
        assert (example.id == original.id) == (damage(example, original) == 0)


def test_each_step_keeps_the_most_damaging_variant():
    score = surface()
    selection = BatPrompt(PIQA, USER, rounds=1, steps=3).select(POOL, score)
    (history,) = selection.facts["history"]
    assert history["right_before"] == dict.fromkeys(OFFLINE, 5)  # strength 0.5, no damage
    assert history["right_after"]["typos"] == 0
    scored_on = {e.id.split("~")[0] for _, e in score.asked[: 20 * len(OFFLINE)]}
    assert not scored_on & set(history["examples"])
    # the prompts of the set met the worst of what was tried on each example
    attacked = [e for p, e in score.asked if p != "user" and e.id.split("~")[0] in history["examples"]]
    tried = [e for p, e in score.asked if p == "user" and e.id.split("~")[0] in history["examples"]]
    worst = {i: min(score.margin(USER, e) for e in tried if e.id.split("~")[0] == i) for i in history["examples"]}
    for i in history["examples"]:
        assert min(score.margin(USER, e) for e in attacked if e.id.split("~")[0] == i) == worst[i]


def test_a_seed_decides_everything():
    runs = [BatPrompt(PIQA, USER, seed=seed, rounds=2).select(POOL, surface()) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0].facts["history"][0]["examples"] != runs[2].facts["history"][0]["examples"]
    assert runs[0].facts["history"][0]["candidates"] != runs[2].facts["history"][0]["candidates"]


def test_the_record_says_what_was_not_done():
    selection = BatPrompt(PIQA, USER, rounds=2).select(POOL, surface())
    facts = json.loads(json.dumps(selection.facts))
    assert facts["offline"] is True
    assert facts["candidates"] == "drawn from the prompt set"
    assert facts["writer"] is None
    assert facts["rounds"] == 2
    assert facts["attacks"] == list(OFFLINE)
    assert facts["attacks_left_out"] == list(REWRITTEN)


def test_small_sets_and_few_examples():
    selection = BatPrompt(PIQA, USER).select(PromptSet([USER, *list(POOL)[:3]]), surface(3))
    assert selection.facts["rounds"] == 1
    assert {each.prompt_id for each in selection.scores} == {"user", *POOL.ids[:3]}
    assert {each.examples for each in selection.scores} == {3 * len(OFFLINE)}
    alone = BatPrompt(PIQA, USER).select(PromptSet([USER]), surface(3))
    assert alone.prompt is USER
    assert alone.facts["rounds"] == 0


def test_free_answers_have_no_margins():
    class Flat(Surface):
        def __call__(self, prompts, examples):
            correct_pn, margin_pn = super().__call__(prompts, examples)
            return Scored(correct_pn, np.zeros_like(margin_pn))

    selection = BatPrompt(PIQA, USER, rounds=1).select(POOL, Flat(make_examples(), STRENGTH))
    (history,) = selection.facts["history"]
    assert sum(history["right_after"].values()) < sum(history["right_before"].values())


@pytest.mark.parametrize("bad", [{"rounds": 0}, {"seed": -1}, {"steps": 0}, {"paraphrased": -1}])
def test_numbers_that_cannot_be_used(bad):
    with pytest.raises(InputError, match="must be at least"):
        BatPrompt(PIQA, USER, **bad)


def test_no_examples():
    with pytest.raises(InputError, match="needs training examples"):
        BatPrompt(PIQA, USER).select(POOL, surface(0))
