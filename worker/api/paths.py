"""Paths of files in addresses. A name may hold any character but zero, and Starlette's own `path` takes no end of a line: such
a file would be listed and not given, and one whose name ends with it would be taken for another.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor

FILE = "{path:file}"
"""Stands in a route for the path of a file, which is the parameter `path`."""


class FilePath(Convertor[str]):
    """Takes all that is left of an address."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        """Return the path of a file that stands in an address as *value*."""
        return value

    def to_string(self, value: str) -> str:
        """Return how the path *value* stands in an address."""
        return value


register_url_convertor("file", FilePath())
