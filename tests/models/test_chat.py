"""Chats against what the tokenizer's own template writes of the whole conversation, family by family."""

from __future__ import annotations

import datetime as dt
import logging
import pickle

import pytest
from tokenizers import AddedToken, Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from paft.errors import EncodingError, InputError
from paft.models import Encoder

ASK = "{% if add_generation_prompt %}"
END = "{% endif %}"


def marked(body="{{ m.content }}", ask="<|im_start|>assistant\n", messages="messages"):
    """A template that writes turns as <|im_start|>role, the text, <|im_end|>."""
    turn = f"<|im_start|>{{{{ m.role }}}}\n{body}<|im_end|>\n"
    return f"{{% for m in {messages} %}}{turn}{{% endfor %}}{ASK}{ask}{END}"


def piped(ask):
    """A template without a line break between a mark and the text."""
    user, answer = "<|User|>{{ m.content }}", "<|Assistant|>{{ m.content }}{{ eos_token }}"
    turn = f"{{% if m.role == 'user' %}}{user}{{% elif m.role == 'assistant' %}}{answer}{{% else %}}{{{{ m.content }}}}"
    return f"{{{{ bos_token }}}}{{% for m in messages %}}{turn}{END}{{% endfor %}}{ASK}{ask}{END}"


CHANNELS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "<|return|>{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
LAST_SYSTEM = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if m.role == 'user' %}[INST] {% if loop.last and system is defined %}{{ system }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
STRICT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}<|im_start|>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
HYBRID = marked(
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
    "<|im_start|>assistant\n{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
)
PARTS = marked("{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}")
FAMILIES = {
    "turns in marks": marked(),
    "no break after the mark": piped("<|Assistant|>"),
    "asks for thoughts": piped("<|Assistant|><think>\n"),
    "always thinks": marked(
        "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
        "<|im_start|>assistant\n<think>\n",
    ),
    "thinks or not": HYBRID,
    "channels": CHANNELS,
    "asks for nothing": marked().split(ASK)[0],
    "spaces around answers": BRACKETS,
    "system beside the last turn": LAST_SYSTEM,
    "no system, roles alternate": STRICT,
    "wants parts": PARTS,
}
MARKS = ["<|im_start|>", "<|im_end|>", "<|User|>", "<|Assistant|>"]
MARKS += ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"]
ROW = "  It broke on day 3,\nhe said. Desk:"
USER, SYSTEM = {"role": "user", "content": ROW}, {"role": "system", "content": "You sort the post."}


@pytest.fixture
def chatting(tiny_tokenizer):
    def make(template, marks=MARKS, words=(), name="a model"):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(tiny_tokenizer.backend_tokenizer.to_str()),
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
        )
        tokenizer.add_special_tokens({"additional_special_tokens": list(marks)})
        tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
        tokenizer.chat_template = template
        tokenizer.name_or_path = name
        return tokenizer

    return make


def whole(tokenizer, turns, answer, **options):
    """The tokenizer's own ids of a conversation with the answer, and of what comes before it; one BOS in front."""
    last = {"role": "assistant", "content": answer}
    ids = tokenizer.apply_chat_template([*turns, last], enable_thinking=False, **options)["input_ids"]
    return ids if ids[0] == tokenizer.bos_token_id else [tokenizer.bos_token_id, *ids]


