"""Rows of each process, micro-batches by tokens, and the tensors made from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training.helpers import TEMPLATES, make_examples

from paft.errors import EncodingError, InputError
from paft.models import Encoder, Encoding, TooLongError
from paft.prompts import PromptSet
from paft.training.batches import Collator, PlanBatches, PlanDataset, Row
from paft.training.packing.micro import IGNORED, Item, pad, split
from paft.training.plan import EpochPlan


def planned(count: int, **options) -> PlanBatches:
    batches = PlanBatches(count, **options)
    ids = [str(i) for i in range(count)]
    batches.set_plan(EpochPlan(0, ids, ["p"] * count), ids, ["p"])
    return batches


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_processes_share_each_step_and_no_position_is_lost(count, per_device, accumulation, world):
    shares = [
        planned(count, per_device=per_device, accumulation=accumulation, world=world, rank=rank)
        for rank in range(world)
    ]
    batches = [[[row.position for row in batch] for batch in share] for share in shares]
    assert {len(b) for b in batches} == {len(shares[0])}
    assert all(len(batch) <= per_device for share in batches for batch in share)
    assert sorted(p for share in batches for batch in share for p in batch) == list(range(count))
    step = per_device * accumulation * world
    for index in range(shares[0].steps):
        mine = [p for s in batches for b in s[index * accumulation : (index + 1) * accumulation] for p in b]
        assert sorted(mine) == list(range(index * step, min(count, (index + 1) * step)))


def test_one_process_keeps_plan_order():
    assert [[r.position for r in b] for b in planned(7, per_device=3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_drop_last():
    assert [len(b) for b in planned(7, per_device=3, drop_last=True)] == [3, 3]
    with pytest.raises(InputError, match="2 examples do not fill one step of 3"):
        PlanBatches(2, per_device=3, drop_last=True)


def test_a_plan_of_other_data():
    with pytest.raises(InputError, match="names 'gone', which is not in the data"):
        PlanBatches(1, 1).set_plan(EpochPlan(3, ["gone"], ["p"]), ["here"], ["p"])


def items(*lengths: int) -> list[Item]:
    return [Item(i, f"row {i}", Encoding(list(range(3, 3 + n)), n - 2)) for i, n in enumerate(lengths)]


@given(st.lists(st.integers(3, 40), min_size=1, max_size=30), st.integers(40, 200))
def test_micro_batches_stay_within_the_tokens(lengths, batch_tokens):
    groups = split(items(*lengths), batch_tokens)
    assert sorted(i.position for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        widths = [len(i.encoding.input_ids) for i in group]
        assert len(group) * max(widths) <= batch_tokens


@given(st.lists(st.integers(3, 40), min_size=1, max_size=8), st.integers(40, 200), st.sampled_from([0, 5, 32, 1000]))
def test_micro_batches_take_the_fewest_tokens(lengths, batch_tokens, start_tokens):
    """Against all ways to cut the rows, sorted by length."""

    def cost(groups: list[list[int]]) -> int:
        return sum(len(group) * max(group) + start_tokens for group in groups)

    order, best = sorted(lengths, reverse=True), 10**9
    for cuts in product([False, True], repeat=len(order) - 1):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut]
        groups = [order[a:b] for a, b in pairwise([0, *ends, len(order)])]
        if all(len(group) * max(group) <= batch_tokens for group in groups):
            best = min(best, cost(groups))
    found = split(items(*lengths), batch_tokens, start_tokens=start_tokens)
    assert cost([[len(i.encoding.input_ids) for i in group] for group in found]) == best


def test_a_batch_too_small_for_one_example():
    with pytest.raises(InputError, match=r"row 1 takes 12 tokens, more than --batch-tokens 10; raise it"):
        split(items(5, 12, 7), 10)


def test_left_padding_positions_and_labels():
    rows = [Item(4, "", Encoding([1, 5, 6, 7, 2], 3)), Item(9, "", Encoding([1, 8, 2], 2))]
    micro = pad(rows, pad_id=0)
    assert micro["input_ids"].tolist() == [[1, 5, 6, 7, 2], [0, 0, 1, 8, 2]]
    assert micro["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]
    assert micro["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 1, 2]]
    assert micro["labels"].tolist() == [[7, 2], [IGNORED, 2]]
    assert micro["positions"].tolist() == [4, 9]
    assert micro["input_ids"].dtype == torch.long


@pytest.fixture
def dataset(tiny_tokenizer) -> PlanDataset:
    prompts = list(PromptSet.from_texts(TEMPLATES))
    return PlanDataset(make_examples(12, "train"), prompts, Encoder(tiny_tokenizer), "error")


def test_labels_are_the_answer_and_the_end_token(dataset, tiny_tokenizer):
    rows = [Row(i, i, i % len(TEMPLATES)) for i in range(12)]
    batch = Collator(0, 4096)(dataset.__getitems__(rows))
    assert batch["dropped"] == 0
    micros = batch["micro"]
    assert len(micros) > 1
    assert batch["answer_tokens"] == sum(int((micro["labels"] != IGNORED).sum()) for micro in micros)
    assert sorted(torch.cat([micro["positions"] for micro in micros]).tolist()) == list(range(12))
    found = (zip(m["input_ids"], m["labels"], m["positions"].tolist(), strict=True) for m in micros)
    for ids, labels, position in chain.from_iterable(found):
        kept = labels[labels != IGNORED]
        newline = TEMPLATES[position % len(TEMPLATES)].endswith("\n")
        answer = ("" if newline else " ") + dataset.examples[position].answer
        assert tiny_tokenizer.decode(kept) == answer + "</s>"
        assert ids[-len(kept) :].tolist() == kept.tolist()
        assert (ids == tiny_tokenizer.bos_token_id).sum() == 1


def test_rows_that_are_too_long_are_named_or_counted(dataset):
    rows = [Row(0, 0, 4), Row(1, 3, 1)]
    short, long = (len(item.encoding.input_ids) for item in dataset.encode(rows))
    assert short < long
    dataset.encoder.max_length = long - 1
    bad = dataset.__getitems__(rows)
    assert isinstance(bad, TooLongError)
    prompt = dataset.prompts[1].id
    assert str(bad).startswith(f"example 'train:3' under prompt '{prompt}': prompt and answer take")
    assert Collator(0, 100)(bad) == {"error": bad}
    dataset.on_long = "drop"
    batch = Collator(0, 100)(dataset.__getitems__(rows))
    assert batch["dropped"] == 1
    assert [m["positions"].tolist() for m in batch["micro"]] == [[0]]


def test_an_answer_without_tokens_names_the_row(dataset):
    """After a line break the answer has no space of its own, so an empty one is nothing at all."""
    dataset.examples[5] = replace(dataset.examples[5], answer="")
    with pytest.raises(EncodingError, match="example 'train:5' under prompt .*: the answer '' has no tokens"):
        dataset.encode([Row(0, 4, 2), Row(1, 5, 2), Row(2, 6, 2)])


def test_text_of_every_kind_goes_through(tiny_tokenizer):
    odd = ["{text} {{x}} {0.__class__}", "quo\"te's\n\nnew\tline", "😀 e\u0301 \u202e", "</s><s><pad>", "x" * 100_000]
    examples = [replace(e, slots={"text": t, "hint": "a"}) for e, t in zip(make_examples(5, "train"), odd, strict=True)]
    prompts = list(PromptSet.from_texts(TEMPLATES))
    dataset = PlanDataset(examples, prompts, Encoder(tiny_tokenizer), "drop")
    found = dataset.encode([Row(i, i, 0) for i in range(5)])
    assert [item.encoding is None for item in found] == [False] * 4 + [True]
    for item, text in zip(found[:4], odd, strict=False):
        ids = item.encoding.input_ids
        assert text in tiny_tokenizer.decode(ids[1:-1])
        assert ids.count(tiny_tokenizer.eos_token_id) == 1
