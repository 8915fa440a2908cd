"""Where requests that come at the same time ask the registry together: who calls, and what is to be accepted.

Both are asked for each completion, and many come at once when many runs end. What is asked seldom asks for itself, in a
thread of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from worker.api.grouped import Grouped
from worker.api.service import Service
from worker.records import CompletionEvent, Ingestion, Token
from worker.submission import submit_all


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry knows *at* a time: the *token* that was asked for, None where it knows none; has_tokens tells whether
    anybody ever made one, where none was asked for.
    """

    token: Token | None
    has_tokens: bool
    at: datetime


class Desk:
    """Asks the registry of *service* for the requests of one event loop."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._known: Grouped[str | None, Known] = Grouped(self._look_up)
        self._accepted: Grouped[CompletionEvent, tuple[Ingestion, bool]] = Grouped(self._accept)

    async def known(self, digest: str | None) -> Known:
        """Return what is known of the token of *digest*; None asks only whether there is any.

        Raises:
            RegistryUnavailable: it does not answer.
        """
        return await self._known(digest)

    async def accept(self, event: CompletionEvent) -> tuple[Ingestion, bool]:
        """Return the ingestion of *event*, committed, and whether it was known before; the workers are told.

        Raises:
            RejectedEvent, ConflictingEvent: it cannot be accepted.
            RegistryUnavailable: it may or may not have been accepted; the same event again tells.
        """
        return await self._accepted(event)

    def _look_up(self, digests: Sequence[str | None]) -> list[Known]:
        registry, now = self.service.registry, self.service.clock.now()
        tokens = {digest: registry.token_by_digest(digest, now) for digest in dict.fromkeys(digests) if digest is not None}
        has_tokens = registry.has_tokens() if None in digests else bool(tokens)
        return [Known(None if digest is None else tokens[digest], has_tokens, now) for digest in digests]

    def _accept(self, events: Sequence[CompletionEvent]) -> Sequence[tuple[Ingestion, bool] | Exception]:
        service = self.service
        return submit_all(events, service.registry, service.clock.now(), service.ring, service.is_failed_scanned)


async def desk_of(request: Request) -> Desk:
    """Return the desk of the app that was asked."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk
