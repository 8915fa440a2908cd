"""Style, script and icon, each at an address that never means anything else."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.worker.api.web.visitor import Visitor
from worker.api.web.assets import ASSETS, FOLDER, static


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_a_file_is_given_for_good_under_its_digest(visitor: Visitor, name: str) -> None:
    answer = visitor.get(static(name))
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    assert hashlib.sha256(answer.content).hexdigest()[:16] in static(name)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "address",
    ["/static/0000000000000000/modelport.css", "/static/x/README.md", "/static/../app.py", "/static/x/%2e%2e%2fapp.py"],
)
def test_nothing_else_is_given(visitor: Visitor, address: str) -> None:
    assert visitor.get(address).status_code == 404


def test_htmx_is_the_one_that_the_readme_says() -> None:
    said = re.search(r"SHA-256 of `htmx.min.js` is `([0-9a-f]{64})`", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert said is not None
    content = (FOLDER / "htmx.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == said[1]
    assert b'version:"2.0.11"' in content
    assert "Zero-Clause BSD" in (FOLDER / "htmx.LICENSE").read_text(encoding="utf-8")


def test_the_style_takes_nothing_from_elsewhere() -> None:
    assert not re.search(r"url\(|@import|expression", (FOLDER / "modelport.css").read_text(encoding="utf-8"))
