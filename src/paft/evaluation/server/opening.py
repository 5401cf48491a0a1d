"""Finding out how a server is asked, and asking it so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from paft.errors import InputError, PaftError
from paft.evaluation.answers.written import bytes_counted, most_new_tokens
from paft.evaluation.backend import Work, refuse_several
from paft.evaluation.cells import IDENTITY_FILE, refuse_other_work
from paft.evaluation.options import Options
from paft.evaluation.server.backend import ServerBackend
from paft.evaluation.server.client import Asker
from paft.evaluation.server.model import ServerModel
from paft.evaluation.server.probe import ECHOES, Way, alike, find_way
from paft.files import read_json


@contextmanager
def open_server(work: Work) -> Iterator[ServerBackend]:
    """Ask a server what it can do, unless the output folder says so already; at the end the connection is closed.

    Raises:
        OutputError: the output folder holds other work.
        InputError, ModelError, RunError: what ``find_way`` refuses, or an option of a model in this process.
    """
    model, task, options = work.model, work.task, work.options
    assert isinstance(model, ServerModel)
    refuse_several(model)
    _refuse_local_options(work)
    api = model.api_for(work.prompts, options.chat)
    known = None if work.output is None else _known(Path(work.output), work)
    if work.output is not None:
        unsettled = {"scoring"} if options.scoring == "auto" else set()
        settled = {name: value for name, value in work.identity.items() if name not in unsettled}
        refuse_other_work(work.output, {**settled, **model.identity(api)})
    most = most_new_tokens(task, options, work.examples, bytes_counted)
    asker = Asker(model, api)
    with closing(asker):
        way = known or find_way(asker, task, work.examples, options, most)
        backend = ServerBackend(asker, task, way, options.normalize, most, work.on_long)
        path = "chat/completions" if api == "chat" else "completions"
        work.say(f"asking {model.name} at {model.base_url}/{path}, {way.told()}")
        with closing(backend):
            yield backend


def _refuse_local_options(work: Work) -> None:
    """Refuse options that only a model in this process takes."""
    given, usual = work.options, Options()
    for name, value, default in (
        ("adapter", work.adapter, None),
        ("batch-tokens", given.batch_tokens, None),
        ("max-length", given.max_length, usual.max_length),
        ("dtype", work.dtype, "auto"),
        ("device", work.device, "auto"),
        ("trust-remote-code", work.trust_remote_code, False),
        ("date", given.date, None),
    ):
        if value != default:
            raise InputError(f"--{name} is for a model in this process; a server has settings of its own")


def _known(output: Path, work: Work) -> Way | None:
    """The way that an earlier run of the same sweep has settled on; None where nothing is to be relied on.

    Older runs scored answers of which one begins another without asking whether they can be told apart.
    """
    try:
        record = read_json(output / IDENTITY_FILE)
    except PaftError:
        return None
    if not isinstance(record, dict) or record.get("backend") != "server" or "logprobs" not in record:
        return None
    if work.options.scoring != "auto" and record.get("scoring") != work.scoring:
        return None
    way = Way(str(record["scoring"]), record["logprobs"])
    return None if way.logprobs in ECHOES and alike(work.task, way.scoring, work.examples) else way
