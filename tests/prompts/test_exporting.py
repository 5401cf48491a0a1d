"""Exports: what is written comes back, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.cli.main import main
from paft.errors import InputError, OutputError
from paft.prompts import Prompt, PromptSet, export_prompts, import_prompts
from paft.prompts.jinja import text_of, to_yaml
from paft.tasks import load_task
from paft.tasks.base import Task

TEXTS = [
    "Message: {text}\nDepartment:",
    '"{text}", said he; "so it is:\n\n',
    "  {{{text}}} or {{% if %}} or {{{{ text }}}} or {{# no #}}: ",
    "a\ttab, a comma; {text} ‘ö’ 🙂\u2028 'x' |",
    "# {text}\n- key: value\n! & * ? :",
    "{text}",
]
HOSTILE = ["plain", "{{ 7 * 7 }}", "{% raw %}", "a\r\nb\n", "{# gone #}", '"\\n" \\', "  ", "", "||", "{"]
TURNS = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "{text}\nDepartment:"}]


@pytest.fixture
def prompts() -> PromptSet:
    sources = [{"kind": "human"}, {}, {"kind": "llm", "model": 'a "b", c', "n": 3, "deep": {"x": [1, None]}}]
    made = [Prompt.from_text(text, sources[i % 3]) for i, text in enumerate(TEXTS)]
    last = Prompt(id='ä, "odd"\nid', template=made[-1].template, split="test", group="g")
    return PromptSet([*made[:-1], last])


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_what_is_written_comes_back_equal(prompts: PromptSet, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"out.{format}"
    report = export_prompts(prompts, path, format)
    assert (report.path, report.prompts, report.notes) == (path, len(TEXTS), ())
    back, about = import_prompts(path)
    assert list(back) == list(prompts)
    assert about.changes == []


def test_text_comes_back_with_its_line_breaks(prompts: PromptSet, tmp_path: Path) -> None:
    report = export_prompts(prompts, tmp_path / "out.txt", "txt")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").count("\n") == len(TEXTS)
    assert [p.text for p in import_prompts(tmp_path / "out.txt")[0]] == TEXTS
    assert report.notes == ("ids, sources, splits and groups are not in a text file",)
    plain = PromptSet.from_texts(TEXTS)
    assert export_prompts(plain, tmp_path / "plain.txt", "txt").notes == ()
    assert [p.id for p in import_prompts(tmp_path / "plain.txt")[0]] == plain.ids


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=4, unique=True))
def test_any_text_comes_back_or_is_refused(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    texts = [word.replace("{", "{{").replace("}", "}}") + " {text}" for word in words]
    prompts = PromptSet.from_texts(texts, {"kind": "human"})
    folder = tmp_path_factory.mktemp("any")
    lost = any("\\n" in text or "\r" in text for text in texts)
    for format in ("csv", "txt"):
        path = folder / f"out.{format}"
        if lost or (format == "txt" and texts[0][0] == "\ufeff"):
            with pytest.raises(InputError, match="would not come back"):
                export_prompts(prompts, path, format)
        else:
            export_prompts(prompts, path, format)
            assert [p.text for p in import_prompts(path)[0]] == texts


@pytest.mark.parametrize("text", ["two characters \\n {text}", "a carriage\r return {text}", "\ufeffmark {text}"])
def test_what_cannot_come_back_is_refused(text: str, tmp_path: Path) -> None:
    prompts = PromptSet([Prompt.from_text(text, id="odd")])
    with pytest.raises(InputError, match="prompt odd would not come back from txt"):
        export_prompts(prompts, tmp_path / "out.txt", "txt")
    assert list(tmp_path.iterdir()) == []


def test_chat_messages_and_copies_are_refused(tmp_path: Path) -> None:
    chat = PromptSet([Prompt.from_text(TURNS, id="turns")])
    for format, name in (("csv", "a.csv"), ("txt", "a.txt"), ("promptsource", "a.yaml")):
        with pytest.raises(InputError, match=f"prompt turns is a list of chat messages, which {format} cannot hold"):
            export_prompts(chat, tmp_path / name, format)
    copies = PromptSet([Prompt.from_text("{text}:", id="a"), Prompt.from_text("{text}:", id="b")])
    with pytest.raises(InputError, match="prompts a and b have the same text"):
        export_prompts(copies, tmp_path / "a.csv", "csv")
    assert list(tmp_path.iterdir()) == []
    export_prompts(chat, tmp_path / "a.jsonl", "jsonl")
    assert import_prompts(tmp_path / "a.jsonl")[0] == chat


def test_nothing_is_written_over(prompts: PromptSet, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    export_prompts(prompts, path, "csv")
    before = path.read_bytes()
    export_prompts(prompts, path, "csv")
    with pytest.raises(OutputError, match="holds something else"):
        export_prompts(PromptSet.from_texts(["{text}."]), path, "csv")
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"needs an --output that ends in \.txt"):
        export_prompts(prompts, tmp_path / "out.csv", "txt")
    with pytest.raises(InputError, match="unknown format 'xml'"):
        export_prompts(prompts, tmp_path / "out.xml", "xml")  # type: ignore[arg-type]


class _Loader(yaml.SafeLoader):
    """Reads PromptSource's tags as plain mappings."""


