"""The day that a chat template takes for today."""

from __future__ import annotations

import datetime as dt
import re

from paft.errors import InputError

CLOCK = "strftime_now"  # what a template calls to be told the time
_DIRECTIVES = re.compile(r"%[-_0^#]*[a-zA-Z]")
_OTHER_DAY = dt.timedelta(days=397)  # another day, weekday, month and year


def read_day(text: str | dt.date | None) -> dt.date:
    """A day written as ``2025-03-01``; today where there is none.

    Raises:
        InputError: no such day.
    """
    if text is None:
        return dt.date.today()
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError:
        raise InputError(f"--date must be a day such as 2025-03-01, found {str(text)!r}") from None


def another(day: dt.date) -> dt.date:
    """A day from which ``day`` can be told in whatever part of a date is looked at."""
    return day - _OTHER_DAY if day.year > dt.MINYEAR + 1 else day + _OTHER_DAY


def pinned(template: str, day: dt.date) -> str:
    """``template`` with a clock of its own, which stands still at the midnight that ``day`` begins with.

    The clock is a macro in front. The line break behind it is one that Jinja drops, so that the template itself still
    begins at the start of a line, where white space counts differently.
    """
    if CLOCK not in template:
        return template
    midnight = dt.datetime.combine(day, dt.time())
    steps = ["{% set told = namespace(text=format.replace('%%', '\\0')) %}"]
    for directive in sorted({*_DIRECTIVES.findall(template)}, key=len, reverse=True):
        value = midnight.strftime(directive).replace("\\", "\\\\").replace("'", "\\'")
        steps.append(f"{{% set told.text = told.text.replace('{directive}', '{value}') %}}")
    steps.append("{{ told.text.replace('\\0', '%') }}")
    return f"{{% macro {CLOCK}(format) %}}{''.join(steps)}{{% endmacro %}}\n{template}"
