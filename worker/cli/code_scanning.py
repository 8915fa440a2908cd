"""What `modelport scan --format sarif` needs of the machine: where the path lies, as who reads the log sees it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from worker.s3_url import is_s3

if TYPE_CHECKING:
    from detectors.scan import Scan


def sarif_of(found: Scan, path: str) -> dict[str, Any]:
    """Return *found* at *path* as a SARIF log whose places are relative to the current folder, where *path* lies in it."""
    from detectors.sarif import sarif_log
    from worker.program import release

    return sarif_log(found, base_of(path, found), release())


def base_of(path: str, found: Scan) -> str:
    """Return the URI reference of the folder that the places of *found* are named from, with a slash at its end.

    It is relative, and "" for the current folder, where that holds it: forges take the folder that a job runs in for the root
    of the project. A link is followed, because they show no results behind one. Otherwise it is a whole URI.
    """
    if is_s3(path):
        place = path.rstrip("/")
        return f"{_folder_of_object(place, found)}/"
    folder = os.path.realpath(path if os.path.isdir(path) else os.path.dirname(os.path.realpath(path)))
    within = os.path.relpath(folder, os.path.realpath(os.curdir))
    if within == os.curdir:
        return ""
    is_outside = within == os.pardir or within.startswith(os.pardir + os.sep)
    return f"file://{_quoted(folder).rstrip('/')}/" if is_outside else f"{_quoted(within)}/"


def _folder_of_object(place: str, found: Scan) -> str:
    """Return the URI of the prefix *place*, or of the one around it where *place* is an object, which is a file of a model."""
    bucket, *key = place.split("/")[2:]
    is_object = any(model.detection.files == (key[-1],) for model in found.models) if key else False
    return "s3://" + "/".join([bucket, *map(quote, key[:-1] if is_object else key)])


def _quoted(path: str) -> str:
    return quote(os.fsencode(path))