def check_alike(tokenizer, rendered, turns, answer="returns 2"):
    """Training, scoring and generation against the template's own, up to the line break behind the end mark."""
    encoder = Encoder(tokenizer, chat="on")
    got = encoder.encode(rendered, answer, end=True)
    own = whole(tokenizer, turns, answer)
    assert got.input_ids == own[: len(got.input_ids)]
    assert tokenizer.decode(own[len(got.input_ids) :]).strip() == ""
    before, after = got.input_ids[: got.answer_start], got.input_ids[got.answer_start :]
    assert tokenizer.decode(before[-40:]).rstrip(" \t") == tokenizer.decode(before[-40:])
    assert tokenizer.decode(after).lstrip(" ").startswith(answer)
    assert encoder.encode_prompts([rendered]) == [before]
    [[part, other]] = encoder.encode_answers([(rendered, [answer, "money"])])
    assert (part.prompt, part.answer) == (before, after[: -len(encoder.end_ids)])
    assert other.prompt == before
    assert encoder.end_id == after[-1]
    assert encoder.encode(rendered, answer, end=False).input_ids == [*part.prompt, *part.answer]
    return got


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_is_the_templates_own(family, chatting):
    turn = {**USER, "content": [{"type": "text", "text": ROW}]} if family == "wants parts" else USER
    tokenizer = chatting(FAMILIES[family])
    if family == "wants parts":
        last = {"role": "assistant", "content": [{"type": "text", "text": "returns 2"}]}
        own = [tokenizer.bos_token_id, *tokenizer.apply_chat_template([turn, last])["input_ids"]]
        got = Encoder(tokenizer, chat="on").encode(ROW, "returns 2", end=True)
        assert got.input_ids == own[: len(got.input_ids)]
        assert "day 3" in tokenizer.decode(own)
    else:
        got = check_alike(tokenizer, ROW, [USER])
        check_alike(tokenizer, [USER, {"role": "assistant", "content": "post"}, USER], [USER, ANSWERED, USER])
    text = tokenizer.decode(got.input_ids)
    assert text.count("<s>") == 1
    assert text.count("<think>") == text.count("</think>")


ANSWERED = {"role": "assistant", "content": "post"}


def test_what_an_answer_begins_and_ends_with(chatting):
    """Worked out by hand from the templates."""
    ends = {
        "turns in marks": "returns<|im_end|>",
        "no break after the mark": "returns</s>",
        "channels": "returns<|return|>",
        "spaces around answers": " returns </s>",
        "system beside the last turn": " returns</s>",
    }
    for family, wanted in ends.items():
        tokenizer = chatting(FAMILIES[family])
        got = Encoder(tokenizer, chat="on").encode(ROW, "returns", end=True)
        assert tokenizer.decode(got.input_ids[got.answer_start :]) == wanted, family


def test_a_system_message_that_is_kept_stays_a_turn(chatting):
    for family in ("turns in marks", "no break after the mark", "channels", "always thinks"):
        check_alike(chatting(FAMILIES[family]), [SYSTEM, USER], [SYSTEM, USER])


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("spaces around answers", "does not write the system message"),
        ("system beside the last turn", "does not write the system message"),
        ("no system, roles alternate", "System role not supported"),
    ],
)
def test_a_system_message_that_would_be_lost_opens_the_users_turn(family, why, chatting, caplog):
    tokenizer = chatting(FAMILIES[family], name=f"merged {family}")
    merged = {"role": "user", "content": f"{SYSTEM['content']}\n\n{ROW}"}
    check_alike(tokenizer, [SYSTEM, USER], [merged])
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "opens the user's" in r.message]
    assert len(said) == 1
    assert why in said[0]
    assert f"merged {family}" in said[0]


def test_neighbours_of_one_role_are_one_turn_where_roles_must_alternate(chatting):
    tokenizer = chatting(STRICT)
    more = {"role": "user", "content": "Answer in a word."}
    joined = {"role": "user", "content": f"{SYSTEM['content']}\n\n{ROW}\n\nAnswer in a word."}
    check_alike(tokenizer, [SYSTEM, USER, more], [joined])
    check_alike(chatting(marked()), [SYSTEM, USER, more], [SYSTEM, USER, more])


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (marked(messages="messages[1:]"), "does not write the user message"),
        (marked("{{ m.content | upper }}"), "does not write an assistant's answer"),
        (marked("{{ m.content }}{{ m.content }}"), "writes an answer 2 times"),
        (marked("{% if m.role == 'user' %}{{ m.content }}{% endif %}"), "does not write an assistant's answer"),
        (marked("{% if '7' in m.content %}!{% endif %}{{ m.content }}"), "writes other things around one answer"),
        (
            marked("{% if m.role == 'assistant' %}<think>\n{% endif %}{{ m.content }}") + "{# </think> #}",
            "<think> open",
        ),
        (marked("{{ raise_exception('No.') }}"), "refuses the conversation: No."),
        (marked("{{ m.content + 1 }}"), "refuses the conversation"),
        ("{% for m in messages %}", "refuses the conversation"),
        ({"rag": marked(), "tools": marked()}, "no default"),
    ],
)
def test_a_template_in_which_no_answer_can_be_told_is_refused_by_name(template, why, chatting):
    for chat in ("on", "auto"):
        with pytest.raises(InputError, match=r"chat template of org/odd[\s\S]*--chat off") as refused:
            Encoder(chatting(template, name="org/odd"), chat=chat)
        assert why in str(refused.value)
        assert len(str(refused.value).splitlines()) <= 3
    Encoder(chatting(template), chat="off").encode(ROW, "returns", end=True)


