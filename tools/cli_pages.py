"""Write docs/cli.md, one section a verb, from the command line's own --help.

python tools/cli_pages.py           # write the page
python tools/cli_pages.py --check   # fail where the page is not what the command line says

The fields of ``transformers.TrainingArguments`` that paft leaves alone are not listed. The words of the others come
from transformers too, so the section on ``paft train`` is compared only under the version it was written with.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ |= {"COLUMNS": "100", "CUDA_VISIBLE_DEVICES": ""}  # a fixed width, and defaults as without a GPU

from paft.cli.help import contents_help
from paft.cli.main import FOOTER, PROMPT_VERBS, TITLE, VERBS, find_verb

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
OTHERS = "every other field of transformers.TrainingArguments:"
HEAD = """# The command line

Made by `python tools/cli_pages.py` from `--help` of each verb (transformers {version}).

Every verb also takes `--help`, and `--config FILE.yaml`, a file of `flag: value` lines. A flag may be spelled with `-`
or `_` and is not abbreviated; a flag wins over the file.

`paft train` also takes the fields of `transformers.TrainingArguments`. Looking them up takes seconds, so they are kept
in `paft/` of the user's cache folder (`$XDG_CACHE_HOME`, by default `~/.cache`), anew for every version; what is there
can be removed at any time.

Exit codes: 0 done; 1 a run failed or a gate was not met; 2 the input or the call was wrong; 130 interrupted. Errors go
to stderr as `error: …` in one to three lines; `PAFT_DEBUG=1` adds the traceback and the libraries' own warnings.
"""


def calls() -> list[str]:
    """Every verb as it is called, ``prompts check``."""
    family = [f"prompts {name}" for name in PROMPT_VERBS]
    return [call for name in VERBS for call in (family if name == "prompts" else [name])]


def verb_help(call: str) -> str:
    """The help of one verb without its end, which is the same for all, and the fields that it takes as they are."""
    text = find_verb(call.split())[0].help().partition("\nalways:")[0]
    before, mark, _ = text.partition(OTHERS)
    return f"{before}{OTHERS}\n  see paft {call} --help" if mark else text


def sections() -> dict[str, str]:
    """Heading -> text under it, as the page should be."""
    made = {"paft": contents_help(TITLE, VERBS, "paft", FOOTER)}
    made |= {f"paft {call}": verb_help(call) for call in calls()}
    return {heading: f"```text\n{text.rstrip()}\n```" for heading, text in made.items()}


def render() -> str:
    """The whole page."""
    parts = [HEAD.format(version=version("transformers")).strip()]
    parts += [f"## {heading}\n\n{body}" for heading, body in sections().items()]
    return "\n\n".join(parts) + "\n"


def differences(page: str) -> list[str]:
    """The headings under which ``page`` is not what the command line says."""
    cut = [part.partition("\n\n") for part in page.rstrip().split("\n\n## ")[1:]]
    found, wanted = {heading: body for heading, _, body in cut}, sections()
    if f"(transformers {version('transformers')})" not in page:
        wanted.pop("paft train")
        found.pop("paft train", None)
    return [heading for heading in {**wanted, **found} if found.get(heading) != wanted.get(heading)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        PAGE.write_text(render(), encoding="utf-8")
        return 0
    wrong = differences(PAGE.read_text(encoding="utf-8"))
    if wrong:
        print(f"docs/cli.md differs under: {', '.join(wrong)}; run python tools/cli_pages.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
