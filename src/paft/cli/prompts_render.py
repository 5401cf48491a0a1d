"""``paft prompts render``: the exact tokens of an example under a prompt, the supervised ones marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paft.cli.options import option
from paft.cli.quiet import console, say
from paft.cli.shared import ChatOptions, ModelOptions, TaskOptions
from paft.cli.verb import SimpleVerb
from paft.defaults import MAX_LENGTH
from paft.errors import InputError
from paft.prompts import find_prompts
from paft.tasks import Example, Task, load_task

if TYPE_CHECKING:
    from rich.console import Console

OPEN, CLOSE = "⟦", "⟧"
SUPERVISED, PLAIN = "bold black on green3", ("white on grey23", "white on grey37")


@dataclass(kw_only=True)
class Options(TaskOptions, ModelOptions, ChatOptions):
    """Flags of ``paft prompts render``."""

    prompts: str = option("the prompt set, JSON lines", metavar="FILE")
    prompt_id: str | None = option("which prompt; the first of the set by default", None, metavar="ID")
    example: str = option("which example: its place in the split, from 0, or its id", "0")
    split: Literal["train", "validation", "test"] = option("which rows", "train")
    max_length: int = option("most tokens of prompt and answer", MAX_LENGTH)
    format: Literal["text", "table", "json"] = option("running text, a row for each token, or JSON", "text")
    trust_remote_code: bool = option("let a model folder run Python code of its own", False)


@dataclass(frozen=True)
class Token:
    """One token as it is shown: ``text`` holds the characters that it adds."""

    position: int
    id: int
    piece: str
    text: str
    supervised: bool


def run(options: Options) -> int:
    from paft.models import Encoder, load_tokenizer, resolve_model

    task = load_task(options.task, options.data)
    prompts = find_prompts(options.prompts, task.name)
    prompt = prompts[options.prompt_id or prompts.ids[0]]
    example = _find(task, options)
    rendered = prompt.render(example.slots)
    source = resolve_model(options.model)
    tokenizer = load_tokenizer(source, options.trust_remote_code)
    encoder = Encoder(tokenizer, options.max_length, source.chat(options.chat), options.date or source.date())
    encoding = encoder.encode(rendered, example.answer, end=True)
    tokens = pieces(tokenizer, encoding.input_ids, encoding.answer_start)
    if options.format == "json":
        _print_json(prompt.id, example, tokens)
        return 0
    supervised = len(tokens) - encoding.answer_start
    say(f"prompt {prompt.id}, example {example.id}: {len(tokens)} tokens, the last {supervised} supervised")
    if options.format == "table":
        _print_table(tokens, console())
    else:
        _print_text(tokens, console())
    return 0


def pieces(tokenizer: Any, ids: list[int], answer_start: int) -> list[Token]:
    """The tokens with the characters each adds; bytes of an unfinished character wait for the token that ends it."""
    names = tokenizer.convert_ids_to_tokens(ids)
    out, done = [], ""
    for position, (id, name) in enumerate(zip(ids, names, strict=True)):
        whole = tokenizer.decode(ids[: position + 1], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        text = "" if whole.endswith("\ufffd") or not whole.startswith(done) else whole[len(done) :]
        done = whole if text else done
        out.append(Token(position, id, str(name), text, position >= answer_start))
    return out


def _find(task: Task, options: Options) -> Example:
    """The example by its id or by its place."""
    examples = task.examples(options.split)
    for example in examples:
        if example.id == options.example:
            return example
    if options.example.isdigit() and int(options.example) < len(examples):
        return examples[int(options.example)]
    raise InputError(
        f"--example {options.example}: the {options.split} split of {task.name} holds {len(examples)} examples; "
        f"give a place from 0 to {len(examples) - 1} or an id such as {examples[0].id}"
    )


def _print_text(tokens: list[Token], out: Console) -> None:
    """Tokens one after another: bars between them and the supervised ones in brackets, or colours on a terminal."""
    from rich.text import Text

    text = Text()
    coloured = out.is_terminal and not out.no_color
    for token in tokens:
        shown = token.text.replace("\n", "↵\n")
        if coloured:
            text.append(shown, style=SUPERVISED if token.supervised else PLAIN[token.position % 2])
        elif token.supervised:
            text.append(f"{OPEN}{shown}{CLOSE}")
        else:
            text.append(f"|{shown}" if token.position else shown)
    out.print(text, soft_wrap=True)
    if coloured:
        out.print(Text.assemble(("  ", "on green3"), " supervised: the loss is taken on these tokens alone"))
    else:
        say(f"{OPEN}...{CLOSE} supervised: the loss is taken on these tokens alone")


def _print_table(tokens: list[Token], out: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("", "id", "token", "text", "supervised"):
        table.add_column(head, justify="right" if head in ("", "id") else "left", overflow="fold")
    for t in tokens:
        mark = "yes" if t.supervised else ""
        row_style = "green" if t.supervised else ""
        table.add_row(str(t.position), str(t.id), Text(t.piece), Text(repr(t.text)), mark, style=row_style)
    out.print(table)


def _print_json(prompt_id: str, example: Example, tokens: list[Token]) -> None:
    import json
    from dataclasses import asdict

    record = {"prompt_id": prompt_id, "example_id": example.id, "tokens": [asdict(t) for t in tokens]}
    say(json.dumps(record, ensure_ascii=False, indent=2))


VERB = SimpleVerb(
    name="prompts render",
    summary="Show the exact tokens of an example under a prompt, as they are trained on; the supervised ones marked.",
    example="paft prompts render --task piqa --data data/piqa --prompts prompts.jsonl --model gpt2 --example 3",
    options=Options,
    action=run,
)
