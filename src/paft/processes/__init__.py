"""One job on several processes: who they are, what they tell each other, and how an error in one ends all."""

from paft.processes.agreement import agreed, check_same, exchange, from_main, raise_first
from paft.processes.team import Patience, Team, current, in_step, several, together

__all__ = [
    "Patience",
    "Team",
    "agreed",
    "check_same",
    "current",
    "exchange",
    "from_main",
    "in_step",
    "raise_first",
    "several",
    "together",
]
