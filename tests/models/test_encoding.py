"""Encoding against what the tokenizer itself makes of the whole string."""

from __future__ import annotations

import random

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from paft.errors import EncodingError, InputError
from paft.models import Encoder, TooLongError
from paft.models.tails import LOCAL_PATTERNS, reads_locally

CHATML = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


def with_chat(tokenizer, template=CHATML):
    copy = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )
    copy.chat_template = template
    return copy


@pytest.mark.parametrize(
    "prompt", ["Which is it? Answer:", "Pick one.\nAnswer:  \t", 'Braces {a} and "quotes" 😀 é', "x" * 3000 + " ?"]
)
@pytest.mark.parametrize("answer", ["A", "description", "two words"])
def test_ids_are_the_tokenizers_own_of_the_whole_string(tiny_tokenizer, prompt, answer):
    got = Encoder(tiny_tokenizer, max_length=5000).encode(prompt, answer, end=False)
    stripped = prompt.rstrip(" \t")
    assert got.input_ids == tiny_tokenizer(f"{stripped} {answer}")["input_ids"]
    assert tiny_tokenizer.decode(got.input_ids[got.answer_start :]) == f" {answer}"
    assert got.input_ids.count(tiny_tokenizer.bos_token_id) == 1


def test_no_space_after_a_newline(tiny_tokenizer):
    got = Encoder(tiny_tokenizer).encode("Answer below.\n", "A", end=True)
    assert tiny_tokenizer.decode(got.input_ids[got.answer_start :]) == "A</s>"


def test_end_token_closes_the_answer_only_when_asked(tiny_tokenizer):
    encoder = Encoder(tiny_tokenizer)
    short, long = (encoder.encode("Answer:", "B", end) for end in (False, True))
    assert long.input_ids == [*short.input_ids, tiny_tokenizer.eos_token_id]
    assert long.answer_start == short.answer_start


def test_special_tokens_in_text_stay_text(tiny_tokenizer):
    got = Encoder(tiny_tokenizer).encode("A row with </s> and <s> in it. Answer:", "A", end=False)
    assert tiny_tokenizer.eos_token_id not in got.input_ids
    assert got.input_ids.count(tiny_tokenizer.bos_token_id) == 1


def test_a_batch_equals_its_parts(tiny_tokenizer):
    encoder = Encoder(tiny_tokenizer)
    items = [("One? Answer:", "A"), ("A longer prompt of words\n", "B"), ("Again:", "location")]
    assert encoder.encode_batch(items, end=True) == [encoder.encode(*item, end=True) for item in items]


def test_too_long_is_an_error_or_a_gap_never_a_cut(tiny_tokenizer):
    encoder = Encoder(tiny_tokenizer, max_length=8)
    with pytest.raises(TooLongError, match="--max-length 8"):
        encoder.encode("many words that will not fit into eight tokens", "A", end=True)
    assert encoder.encode_batch([("a" * 50, "A"), ("b", "A")], True, on_long="none")[0] is None


def test_chat_template_has_one_bos_and_its_own_end(tiny_tokenizer):
    encoder = Encoder(with_chat(tiny_tokenizer), chat="auto")
    got = encoder.encode(
        [{"role": "system", "content": "Be short. "}, {"role": "user", "content": "Which?"}], "A", True
    )
    text = tiny_tokenizer.decode(got.input_ids)
    assert text == "<s>[system]\nBe short.</s>\n[user]\nWhich?</s>\n[assistant]\nA</s>"
    assert tiny_tokenizer.decode(got.input_ids[got.answer_start :]) == "A</s>"


def test_chat_end_is_the_templates_end_of_turn(tiny_tokenizer):
    tokenizer = with_chat(tiny_tokenizer, CHATML.replace("{{ eos_token }}", "<turn>"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    assert Encoder(tokenizer, chat="on").end_id == tokenizer.convert_tokens_to_ids("<turn>")


def test_a_template_without_system_role_gets_the_text_in_the_users_turn(tiny_tokenizer):
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
    encoder = Encoder(with_chat(tiny_tokenizer, strict), chat="on")
    text = encoder.prompt_text([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])
    assert text == "<s>[user]\nS\n\nU</s>\n[assistant]\n"


def test_chat_text_cannot_forge_the_templates_marks(tiny_tokenizer):
    with pytest.raises(EncodingError, match="special token"):
        Encoder(with_chat(tiny_tokenizer), chat="on").encode("Ignore this</s> and", "A", True)


def test_messages_without_a_chat_template_are_joined(tiny_tokenizer):
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U:"}]
    assert Encoder(tiny_tokenizer).prompt_text(messages) == "S\n\nU:"


def test_chat_on_without_a_template_is_refused(tiny_tokenizer):
    with pytest.raises(InputError, match="no chat template"):
        Encoder(tiny_tokenizer, chat="on")


def test_a_token_across_the_boundary_is_refused():
    raw = Tokenizer(
        models.BPE(vocab={"[": 0, "e": 1, " ": 2, "A": 3, " A": 4, "e A": 5}, merges=[(" ", "A"), ("e", " A")])
    )
    raw.pre_tokenizer = pre_tokenizers.Split("[", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="[")
    with pytest.raises(EncodingError, match="one token covers"):
        Encoder(tokenizer).encode("e", "A", end=False)


def test_prompts_alone_carry_the_same_prefix(tiny_tokenizer):
    assert Encoder(tiny_tokenizer).encode_prompts(["Which? ", "So\n"]) == [
        tiny_tokenizer("Which?")["input_ids"],
        tiny_tokenizer("So\n")["input_ids"],
    ]


PATTERNS = {
    "bytes": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    "prefix space": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "spaces": pre_tokenizers.Metaspace(),
    **{
        pattern: pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        for pattern in sorted(LOCAL_PATTERNS)
    },
}
PIECES = [
    "Answer:",
    " the",
    "\n",
    "\n\n",
    "  ",
    "\t",
    "'",
    "'s",
    "12345",
    " 7",
    "é",
    "🙂",
    ".",
    "...\n",
    "\u00a0",
    "A",
    "it's",
]
ANSWERS = ["A", "Answer", "'s", "12", "\n", "two words", "é!", "...", "s", "  x", "llama"]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("normalizer", [None, normalizers.NFC(), normalizers.NFKC()])
def test_answers_are_read_as_with_the_whole_string(name, normalizer):
    """Whatever stands at the boundary: the same ids and errors as one prompt and answer at a time."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = PATTERNS[name]
    if normalizer is not None:
        raw.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    rng = random.Random(name)
    made = ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(300)]
    raw.train_from_iterator([f"{p} {a}" for p in made for a in ANSWERS], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    encoder, seen = Encoder(tokenizer), 0
    assert reads_locally(tokenizer) == (name not in ("prefix space", "spaces"))
    for prompt in made:
        answers = rng.sample(ANSWERS, 5)
        try:
            wanted = [encoder.encode(prompt, answer, end=False) for answer in answers]
        except EncodingError:
            with pytest.raises(EncodingError):
                encoder.encode_answers([(prompt, answers)])
            continue
        [parts] = encoder.encode_answers([(prompt, answers)])
        for one, part in zip(wanted, parts, strict=True):
            assert [*part.prompt, *part.answer] == one.input_ids
            assert len(part.prompt) == one.answer_start
        seen += 1
    assert seen > 100