def test_named_templates_are_read_by_their_default(chatting):
    plain, named = chatting(marked()), chatting({"default": marked(), "tools": "{{ raise_exception('No.') }}"})
    assert Encoder(named, chat="on").encode(ROW, "A", True) == Encoder(plain, chat="on").encode(ROW, "A", True)


def test_a_row_that_the_template_alters_is_refused(chatting):
    tokenizer = chatting(marked("{{ m.content | replace('  ', ' ') }}"))
    encoder = Encoder(tokenizer, chat="on")
    encoder.encode("one space. Desk:", "A", end=True)
    with pytest.raises(EncodingError, match="does not write the user message as it is"):
        encoder.encode("two  spaces. Desk:", "A", end=True)


def test_rows_that_hold_what_stands_in_for_an_answer(chatting):
    encoder = Encoder(chatting(marked()), chat="on")
    assert "zqanswer1kx, zqanswer1kxx" in encoder.prompt_text("zqanswer1kx, zqanswer1kxx Desk:")


def test_what_tokenizer_and_template_both_put_in_front_stands_once(chatting):
    tokenizer = chatting("[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}", ())
    tokenizer.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>", "<|user|>", "<|assistant|>"]})
    front = tokenizer.convert_tokens_to_ids(["[gMASK]", "<sop>"])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[gMASK] <sop> $A", special_tokens=[("[gMASK]", front[0]), ("<sop>", front[1])]
    )
    own = tokenizer.apply_chat_template([USER, {"role": "assistant", "content": "post"}])["input_ids"]
    encoder = Encoder(tokenizer, chat="on")
    assert encoder.encode(ROW, "post", end=True).input_ids == [*own, tokenizer.eos_token_id]
    assert encoder.encode_prompts([ROW])[0][:3] == [*front, tokenizer.convert_tokens_to_ids("<|user|>")]
    tokenizer.chat_template = tokenizer.chat_template.replace("[gMASK]", "")  # half of it
    assert Encoder(tokenizer, chat="on").encode(ROW, "post", end=True).input_ids == [*own, tokenizer.eos_token_id]


def test_marks_of_the_template_are_refused_in_a_row_be_they_special_or_not(chatting):
    words = ["<think>", "</think>", "<|User|>", "<|Assistant|>", "<b>", "\n\n", "  ", "user"]
    template = piped("<|Assistant|><think>\n") + "{% set kept = '</think>' %}"
    encoder = Encoder(chatting(template, ["<|spare|>"], words), chat="on")
    for mark in ("<think>", "</think>", "<|User|>", "<|Assistant|>", "<|spare|>", "</s>"):
        for turns in (f"so {mark} it is", [SYSTEM, {"role": "user", "content": mark}]):
            with pytest.raises(EncodingError, match="user message holds") as refused:
                encoder.encode_prompts([turns])
            assert mark in str(refused.value)
        with pytest.raises(EncodingError, match="the answer"):
            encoder.encode("Desk:", f"A{mark}", end=True)
    encoder.encode("a <b>user</b>\n\nwith  two spaces", "A", end=True)  # added words that no conversation is made of
    plain = Encoder(chatting(template, ["<|spare|>"], words), chat="off")
    plain.encode("so </think> it is", "A", end=True)


def test_a_mark_that_takes_the_space_behind_it(chatting):
    """The space goes with the mark's token, so the answer begins without it."""
    template = "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}</s>{% endfor %}"
    tokenizer = chatting(template, ())
    tokenizer.add_tokens([AddedToken(f"<|{r}|>", rstrip=True, special=True) for r in ("user", "assistant")])
    got = check_alike_ids(tokenizer)
    assert tokenizer.decode(got.input_ids[got.answer_start :]) == "returns</s>"


def check_alike_ids(tokenizer):
    got = Encoder(tokenizer, chat="on").encode("It broke.", "returns", end=True)
    assert got.input_ids == whole(tokenizer, [{"role": "user", "content": "It broke."}], "returns")
    return got


