"""Routes of the original system, which its clients ask for with and without a slash at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter

F = TypeVar("F", bound=Callable[..., Any])


def both(router: APIRouter, method: str, path: str) -> Callable[[F], F]:
    """Route *path* to the function in both forms, without a redirect; nothing of it is in the description of the API."""

    def add(function: F) -> F:
        for form in (path, f"{path}/"):
            router.add_api_route(form, function, methods=[method], include_in_schema=False)
        return function

    return add
