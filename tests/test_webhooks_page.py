"""The receiver of docs/howto/webhooks.md takes what is sent, once, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from detectors.facts import Severity
from tests.servers.process import free_port, is_listened_to, until
from tests.worker.test_webhook_words import finding, notices
from worker.errors import ServerUnavailable
from worker.public_addresses import allowed
from worker.webhook_sink import WANTS, webhook

PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "webhooks.md").read_text(encoding="utf-8")

SECRET, ANOTHER = "whsec_" + "b3Vycw==" * 4, "whsec_" + "eHh4" * 12


@contextmanager
def receiving(folder: Path, port: int) -> Iterator[IO[str]]:
    """Run the receiver of the page, and give what it prints."""
    [text] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program = folder / "receiver.py"
    program.write_text(text, encoding="utf-8")
    said = os.environ | {"WEBHOOK_SECRET": SECRET, "PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, program], env=said, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as one:
        try:
            assert until(lambda: is_listened_to(port), 20)
            assert one.stdout is not None
            yield one.stdout
        finally:
            one.kill()


def test_the_receiver_of_the_page_takes_what_is_sent_once_and_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    ours = webhook(f"http://127.0.0.1:{port}/", SECRET, allowed(["127.0.0.1"]), lambda: datetime.now(UTC), None)
    registered, raised, lost = notices(finding(Severity.HIGH))
    with receiving(tmp_path, port) as printed:
        with pytest.raises(ServerUnavailable, match="says 401 Unauthorized"):
            replace(ours, secrets=[ANOTHER]).take(registered)
        for notice in (registered, registered, raised, lost):
            assert replace(ours, secrets=[ANOTHER, SECRET]).take(notice).endswith("says 204 No Content")
        assert [printed.readline().split() for _ in range(3)] == [
            ["modelport.version.registered", registered.delivery.version_id, "clean"],
            ["modelport.finding.raised", raised.delivery.version_id, "clean"],
            ["modelport.ingestion.failed", lost.delivery.ingestion_id, "None"],
        ]


def test_the_page_names_every_event() -> None:
    assert set(re.findall(r"^\| `modelport\.([\w.]+)` \|", PAGE, re.MULTILINE)) == {kind.value for kind in WANTS}
