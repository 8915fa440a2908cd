"""The inspector of the command line."""

from __future__ import annotations

import pytest

from tests.contracts.inspector import InspectorContract
from worker.inspector.in_process import InProcessInspector
from worker.ports import Inspector


class TestInProcessInspector(InspectorContract):
    @pytest.fixture
    def inspector(self) -> Inspector:
        return InProcessInspector()
