"""A template that asks for today's date: one day for all of a piece of work, kept by its folder and by runs."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest
import yaml
from evaluation.teams import in_team
from experiments.small_grid import TEMPLATES, TRAIN, make_grid, make_task
from transformers import AutoTokenizer

from paft.errors import InputError, OutputError
from paft.evaluation import predict, sweep
from paft.experiments import compare, load_records
from paft.experiments.select import select_prompt
from paft.prompts import PromptSet
from paft.training import train

CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>\n{% endfor %}"
DATED = "It is {{ strftime_now('%d %B %Y, %A') }}.\n" + CHAT
LONG_AGO, EARLIER = "1999-12-31", "2001-01-01"
UNSEEN, TRAINED = PromptSet.from_texts(TEMPLATES[4:]), PromptSet.from_texts(TEMPLATES[:4])


@pytest.fixture(scope="module")
def folder(tiny_model_dir, tmp_path_factory):
    """A tiny model whose chat template writes the date, or, at ``made(template)``, another one."""

    def made(template=DATED):
        place = tmp_path_factory.mktemp("dated") / "model"
        shutil.copytree(tiny_model_dir("llama"), place)
        tokenizer = AutoTokenizer.from_pretrained(place)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(place)
        return str(place)

    return made


@pytest.fixture(scope="module")
def model(folder):
    return folder()


def test_a_sweep_continued_later_is_the_same_sweep(model, folder, tmp_path):
    task, out = make_task(), tmp_path / "out"
    begun = sweep(model, task, UNSEEN, output=out, date=LONG_AGO)
    assert json.loads((out / "sweep.json").read_text())["date"] == LONG_AGO
    assert begun.summary["date"] == LONG_AGO
    (out / "cells" / "part-00000.parquet").unlink()  # its cells are computed again, by the day of the folder
    again = sweep(model, task, UNSEEN, output=out)
    assert (again.loglik_pnk == begun.loglik_pnk).all()
    written = folder("It is 31 December 1999, Friday.\n" + CHAT)  # the same with the day written out
    assert (sweep(written, task, UNSEEN).loglik_pnk == begun.loglik_pnk).all()
    for other in (EARLIER, dt.date.today().isoformat()):
        with pytest.raises(OutputError, match=f"date is '{LONG_AGO}', not '{other}'"):
            sweep(model, task, UNSEEN, output=out, date=other)
    fresh = sweep(model, task, UNSEEN)
    assert abs(dt.date.fromisoformat(fresh.summary["date"]) - dt.date.today()) <= dt.timedelta(days=1)
    assert abs(fresh.loglik_pnk - begun.loglik_pnk).max() > 1e-3


def test_a_day_that_decides_nothing_is_not_kept(folder, tmp_path):
    plain, out = folder(CHAT), tmp_path / "out"
    assert "date" not in sweep(plain, make_task(), UNSEEN, output=out, date=LONG_AGO).summary
    assert "date" not in json.loads((out / "sweep.json").read_text())
    sweep(plain, make_task(), UNSEEN, output=out, date=EARLIER)  # the same sweep


def test_members_of_a_team_take_the_leaders_day(model, tmp_path):
    """Only the one that leads sees the folder."""
    task, out = make_task(), tmp_path / "out"
    alone = sweep(model, task, UNSEEN, output=out, date=LONG_AGO)
    (out / "cells" / "part-00000.parquet").unlink()
    elsewhere = [out, tmp_path / "not there"]
    found = in_team(2, lambda rank: sweep(model, task, UNSEEN, output=elsewhere[rank], progress=False))
    for result in found:
        assert abs(result.loglik_pnk - alone.loglik_pnk).max() <= 1e-5
        assert result.summary["date"] == LONG_AGO


def test_a_run_keeps_its_day_and_so_do_its_sweeps_and_answers(model, tmp_path):
    task, run = make_task(), tmp_path / "run"
    options = {**TRAIN, "num_train_epochs": 1, "chat": "on", "device": "cpu", "say": lambda text: None}
    call = {"model": model, "task": task, "prompts": TRAINED, "output": run, **options}
    train(date=LONG_AGO, **call)
    assert yaml.safe_load((run / "config.yaml").read_text())["training"]["date"] == LONG_AGO
    train(**call)  # on another day: it is finished
    with pytest.raises(OutputError, match=r"training\.date"):
        train(date=EARLIER, **call)
    (run / "result.json").unlink()
    with pytest.raises(OutputError, match=r"training\.date"):
        train(date=EARLIER, **call)
    assert sweep(run, task, UNSEEN).summary["date"] == LONG_AGO
    assert sweep(run, task, UNSEEN, date=EARLIER).summary["date"] == EARLIER
    rows = task.examples("test")
    plain, same, other = (
        predict(run, task, UNSEEN, rows, **day) for day in ({}, {"date": LONG_AGO}, {"date": EARLIER})
    )
    assert plain == same
    assert plain != other


def test_a_selection_keeps_its_day(model, tmp_path):
    out = tmp_path / "pick"
    how = {"examples": 3, "progress": False}
    made = select_prompt(model, make_task(), TRAINED, "top-accuracy", out, date=LONG_AGO, **how)
    assert json.loads((out / "job.json").read_text())["date"] == LONG_AGO
    assert select_prompt(model, make_task(), TRAINED, "top-accuracy", out, **how).prompt == made.prompt
    with pytest.raises(OutputError, match="its date is"):
        select_prompt(model, make_task(), TRAINED, "top-accuracy", out, date=EARLIER, **how)


def test_a_comparison_keeps_one_day_for_all_cells(model, tmp_path):
    out = tmp_path / "compare"
    plain = {"methods": ("base", "user"), "seeds": (0,), "ablations": (), "sweeps": {}, "select": {}}
    grid = make_grid(model, **plain, train={**TRAIN, "num_train_epochs": 1, "chat": "on"}, sweep={"chat": "on"})
    assert not compare(grid, out, progress=False, date=LONG_AGO).failures
    assert json.loads((out / "compare.json").read_text())["date"] == LONG_AGO
    base, user = load_records(out)
    assert (base.settings["sweep.date"], user.settings["date"]) == (LONG_AGO, LONG_AGO)
    for cell in ("base-seed0", "user-seed0"):
        assert json.loads((out / "work" / "notes" / cell / "sweep" / "summary.json").read_text())["date"] == LONG_AGO
    (out / "records" / "notes" / "base-seed0.json").unlink()
    assert not compare(grid, out, progress=False).failures  # on another day
    assert [r.settings["sweep.date"] for r in load_records(out)] == [LONG_AGO, LONG_AGO]
    with pytest.raises(OutputError, match="holds another comparison: its date is"):
        compare(grid, out, progress=False, date=EARLIER)


def test_no_day_is_refused_before_a_model_is_loaded(tmp_path):
    nowhere = "org/never-asked-for"
    with pytest.raises(InputError, match="--date must be a day"):
        sweep(nowhere, make_task(), UNSEEN, date="soon")
    with pytest.raises(InputError, match="--date must be a day"):
        train(model=nowhere, task=make_task(), prompts=TRAINED, output=tmp_path / "run", date="soon")
