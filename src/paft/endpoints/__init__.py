"""Models behind OpenAI-compatible endpoints: who is asked, how, at what cost, and what came, kept on disk."""

from paft.endpoints.budget import LEAST_REPLY, Budget, BudgetReached, Hold
from paft.endpoints.client import Client
from paft.endpoints.connection import Api, Connection, ProviderEnded, Received, RequestFailed, Unreadable
from paft.endpoints.journal import Entry, Journal, Slot
from paft.endpoints.journal_file import JournalFile
from paft.endpoints.providers import READERS, Price, Provider, check_providers, load_providers
from paft.endpoints.replies import Reply, read_body
from paft.endpoints.usage import Usage, UsageRow

__all__ = [
    "LEAST_REPLY",
    "READERS",
    "Api",
    "Budget",
    "BudgetReached",
    "Client",
    "Connection",
    "Entry",
    "Hold",
    "Journal",
    "JournalFile",
    "Price",
    "Provider",
    "ProviderEnded",
    "Received",
    "Reply",
    "RequestFailed",
    "Slot",
    "Unreadable",
    "Usage",
    "UsageRow",
    "check_providers",
    "load_providers",
    "read_body",
]
