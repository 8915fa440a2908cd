"""The threat model names every maker of attacks, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
NAMED = set(re.findall(r"`([\w/]+(?:\.py|/))`", (FOLDER / "README.md").read_text(encoding="utf-8")))


def test_every_file_that_is_named_is_there() -> None:
    missing = [name for name in NAMED if not ((ROOT if "/" in name else FOLDER) / name).exists()]
    assert missing == []


def test_every_maker_is_named() -> None:
    makers = {path.name for path in FOLDER.glob("*.py") if not path.name.startswith(("test_", "__", "scan_"))}
    assert makers <= NAMED
    assert len(makers) >= 5
