"""From a command line to an event."""

from __future__ import annotations

import pytest

from detectors.facts import ModelType
from worker.errors import RejectedEvent
from worker.events import checked_name, event_of_path, model_type


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (None, None),
        ("Tensorflow", ModelType.TENSORFLOW),
        ("tensorFLOW", ModelType.TENSORFLOW),
        ("onnx", ModelType.ONNX),
        ("1", ModelType.TENSORFLOW),
        ("2", ModelType.ONNX),
        ("3", ModelType.CUSTOM),
        ("PyTorch", ModelType.CUSTOM),
    ],
)
def test_a_declared_type_is_read_in_any_case_and_as_a_number(word: str | None, kind: ModelType | None) -> None:
    assert model_type(word) is kind


def test_a_relative_path_is_meant_from_the_working_folder() -> None:
    assert event_of_path("runs/../m", "1", "/home/me").model_path == "/home/me/m"


def test_a_url_stays_as_it_is() -> None:
    assert event_of_path("s3://bucket/a/../b", "1", "/home/me").model_path == "s3://bucket/a/../b"


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "\x1b[31m", "x" * 256, "\udc80"])
def test_a_name_that_no_terminal_should_see_is_refused(name: str) -> None:
    with pytest.raises(RejectedEvent, match=r"^name: expected"):
        checked_name("name", name)


def test_a_name_keeps_its_letters() -> None:
    assert checked_name("name", "  Größe 模型 @3 ") == "Größe 模型 @3"