for _tag in ("!Template", "!TemplateMetadata"):
    _Loader.add_constructor(_tag, lambda loader, node: loader.construct_mapping(node, deep=True))


@pytest.mark.parametrize("row", HOSTILE)
def test_promptsource_renders_as_paft_does(prompts: PromptSet, row: str, tmp_path: Path) -> None:
    export_prompts(prompts, tmp_path / "out.yaml", "promptsource", load_task("demo"))
    found = yaml.load((tmp_path / "out.yaml").read_text(encoding="utf-8"), _Loader)
    assert (found["dataset"], list(found["templates"])) == ("demo", prompts.ids)
    jinja = jinja2.Environment(undefined=jinja2.StrictUndefined)
    answers = ["money", "post", "return", "account"]
    for prompt, entry in zip(prompts, found["templates"].values(), strict=True):
        choices = [c.strip() for c in jinja.from_string(entry["answer_choices"]).render().split("|||")]
        assert choices == answers
        values = {"text": row, "answer_choices": choices, "gold": 2}
        assert jinja.from_string(entry["jinja"]).render(values) == f"{prompt.render(values)} ||| return"


@settings(max_examples=80)
@given(st.lists(st.text(st.sampled_from('{}%# \r\na"\\-'), max_size=8), min_size=2, max_size=3), st.text(max_size=5))
def test_any_template_renders_alike_in_jinja(parts: list[str], value: str) -> None:
    text = "{x}".join(part.replace("{", "{{").replace("}", "}}") for part in parts)
    template = Prompt.from_text(text).template
    source = yaml.safe_load(to_yaml({"text": text_of(template.parsed[0]) + "|"}))["text"]
    assert jinja2.Environment().from_string(source).render(x=value) == f"{template.render({'x': value})}|"


@settings(max_examples=80)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(st.sampled_from(" \n\t#:'|-!é\x85\u2028"), max_size=9),
)
def test_yaml_holds_any_text(one: str, two: str) -> None:
    value = {"a": one, "b": [two, one + two], two: {"c": two + "x\n"}}
    assert yaml.safe_load(to_yaml(value)) == value
    if hasattr(yaml, "CSafeLoader"):  # what the harness reads with
        assert yaml.load(to_yaml(value), yaml.CSafeLoader) == value


def test_promptsource_refuses_what_it_would_split(tmp_path: Path) -> None:
    task = Task("t", "label", {"text": ""}, ("a", "b|||c"))
    with pytest.raises(InputError, match=r"answer 'b\|\|\|c' holds"):
        export_prompts(PromptSet.from_texts(["{text}:"]), tmp_path / "a.yaml", "promptsource", task)
    with pytest.raises(InputError, match="prompt p holds"):
        export_prompts(PromptSet([Prompt.from_text("{text} ||| x", id="p")]), tmp_path / "a.yaml", "promptsource")
    with pytest.raises(InputError, match="means something else in Jinja"):
        export_prompts(PromptSet.from_texts(["{none}:"]), tmp_path / "a.yaml", "promptsource")


def test_the_command(prompts: PromptSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*words: object) -> tuple[int, str, str]:
        code = main(["prompts", *map(str, words)])
        return code, *capsys.readouterr()

    source, table, back = tmp_path / "in.jsonl", tmp_path / "out.csv", tmp_path / "back.jsonl"
    prompts.save(source)
    assert call("export", source, "--format", "csv", "--output", table) == (0, f"{table}: {len(TEXTS)} prompts\n", "")
    assert call("import", table, "--output", back)[0] == 0
    assert back.read_bytes() == source.read_bytes()
    for words, said in (
        (("--format", "lm-eval"), "--format lm-eval writes the examples too; give --task"),
        (("--format", "csv", "--limit", 3), "--limit says how many examples go along"),
        (("--format", "csv", "--data", tmp_path), "--data says where the rows of a --task are"),
        (("--format", "xml"), "expected one of jsonl, csv, txt, promptsource, lm-eval"),
    ):
        code, _, err = call("export", source, "--output", tmp_path / "new.csv", *words)
        assert code == 2
        assert said in err
    assert not (tmp_path / "new.csv").exists()
