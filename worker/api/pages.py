"""Lists that come page by page: what a request may ask of each, and how its answer leads on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from worker.api.problems import reply
from worker.events import MAX_ID_CHARACTERS
from worker.records import Attention

MAX_PAGE = 1000

ORDER_PATTERN = "^-?(created|name|size|metric:.+)$"
"""What `worker.ordering` takes, for those who read the description; it says itself what is wrong."""

Text = Annotated[str | None, Query(max_length=MAX_ID_CHARACTERS)]
Project = Annotated[str | None, Query(alias="projectId", max_length=MAX_ID_CHARACTERS)]
Experiment = Annotated[str | None, Query(alias="experimentId", max_length=MAX_ID_CHARACTERS)]
Sort = Annotated[str | None, Query(max_length=MAX_ID_CHARACTERS, json_schema_extra={"pattern": ORDER_PATTERN})]
State = Annotated[Attention | None, Query(alias="state")]
Published = Annotated[bool, Query()]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class Named(Protocol):
    """Something that the next page can begin after."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Named)


def page_reply(
    request: Request, name: str, found: Sequence[R], limit: int, filters: Collection[str], row: Callable[[R], Any]
) -> Response:
    """Return the first *limit* of *found* as rows under *name*, and where the next page is if there are more.

    *found* is what was asked for with one more than *limit*; the next page keeps the *filters* of the request.
    """
    page = found[:limit]
    following = _next(request, page[-1].id, limit, filters) if len(found) > limit else None
    headers = None if following is None else {"Link": f'<{following}>; rel="next"'}
    return reply({name: [row(one) for one in page], "next": following}, headers=headers)


def _next(request: Request, last: str, limit: int, filters: Collection[str]) -> str:
    """Return the address of the page after *last*, with the same filters."""
    kept = {name: value for name, value in request.query_params.items() if name in filters}
    return f"{request.url.path}?{urlencode(kept | {'after': last, 'limit': str(limit)})}"