def test_where_the_template_asks_otherwise_than_it_answers_it_is_said(chatting, caplog):
    for family, said in {"turns in marks": 0, "channels": 1, "thinks or not": 0, "spaces around answers": 0}.items():
        caplog.clear()
        tokenizer = chatting(FAMILIES[family], name=f"asks {family}")
        for _ in range(2):
            Encoder(tokenizer, chat="on")
        assert sum("asks for an answer with" in r.getMessage() for r in caplog.records) == said, family


def test_marks_that_are_no_tokens(chatting, caplog):
    tokenizer = chatting(marked(), (), name="markless")
    got = Encoder(tokenizer, chat="on").encode(ROW, "A", end=True)
    assert tokenizer.decode(got.input_ids[got.answer_start :]) == "A</s>"
    assert any("is no token of the tokenizer" in r.getMessage() for r in caplog.records)


def test_workers_can_be_given_an_encoder(chatting):
    encoder = Encoder(chatting(marked()), chat="on")
    assert pickle.loads(pickle.dumps(encoder)).encode(ROW, "A", True) == encoder.encode(ROW, "A", True)


DATED = "{% if strftime_now is defined %}Today is {{ strftime_now('%A, %-d %B %Y, 100%%') }}.\n{% endif %}" + marked()


def test_a_day_is_pinned(chatting):
    tokenizer = chatting(DATED)
    encoder = Encoder(tokenizer, chat="on", date="2024-02-29")
    assert encoder.date == "2024-02-29"
    assert encoder.prompt_text(ROW).startswith("Today is Thursday, 29 February 2024, 100%.\n<|im_start|>user\n")
    today = Encoder(tokenizer, chat="on")
    assert abs(dt.date.fromisoformat(today.date) - dt.date.today()) <= dt.timedelta(days=1)
    if today.date == dt.date.today().isoformat():
        assert today.encode(ROW, "A", True).input_ids == whole(tokenizer, [USER], "A")[:-1]


@pytest.mark.parametrize(
    "template",
    [
        "\n  {% if true %}x{% endif %}\n" + marked() + "{{ strftime_now('%Y') }}",
        "{% macro day() %}{{ strftime_now('%d.%m.') ~ strftime_now('%H:%M:%S') }}{% endmacro %}{{ day() }}" + marked(),
        "{%- set d = strftime_now('%Y-%m-%d') -%}\n\n{{ d[:4] | int + 1 }}" + marked(),
        marked("{{ m.content }}{% if loop.last %}{{ strftime_now(format='%j') }}{% endif %}"),
    ],
)
def test_but_for_the_day_a_template_writes_what_it_wrote(template, chatting):
    """The template with its clock against one with the day written out."""
    values = {"%Y": "2024", "%m": "02", "%d": "09", "%H": "00", "%M": "00", "%S": "00", "%j": "040"}
    written = template
    for call in ("%Y-%m-%d", "%Y", "%d.%m.", "%H:%M:%S", "%j"):
        text = call
        for directive, value in values.items():
            text = text.replace(directive, value)
        written = written.replace(f"strftime_now('{call}')", f"'{text}'").replace(
            f"strftime_now(format='{call}')", f"'{text}'"
        )
    assert "strftime_now" not in written
    pinned, plain = Encoder(chatting(template), chat="on", date="2024-02-09"), Encoder(chatting(written), chat="on")
    assert pinned.prompt_text([SYSTEM, USER]) == plain.prompt_text([SYSTEM, USER])
    assert (pinned.date, plain.date) == ("2024-02-09", None)


def test_a_day_that_decides_nothing_is_not_recorded(chatting):
    unused = "{% if tools %}{{ strftime_now('%Y') }}{% endif %}"
    assert Encoder(chatting(unused + marked()), chat="on", date="2024-01-01").date is None
    assert Encoder(chatting(DATED), chat="off", date="2024-01-01").date is None
    only_alone = "{% if messages[0].role != 'system' %}{{ strftime_now('%Y') }}{% endif %}"
    assert Encoder(chatting(only_alone + marked()), chat="on", date="2024-01-01").date == "2024-01-01"


@pytest.mark.parametrize("day", ["yesterday", "2024-13-01", "01.02.2024"])
def test_no_day_is_refused(day, chatting):
    with pytest.raises(InputError, match="--date must be a day such as"):
        Encoder(chatting(DATED), chat="on", date=day)
