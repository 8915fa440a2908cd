"""The page of a version in quarantine: what it says, what it asks, and who may release it there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.contracts.registry import OBJECTION
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import dangerous, ingest
from tests.worker.api.web.shelf import put
from tests.worker.api.web.test_version_pages import headings, send, words
from tests.worker.api.web.visitor import Visitor
from worker.api.app import make_app
from worker.records import Action, AuditQuery, ModelVersion

WHY = OBJECTION.why
ODD = "<script>alert(1)</script> \x1b[31m"


@pytest.fixture
def steward(room: Door) -> Visitor:
    """Somebody who signed in with a token that may look at models and steer the work."""
    visitor = Visitor(make_app(room.service))
    assert visitor.sign_in(room.token("model:read", "operate")).status_code == 303
    return visitor


@pytest.fixture
def held(room: Door) -> ModelVersion:
    return put(room, "digits", objection=OBJECTION)


def test_a_version_in_quarantine_says_why_before_all_else(reader: Visitor, held: ModelVersion) -> None:
    page = reader.get(f"/versions/{held.id}")
    said = words(page)
    assert "digits v1 In quarantine Complete No findings It is not served: it is in quarantine until a person" in said
    assert f"In quarantine {WHY} Since just now . It is registered and not served, by download, link or MLflow, until" in said
    assert "Who may steer the work of the team ( operate ) may release it." in said
    assert headings(page)[0] == "In quarantine"
    assert "?ask=release" not in page.text
    assert "Use it" not in said
    assert f'href="/versions/{held.id}/archive"' not in page.text
    listed = words(reader.get("/"))
    assert f"In quarantine {WHY}" in listed
    assert "1 in quarantine" in listed
    assert "digits" in words(reader.get("/?state=quarantined"))


def test_another_version_of_the_model_shows_which_one_is_held(room: Door, reader: Visitor) -> None:
    first = put(room, "digits")
    put(room, "digits", objection=OBJECTION)
    said = words(reader.get("/models/digits"))
    assert "digits v1 Complete" in said, "a name alone is the newest that is served"
    assert "Not the newest: there is v2." in said
    assert "v2 In quarantine" in said
    assert f"/versions/{first.id}/archive" in reader.get("/models/digits").text


def test_who_may_steer_releases_it_after_a_question(room: Door, steward: Visitor, held: ModelVersion) -> None:
    here = f"/versions/{held.id}"
    assert f'href="{here}?ask=release"' in steward.get(here).text
    asked = steward.get(f"{here}?ask=release")
    assert "Release v1?" in words(asked)
    assert "Publish" not in words(asked)
    for reason in ("", "   "):
        answer = send(steward, f"{here}/release", reason=reason)
        assert (answer.status_code, "reason: expected a sentence" in words(answer)) == (422, True)
    answer = send(steward, f"{here}/release", reason=ODD.replace("\x1b", ""))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?done=released")
    page = steward.get(answer.headers["location"])
    assert "The version was released, and is served now." in words(page)
    assert "Released by the token test (tk" in words(page)
    assert f"just now : {ODD.replace(chr(27), '')} It was in quarantine: {WHY}" in words(page)
    assert "<script>alert" not in page.text
    [line] = room.registry.audit(AuditQuery("default", action=Action.VERSION_RELEASED))
    assert (line.object_id, line.details["why"]) == (held.id, WHY)
    assert f'href="{here}/archive"' in page.text
    assert "Release v1?" not in words(steward.get(f"{here}?ask=release"))


def test_a_form_that_is_sent_again_changes_and_logs_nothing(room: Door, steward: Visitor, held: ModelVersion) -> None:
    with capture_logs() as logs:
        for reason in ("ours", "mine"):
            assert send(steward, f"/versions/{held.id}/release", reason=reason).status_code == 303
    assert [one["reason"] for one in logs if one["event"] == "released"] == ["ours"]
    assert "just now : ours It was in quarantine" in words(steward.get(f"/versions/{held.id}"))


def test_who_may_only_change_models_may_not_release_them(room: Door, held: ModelVersion) -> None:
    editor = Visitor(make_app(room.service))
    editor.sign_in(room.token("model:read", "model:write"))
    here = f"/versions/{held.id}"
    assert "Release v1?" not in words(editor.get(f"{here}?ask=release"))
    assert send(editor, f"{here}/release", reason="mine").status_code == 403
    assert "Publish" not in words(editor.get(here))
    assert send(editor, f"{here}/published").status_code == 409


def test_files_are_given_after_a_question_that_names_the_quarantine(room: Door, reader: Visitor, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    version = ingest(room, dangerous(tmp_path / "run"), "digits", objection=OBJECTION)
    here = f"/versions/{version.id}"
    for path in (f"{here}/archive", f"{here}/files/1/saved_model.pb"):
        answer = reader.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?ask=download")
    assert "Download v1 out of quarantine?" in words(reader.get(f"{here}?ask=download"))
    assert not room.registry.audit(AuditQuery("default", action=Action.VERSION_TAKEN))
    assert send(reader, f"{here}/archive").headers["content-type"] == "application/zip"
    [line] = room.registry.audit(AuditQuery("default", action=Action.VERSION_TAKEN))
    assert (line.who.startswith("the token test (tk"), line.object_id) == (True, version.id)


def test_a_warning_is_shown_and_holds_nothing_back(room: Door, reader: Visitor) -> None:
    version = put(room, "digits", objection=replace(OBJECTION, is_quarantined=False, why=f"warned {ODD}"))
    page = reader.get(f"/versions/{version.id}")
    assert "Warning: warned <script>alert(1)</script> \\x1b[31m" in words(page)
    assert "<script>alert" not in page.text
    assert f'href="/versions/{version.id}/archive"' in page.text


def test_findings_say_why_they_matter_and_what_to_do(room: Door, reader: Visitor, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    version = ingest(room, dangerous(tmp_path / "run"), "digits")
    page = reader.get(f"/versions/{version.id}")
    assert "Why it matters, and what to do" in words(page)
    assert "What it leads to is not part of the model, may be secret" in words(page)
    assert "Put the file itself there, or remove the link." in words(page)
    assert '<details class="small quiet"><summary>Why' in page.text
