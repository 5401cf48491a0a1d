"""Sweeps end to end on tiny models: the folder they write, what they refuse, and that they go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.sweep_tasks import make_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from paft.errors import EncodingError, InputError, MissingFileError, ModelError, OutputError, RunError, TemplateError
from paft.evaluation import SweepResult, sweep
from paft.evaluation.cells import read_cells
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example, Task

FIELDS = (
    "format_version mean std std_corrected min q05 max macro_f1 flip_rate top prompts examples seconds "
    "tokens_generated truncated dropped model adapter task split scoring dtype seed per_prompt"
).split()


@pytest.fixture(scope="module")
def llama(tiny_model_dir):
    return str(tiny_model_dir("llama"))


def keyed(folder: Path) -> dict:
    return {(c.prompt_id, c.example_id): c for c in read_cells(folder)[0]}


def test_folder_and_summary(llama, prompts, tmp_path):
    task = make_task("label", 12)
    result = sweep(llama, task, prompts, output=tmp_path / "out", top=0.25)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(FIELDS) <= set(summary)
    assert summary == result.summary
    cells = keyed(tmp_path / "out")
    assert len(cells) == len(prompts) * 12
    accuracy = [np.mean([cells[p, f"test:{i}"].correct for i in range(12)]) for p in prompts.ids]
    assert list(summary["per_prompt"]) == prompts.ids
    assert list(summary["per_prompt"].values()) == pytest.approx(accuracy)
    assert summary["mean"] == result.mean == pytest.approx(np.mean(accuracy))
    assert summary["std"] == result.std == pytest.approx(np.std(accuracy, ddof=1))
    assert summary["top"] == {"threshold": 0.25, "share": np.mean(np.array(accuracy) >= 0.25)}
    assert result.top(0.0) == 1.0
    assert result.top() == summary["top"]["share"]
    assert result.worst[1] == result.min == min(accuracy)
    assert result.best == max(result.per_prompt.items(), key=lambda kv: kv[1])
    assert (summary["prompts"], summary["examples"], summary["dropped"], summary["truncated"]) == (5, 12, 0, 0)
    assert (summary["split"], summary["scoring"], summary["dtype"]) == ("test", "likelihood", "float32")
    assert PromptSet.load(tmp_path / "out" / "prompts.jsonl") == prompts
    again = SweepResult.load(tmp_path / "out")
    assert (again.prompt_ids, again.example_ids) == (prompts.ids, [f"test:{i}" for i in range(12)])
    assert (again.correct_pn == result.correct_pn).all()
    assert (again.loglik_pnk == result.loglik_pnk).all()
    assert again.compare(result).estimate == 0


def test_loaded_model_keeps_its_modes(llama, prompts):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llama), AutoTokenizer.from_pretrained(llama)
    model.train()
    model.model.layers[0].eval()
    modes = [m.training for m in model.modules()]
    result = sweep((model, tokenizer), make_task("label"), prompts)
    assert [m.training for m in model.modules()] == modes
    assert np.allclose(result.loglik_pnk, sweep(llama, make_task("label"), prompts).loglik_pnk, atol=1e-5)
    with pytest.raises(InputError, match="loaded already"):
        sweep((model, tokenizer), make_task("label"), prompts, adapter="x")


def test_one_prompt_and_one_example(llama, prompts, tmp_path):
    one = PromptSet([next(iter(prompts))])
    result = sweep(llama, make_task("choice"), one, limit=1, output=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["std"] is summary["std_corrected"] is result.std is None
    assert summary["examples"] == 1


def test_limit_takes_the_same_examples_for_all(llama, tiny_model_dir, prompts):
    task = make_task("label", 30)
    one = sweep(llama, task, prompts, limit=5)
    two = sweep(tiny_model_dir("gpt2"), task, prompts, limit=5, seed=9)
    assert one.example_ids == two.example_ids
    assert one.example_ids != [f"test:{i}" for i in range(5)]


def test_compare_pairs_by_id(llama, tiny_model_dir, prompts):
    task = make_task("label", 15)
    backwards = PromptSet(list(prompts)[::-1])
    one, two = sweep(llama, task, prompts), sweep(tiny_model_dir("gpt2"), task, backwards)
    difference = one.compare(two)
    assert difference.estimate == pytest.approx(one.mean - two.mean)
    assert difference.low <= difference.estimate <= difference.high
    by_hand = SweepResult.of_cells([c for row in two.cells_pn for c in row], prompts.ids, one.example_ids, two.summary)
    assert difference == one.compare(by_hand)
    with pytest.raises(InputError, match="share 4 examples of 15 and 4"):
        one.compare(sweep(llama, task, prompts, limit=4))


def test_ties_go_to_the_first(llama, prompts):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llama), AutoTokenizer.from_pretrained(llama)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert (sweep((model, tokenizer), make_task("choice"), prompts).prediction_pn == 0).all()


def test_weights_that_are_no_numbers(llama, prompts):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(llama), AutoTokenizer.from_pretrained(llama)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(RunError, match=r"prompt .*, example test:\d.* not all finite"):
        sweep((model, tokenizer), make_task("choice"), prompts)


def test_free_answers_are_generated(llama, prompts):
    task = make_task("free")
    result = sweep(llama, task, prompts, max_new_tokens=5)
    assert result.summary["scoring"] == "generate"
    assert result.summary["macro_f1"] is None
    assert (result.prediction_pn == -1).all()
    assert any(any(row) for row in result.text_pn)
    assert result.summary["flip_rate"] > 0  # random texts differ from prompt to prompt
    with pytest.raises(InputError, match="use --scoring generate"):
        sweep(llama, task, prompts, scoring="likelihood")


@pytest.mark.parametrize("scoring", ["likelihood", "generate"])
def test_too_long_is_an_error_by_name_or_dropped_for_all(scoring, llama, prompts, tmp_path):
    short = make_task("label", 6)
    rows = list(short.examples("test"))
    rows[2] = Example("the-long-one", {**rows[2].slots, "text": "word " * 100}, rows[2].answer, rows[2].gold)
    task = Task("label", "label", short.slots, short.answers, read=lambda split: rows)
    options = {"scoring": scoring, "max_length": 128}
    with pytest.raises(EncodingError, match=r"example the-long-one: .*longer than 128 tokens"):
        sweep(llama, task, prompts, output=tmp_path / "out", **options)
    assert not list((tmp_path / "out").glob("cells/*"))
    result = sweep(llama, task, prompts, on_long="drop", output=tmp_path / "out2", **options)
    assert result.summary["dropped"] == 1
    assert result.summary["examples"] == 5
    assert "the-long-one" not in result.example_ids
    assert SweepResult.load(tmp_path / "out2").example_ids == result.example_ids
    with pytest.raises(InputError, match="all 6 examples"):
        sweep(llama, task, prompts, on_long="drop", scoring=scoring, max_length=20)


def test_no_more_than_the_model_has_positions(tiny_tokenizer, prompts):
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=len(tiny_tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=24)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(EncodingError, match="longer than 24 tokens"):
        sweep((model, tiny_tokenizer), make_task("label"), prompts)


def test_batch_too_small_for_one_example(llama, prompts):
    for scoring in ("likelihood", "generate"):
        with pytest.raises(InputError, match=r"--batch-tokens 8 is too small .* prompt .*, example test:\d"):
            sweep(llama, make_task("label"), prompts, scoring=scoring, batch_tokens=8)


def test_prompts_trained_on_are_refused(llama, prompts, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(llama, run)
    trained, other = next(iter(prompts)), PromptSet(list(prompts)[1:])
    PromptSet([Prompt.from_text("  {text}\na. {one}\nB. {two} Answer: ", id="renamed")]).save(run / "prompts.jsonl")
    task = make_task("label", 3)
    with pytest.raises(InputError, match=f"1 of 5 prompts are among .* {trained.id}") as error:
        sweep(run, task, prompts)
    assert error.value.exit_code == 2
    assert sweep(run, task, prompts, allow_overlap=True).summary["prompts"] == 5
    assert sweep(run, task, other).summary["prompts"] == 4
    PromptSet([Prompt.from_text("other words {text} {one} {two}", id=other.ids[0])]).save(run / "prompts.jsonl")
    with pytest.raises(InputError, match=other.ids[0]):
        sweep(run, task, other)


def test_wrong_calls(llama, prompts, tmp_path):
    task = make_task("label", 3)
    with pytest.raises(InputError, match="unknown --scoring 'guess'"):
        sweep(llama, task, prompts, scoring="guess")
    with pytest.raises(InputError, match="unknown --normalize"):
        sweep(llama, task, prompts, normalize="words")
    with pytest.raises(InputError, match="--on-long"):
        sweep(llama, task, prompts, on_long="cut")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--batch-tokens must be at least 1"):
        sweep(llama, task, prompts, batch_tokens=0)
    with pytest.raises(InputError, match="no chat template"):
        sweep(llama, task, prompts, chat="on")
    with pytest.raises(InputError, match="unknown split"):
        sweep(llama, task, prompts, split="dev")
    with pytest.raises(TemplateError, match="slot {goal}, which task 'label' does not fill"):
        sweep(llama, task, PromptSet.from_texts(["{goal}?"]))
    with pytest.raises(ModelError, match="no such model folder"):
        sweep(tmp_path / "nothing", task, prompts)
    with pytest.raises(MissingFileError, match="holds no sweep"):
        SweepResult.load(tmp_path)


def test_empty_prompt_without_bos_is_named(tiny_model_dir, tiny_tokenizer):
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend = type(tiny_tokenizer.backend_tokenizer).from_str(tiny_tokenizer.backend_tokenizer.to_str())
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    bare = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("gpt2"))
    rows = [Example("blank", {"text": " "}, "location", 0)]
    task = Task("label", "label", {"text": "t"}, ("location", "quiz"), read=lambda split: rows)
    for scoring in ("likelihood", "generate"):
        with pytest.raises(EncodingError, match=r"example blank: the prompt is empty"):
            sweep((model, bare), task, PromptSet.from_texts(["{text}"]), scoring=scoring)


def test_rows_with_anything_in_them(llama, prompts):
    texts = ["{text} {x.__class__} }} {", 'say "no"\n\n', "🙂 é ☃ \u200b", "</s><s><pad>", "a\tb  "]
    rows = [Example(f"r{i}", {"text": t, "one": t, "two": t}, "quiz", 2) for i, t in enumerate(texts)]
    task = Task("label", "label", {"text": "t"}, ("location", "description", "quiz"), read=lambda split: rows)
    assert np.isfinite(sweep(llama, task, prompts).loglik_pnk).all()


def test_same_work_is_continued_and_other_work_refused(llama, tiny_model_dir, prompts, tmp_path):
    out, task = tmp_path / "out", make_task("label", 8)
    first = sweep(llama, task, prompts, output=out)
    written = {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()}
    again = sweep(llama, task, prompts, output=out, top=0.1, batch_tokens=500)
    assert {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()} == written
    assert again.summary["seconds"] == first.summary["seconds"]
    assert again.summary["top"]["threshold"] == 0.1  # a threshold changes no cell
    before = (out / "summary.json").read_bytes()
    for other in (
        {"model": tiny_model_dir("mistral")},  # with the very same weights, as it happens
        {"model": tiny_model_dir("gpt2")},
        {"task": make_task("choice", 8)},
        {"task": make_task("label", 9)},
        {"split": "validation"},
        {"limit": 3},
        {"scoring": "generate"},
        {"normalize": "bytes"},
        {"max_length": 512},
        {"dtype": "bfloat16"},
        {"prompts": PromptSet(list(prompts)[:2])},
    ):
        with pytest.raises(OutputError, match="holds another sweep") as error:
            sweep(**{"model": llama, "task": task, "prompts": prompts, "output": out, **other})
        assert error.value.exit_code == 2
    assert (out / "summary.json").read_bytes() == before


def test_a_model_trained_again_in_the_same_place_is_other_work(llama, prompts, tmp_path):
    folder, task = tmp_path / "model", make_task("label", 3)
    shutil.copytree(llama, folder)
    sweep(folder, task, prompts, output=tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight += 1e-3
    model.save_pretrained(folder)
    with pytest.raises(OutputError, match="its weights"):
        sweep(folder, task, prompts, output=tmp_path / "out")


SWEEPER = """
import sys
from evaluation.sweep_tasks import make_task
from paft.evaluation import sweep
from paft.prompts import PromptSet
prompts = PromptSet.load(sys.argv[2])
sweep(sys.argv[1], make_task("label", 40), prompts, output=sys.argv[3], batch_tokens=300, flush_seconds=0)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_sweeps_go_on(kills, llama, prompts, tmp_path):
    """After every SIGKILL the cells end as those of a sweep left alone, and none is computed twice."""
    tests, out = Path(__file__).parents[1], tmp_path / "killed"
    prompts.save(tmp_path / "prompts.jsonl")
    path = os.pathsep.join([str(tests), str(tests.parent / "src")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-c", SWEEPER, llama, str(tmp_path / "prompts.jsonl"), str(out)]
    pieces: dict[Path, bytes] = {}
    for _ in range(kills):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("cells/part-*.parquet"))) < len(pieces) + 5:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the sweep ended before it could be killed"
        assert all(p.read_bytes() == whole for p, whole in pieces.items())
        pieces = {p: p.read_bytes() for p in out.glob("cells/part-*.parquet")}
        with pytest.raises(MissingFileError, match="not finished"):
            SweepResult.load(out)
    task = make_task("label", 40)
    assert 0 < len(read_cells(out)[0]) < 200
    result = sweep(llama, task, prompts, output=out, batch_tokens=300)
    assert all(p.read_bytes() == whole for p, whole in pieces.items())
    cells = read_cells(out)[0]
    assert len(cells) == len({(c.prompt_id, c.example_id) for c in cells}) == 200  # none was computed twice
    alone = sweep(llama, task, prompts, output=tmp_path / "alone", batch_tokens=300)
    assert np.allclose(result.loglik_pnk, alone.loglik_pnk, atol=1e-4)
    assert (result.prediction_pn == alone.prediction_pn).all()
    assert {**result.summary, "seconds": 0} == {**alone.summary, "seconds": 0}
    assert SweepResult.load(out).summary == result.summary


def test_statistics_load_without_torch():
    code = "import sys; from paft.evaluation import SweepResult, summarize; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
