"""Asking one endpoint by chat: what came, whole or cut, becomes an entry of the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from paft.endpoints.connection import Connection, ProviderEnded, Received, RequestFailed
from paft.endpoints.journal import Entry

__all__ = ["Client", "ProviderEnded", "RequestFailed"]


class Client(Connection):
    """One provider's endpoint, asked by chat for what goes into the journal."""

    async def ask(self, messages: Sequence[Mapping[str, str]], max_tokens: int, asked: int, estimate: int) -> Entry:
        """Send one request, again where that may help, and return what came.

        Raises:
            ProviderEnded: asking this provider again is of no use.
            RequestFailed: nothing came after all retries.
        """

        def entry(got: Received) -> Entry:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return Entry(asked, got.body, got.cut, got.request_id, got.seconds, now, estimate)

        return await self.send("chat", {"messages": messages}, max_tokens, entry)
