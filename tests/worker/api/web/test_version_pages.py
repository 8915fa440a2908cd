"""The page of one version, of runs that were really scanned, and what people do there."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from detectors.scan import RULES_VERSION
from tests.builders import onnx
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import dangerous, digits, ingest, onnx_run, small
from tests.worker.api.web.shelf import put, report
from tests.worker.api.web.visitor import Visitor
from worker.api.app import make_app
from worker.api.web import kept
from worker.api.web.model_page import MOST_FINDINGS
from worker.api.web.model_page import said as summary_of
from worker.records import Action, AuditQuery, Condition, FilesSeen, ModelVersion, Trigger, VersionQuery


def words(answer: httpx.Response) -> str:
    """Return what a page says, on one line."""
    said = re.sub(r"<(title|desc)[^>]*>.*?</\1>|<head>.*?</head>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", said))).replace("\u00a0", " ")


def headings(answer: httpx.Response) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", answer.text)


@pytest.fixture
def editor(room: Door) -> Visitor:
    """Somebody who signed in with a token that may read and change models."""
    visitor = Visitor(make_app(room.service))
    assert visitor.sign_in(room.token("model:read", "model:write")).status_code == 303
    return visitor


@pytest.fixture
def version(room: Door, tmp_path: Path) -> ModelVersion:
    return ingest(room, digits(tmp_path / "run"), "digits", experiment="e7", trigger=Trigger.COMPLETION)


def send(editor: Visitor, path: str, **fields: str) -> httpx.Response:
    return editor.post(path, {"csrf": editor.csrf(), **fields})


def test_a_version_says_whether_it_can_be_used_and_where_it_came_from(reader: Visitor, version: ModelVersion) -> None:
    said = words(reader.get(f"/versions/{version.id}"))
    assert "digits v1 Complete No findings It can be used: nothing speaks against it. Only version." in said
    assert "Registered just now when experiment e7 finished." in said
    for fact in (
        "Trigger Completion event from test",
        "Project vision",
        "Kept copied into the store",
        f"Model id {version.id}",
    ):
        assert fact in said
    assert f"{version.digest[:15]}… Copy" in said


@pytest.mark.parametrize(
    ("condition", "title", "use"),
    [
        (Condition.MISSING, "Files gone", "It cannot be used as it lies: its files are gone."),
        (Condition.CHANGED, "Files changed", "It is not to be used as it lies"),
        (Condition.TOUCHED, "Files written since", "It is to be looked at first"),
        (Condition.UNREACHABLE, "Files not reached", "Whether it can be used is not known"),
    ],
)
def test_a_version_whose_files_drifted_is_never_shown_as_fine(
    room: Door, reader: Visitor, version: ModelVersion, condition: Condition, title: str, use: str
) -> None:
    now = room.service.clock.now()
    assert "nobody looked at them since they were registered" in words(reader.get(f"/versions/{version.id}"))
    seen = FilesSeen(condition, "1 of 3 files (a) is so", now, now, "the mount is away")
    assert room.registry.care.note_files(version, seen, None)
    said = words(reader.get(f"/versions/{version.id}"))
    assert f"digits v1 {title} Complete No findings {use}" in said
    assert "It can be used" not in said
    assert f"Files now {title} 1 of 3 files (a) is so, just now the mount is away, just now" in said
    assert title in words(reader.get("/"))
    fine = FilesSeen(Condition.FINE, "as registered, byte for byte", now, now)
    assert room.registry.care.note_files(version, fine, None)
    said = words(reader.get(f"/versions/{version.id}"))
    assert "It can be used" in said
    assert "Files now As registered as registered, byte for byte, just now" in said


def test_a_version_says_that_newer_rules_would_judge_it(
    reader: Visitor, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"Judged by rules {RULES_VERSION} Ingestion" in words(reader.get(f"/versions/{version.id}"))
    monkeypatch.setattr(kept, "RULES_VERSION", "99")
    assert f"Judged by rules {RULES_VERSION} newest are 99" in words(reader.get(f"/versions/{version.id}"))


def test_numbers_stand_at_the_top(reader: Visitor, version: ModelVersion) -> None:
    """The last evaluation wrote four values: 0.952, 0.948, 0.94 and at last 0.94."""
    said = words(reader.get(f"/versions/{version.id}"))
    assert "accuracy 0.9400 last value, eval , step 1,200 loss 0.1715 last value, eval , step 1,200 " in said
    assert "Parameters 2.41 k 2,410 trainable Size 257 kB 17 files Format SavedModel TensorFlow 2.21.0, graph style" in said
    assert "eval accuracy 0.9400 mean 0.9450 , from 0.9400 to 0.9520 1,200 0.9450 1,200 digits/eval/events.out.tfevents" in said


def test_signatures_read_as_people_write_them(reader: Visitor, version: ModelVersion) -> None:
    said = words(reader.get(f"/versions/{version.id}"))
    assert (
        "serving_default tensorflow/serving/predict image: float32[batch, 8, 8] → gives probabilities: float32[batch, 10]"
        in said
    )


def test_what_was_not_looked_at_is_not_called_complete(room: Door, reader: Visitor, tmp_path: Path) -> None:
    """Neither among the states, nor where the models of a version are listed."""
    outside = onnx.external_tensor("x", location="../secret", offset="0", length="24")
    folder = onnx_run(tmp_path / "run", onnx.model(onnx.small_graph(initializers=[outside], inputs=[])))
    onnx_run(folder / "other", (folder / "model.onnx").read_bytes())
    said = words(reader.get(f"/versions/{ingest(room, folder, 'net').id}"))
    assert "net v1 2 findings, high at worst Complete as far as it was read Read the findings" in said
    assert "other/model.onnx ONNX Complete as far as it was read" in said


def test_the_blocks_keep_their_order(reader: Visitor, version: ModelVersion) -> None:
    assert headings(reader.get(f"/versions/{version.id}")) == [
        *("Signatures", "Load check", "Metrics", "Inside the model", "Other models of this version", "Files", "Use it"),
        *("Findings", "Custom metadata", "Versions", "Where it came from", "Tags", "Notes"),
    ]


def test_pictures_are_drawn_for_what_was_reported_step_by_step(reader: Visitor, version: ModelVersion) -> None:
    page = reader.get(f"/versions/{version.id}").text
    assert re.findall(r"<desc[^>]*>(.*?)</desc>", page) == [
        "eval rises from 0.8580 at step 300 to 0.9450 at step 1,200.",
        "eval falls from 0.4303 at step 300 to 0.1643 at step 1,200.",
    ]
    assert "style=" not in page


def test_findings_and_missing_parts_come_first_and_nothing_is_offered_unasked(
    room: Door, reader: Visitor, tmp_path: Path
) -> None:
    version = ingest(room, dangerous(tmp_path / "run"), "vendor")
    page = reader.get(f"/versions/{version.id}")
    assert headings(page)[:3] == ["Findings", "Completeness", "Signatures"]
    assert "Use it" not in headings(page)
    said = words(page)
    assert "1 high finding Incomplete Read the findings before anybody loads it." in said
    assert "1/variables/variables.data-00000-of-00001 Incomplete is missing" in said
    assert re.search(r"High\s+link-outside .*/etc/passwd.* away", said)
    assert f'href="/versions/{version.id}/archive"' not in page.text


def test_a_dangerous_version_is_given_to_who_was_told(room: Door, reader: Visitor, tmp_path: Path) -> None:
    version = ingest(room, dangerous(tmp_path / "run"), "vendor")
    for path in ("archive", "files/1/saved_model.pb"):
        asked = reader.get(f"/versions/{version.id}/{path}")
        assert (asked.status_code, asked.headers["location"]) == (303, f"/versions/{version.id}?ask=download")
    question = reader.get(f"/versions/{version.id}?ask=download")
    assert "Download v1 in spite of 1 finding? High link-outside" in words(question)
    given = send(reader, f"/versions/{version.id}/archive")
    assert ZipFile(io.BytesIO(given.content)).namelist() == ["1/saved_model.pb", "1/variables/variables.index"]


def test_files_are_given_together_and_one_by_one(reader: Visitor, version: ModelVersion) -> None:
    page = reader.get(f"/versions/{version.id}")
    addresses = re.findall(rf'href="(/versions/{version.id}/files/[^"]*)" download', page.text)
    assert len(addresses) == 17
    whole = ZipFile(io.BytesIO(reader.get(f"/versions/{version.id}/archive").content))
    for address in addresses:
        assert reader.get(address).content == whole.read(address.partition("/files/")[2])


def test_the_scan_report_is_one_link_away(reader: Visitor, version: ModelVersion) -> None:
    assert reader.get(f"/versions/{version.id}/report").json() == json.loads(version.report)


def test_the_bill_of_materials_is_one_link_away(reader: Visitor, version: ModelVersion) -> None:
    assert f'<a href="/versions/{version.id}/bom">bill of materials</a>' in reader.get(f"/versions/{version.id}").text
    bill = reader.get(f"/versions/{version.id}/bom").json()
    assert (bill["bomFormat"], bill["metadata"]["component"]["bom-ref"]) == ("CycloneDX", version.id)


def test_commands_to_copy_name_the_version(reader: Visitor, version: ModelVersion) -> None:
    page = html.unescape(reader.get(f"/versions/{version.id}").text)
    assert '-v "$PWD"/digits/1767261900:/models/digits/1 \\\n  -e MODEL_NAME=digits tensorflow/serving' in page
    assert f'"$MODELPORT_API_URL/v1/versions/{version.id}/archive"' in page
    assert f"gradient models download \\\n  --id {version.id} --destinationDir digits" in page


@pytest.mark.parametrize("path", ["/models/digits", "/models/digits@1", "/models/digits?projectId=vision", "/models/{id}"])
def test_a_model_is_named_as_people_name_it(reader: Visitor, version: ModelVersion, path: str) -> None:
    assert f"Model id {version.id}" in words(reader.get(path.format(id=version.id)))


def test_versions_of_a_model_are_listed_with_a_picture(room: Door, reader: Visitor, tmp_path: Path) -> None:
    accuracies = (0.9, 0.95, 0.97)
    versions = [
        ingest(room, onnx_run(tmp_path / str(at), small(), {"accuracy": [one]}), "net") for at, one in enumerate(accuracies)
    ]
    page = reader.get("/models/net")
    assert "v3 0.9700 just now v2 0.9500 just now v1 0.9000 just now" in words(page)
    assert "accuracy over 3 versions, 0.9000 to 0.9700" in page.text.replace("\u00a0", " ")
    assert "Newest of 3." in words(page)
    first = words(reader.get(f"/versions/{versions[0].id}"))
    assert "Not the newest: there is v3." in first
    assert f"/compare?a={versions[1].id}&amp;b={versions[2].id}" in page.text


def test_what_may_be_done_is_offered_to_who_may_do_it(reader: Visitor, editor: Visitor, version: ModelVersion) -> None:
    for said, is_there in ((words(reader.get(f"/versions/{version.id}")), False), (words(editor.get("/models/digits")), True)):
        offers = ("Rename", "Scan again…", "Publish…", "Delete v1…", "Add a tag", "Write some")
        assert all((offer in said) is is_there for offer in offers)
    for question in ("rename", "tag", "notes", "rescan", "publish", "delete"):
        asked = f"/versions/{version.id}?ask={question}"
        assert 'id="ask"' in editor.get(asked).text
        assert 'id="ask"' not in reader.get(asked).text


def test_a_model_is_renamed(room: Door, editor: Visitor, version: ModelVersion) -> None:
    answer = send(editor, f"/versions/{version.id}/name", name="faces")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/versions/{version.id}?done=renamed")
    said = words(editor.get(answer.headers["location"]))
    assert "faces v1" in said
    assert "The model has another name now, and so have all its versions." in said


def test_a_name_that_cannot_be_taken_is_asked_for_again(room: Door, editor: Visitor, version: ModelVersion) -> None:
    answer = send(editor, f"/versions/{version.id}/name", name="a@1")
    assert answer.status_code == 422
    assert 'value="a@1"' in answer.text
    assert "would be taken for an id or a version; choose another" in words(answer)
    assert room.registry.version("default", version.id) == version


def test_tags_are_added_and_removed(room: Door, editor: Visitor, version: ModelVersion) -> None:
    assert send(editor, f"/versions/{version.id}/tags", add=" to production ").headers["location"].endswith("?done=tagged")
    assert "to production" in words(editor.get(f"/versions/{version.id}?ask=tag"))
    assert send(editor, f"/versions/{version.id}/tags", remove="to production").status_code == 303
    kept = room.registry.version("default", version.id)
    assert kept is not None
    assert kept.tags == ()
    assert send(editor, f"/versions/{version.id}/tags", add=" ").status_code == 422


def test_a_model_is_published_and_withdrawn_after_a_question(room: Door, editor: Visitor, version: ModelVersion) -> None:
    here = f"/versions/{version.id}"
    question = words(editor.get(f"{here}?ask=publish"))
    assert "Publish digits ? All teams can read it then: all its versions, also later ones, with their files" in question
    answer = send(editor, f"{here}/published")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?done=published")
    assert room.registry.readable("another team", version.id) is not None
    said = words(editor.get(answer.headers["location"]))
    assert "All teams can read the model now, all its versions, also later ones." in said
    assert "Published: all teams can read it." in said
    assert "Withdraw digits ? No other team can read it any more." in words(editor.get(f"{here}?ask=publish"))
    assert send(editor, f"{here}/published", withdraw="yes").headers["location"] == f"{here}?done=withdrawn"
    assert room.registry.readable("another team", version.id) is None
    written = [(line.action.value, line.who) for line in room.registry.audit(AuditQuery("default"))[:2]]
    assert [action for action, _ in written] == ["model.withdrawn", "model.published"]
    assert all(who.startswith("the token ") for _, who in written)


def test_another_look_at_its_path_is_queued(room: Door, editor: Visitor, version: ModelVersion, tmp_path: Path) -> None:
    room.rung.clear()
    answer = send(editor, f"/versions/{version.id}/rescan", force="yes")
    assert answer.headers["location"] == f"/versions/{version.id}?done=queued"
    claimed = room.registry.claim_next("me", room.clock.now())
    assert claimed is not None
    event = claimed.event
    assert (event.model_path, event.experiment, event.project) == (str(tmp_path / "run"), "e7", "vision")
    assert (event.trigger, event.is_forced) == (Trigger.RESCAN, True)
    assert room.rung
    assert "is queued" in words(editor.get(answer.headers["location"]))


def test_the_last_version_is_deleted_by_who_types_its_name(room: Door, editor: Visitor, version: ModelVersion) -> None:
    refused = send(editor, f"/versions/{version.id}/delete", name="digit")
    assert refused.status_code == 422
    assert "type the name of the model: no version of it will be left" in words(refused)
    assert send(editor, f"/versions/{version.id}/delete", name="digits").headers["location"] == "/?done=deleted"
    assert "The last version was deleted, and so is its model." in words(editor.get("/?done=deleted"))
    assert list(room.registry.versions(VersionQuery())) == []
    assert editor.get(f"/versions/{version.id}").status_code == 404


def test_one_of_several_versions_is_deleted_after_a_question(room: Door, editor: Visitor, tmp_path: Path) -> None:
    old, new = (ingest(room, onnx_run(tmp_path / name, small(op=name)), "net") for name in ("Relu", "Tanh"))
    question = words(editor.get(f"/versions/{new.id}?ask=delete"))
    assert "Delete v2? Its copy of 1 file, 78 B, goes for good. The other version of the model stays." in question
    assert send(editor, f"/versions/{new.id}/delete").headers["location"] == f"/versions/{old.id}?done=deleted"
    assert "this one is the newest that is left" in words(editor.get(f"/versions/{old.id}?done=deleted"))
    assert [one.id for one in room.registry.versions(VersionQuery())] == [old.id]


NOTES = "Trained on <b>5 %</b> of the data.\n\n\u202eUse it with care."


def test_notes_are_written_kept_with_their_lines_and_taken_away(room: Door, editor: Visitor, version: ModelVersion) -> None:
    assert "Notes None. Write some" in words(editor.get(f"/versions/{version.id}"))
    answer = send(editor, f"/versions/{version.id}/notes", notes=NOTES.replace("\n", "\r\n"))
    assert answer.headers["location"] == f"/versions/{version.id}?done=noted"
    shown = editor.get(answer.headers["location"]).text
    assert '<p class="lines">Trained on &lt;b&gt;5 %&lt;/b&gt; of the data.\n\n\\u202eUse it with care.</p>' in shown
    [line] = room.registry.audit(AuditQuery("default", action=Action.VERSION_NOTED))
    assert line.who.startswith("the token test")
    assert "\n&lt;b&gt;" not in editor.get(f"/versions/{version.id}?ask=notes").text
    assert f"\n{NOTES[:11]}&lt;b&gt;5 %" in editor.get(f"/versions/{version.id}?ask=notes").text
    send(editor, f"/versions/{version.id}/notes", notes=" \r\n")
    kept = room.registry.version("default", version.id)
    assert kept is not None
    assert kept.notes is None


def test_notes_that_are_too_long_are_asked_for_again(room: Door, editor: Visitor, version: ModelVersion) -> None:
    answer = send(editor, f"/versions/{version.id}/notes", notes="n" * 10_001)
    assert answer.status_code == 422
    assert "notes: expected at most 10000 characters, found 10001" in words(answer)
    assert "n" * 10_001 in answer.text
    assert room.registry.version("default", version.id) == version


def test_a_summary_that_people_gave_is_shown_in_rows() -> None:
    shown = summary_of({"accuracy": 0.91, "<b>": {"max": [1, 2]}, "set": "test\u202e"})
    assert shown["summary_rows"] == [("accuracy", "0.91"), ("<b>", '{"max": [1, 2]}'), ("set", "test\\u202e")]
    assert summary_of(dict.fromkeys(map(str, range(60)), 1))["summary_more"] == 10


@pytest.mark.parametrize(("given", "text"), [(None, None), ([1, "a"], '[1, "a"]'), ("good", "good"), ({}, "{}"), (0, "0")])
def test_a_summary_that_is_no_object_is_shown_as_text(given: object, text: str | None) -> None:
    assert (summary_of(given)["summary_rows"], summary_of(given)["summary_text"]) == ([], text)


CHANGES = ("name", "tags", "notes", "published", "rescan", "delete", "archive")


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_is_done_for_a_form_that_is_not_ours(room: Door, editor: Visitor, version: ModelVersion, what: str) -> None:
    fields = {"name": "digits", "add": "x"}
    assert editor.post(f"/versions/{version.id}/{what}", fields).status_code == 403
    elsewhere = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
    assert editor.post(f"/versions/{version.id}/{what}", fields | {"csrf": editor.csrf()}, elsewhere).status_code == 403
    assert room.registry.version("default", version.id) == version


@pytest.mark.parametrize("what", CHANGES[:-1])
def test_who_may_only_read_changes_nothing(room: Door, reader: Visitor, version: ModelVersion, what: str) -> None:
    assert send(reader, f"/versions/{version.id}/{what}", name="digits", add="x").status_code == 403
    assert room.registry.version("default", version.id) == version


@pytest.mark.parametrize("path", ["", "/report", "/bom", "/archive", "/files/digits.onnx"])
def test_what_another_team_has_is_not_there(room: Door, reader: Visitor, tmp_path: Path, path: str) -> None:
    room.registry.create_team("red", room.clock.now())
    theirs = ingest(room, digits(tmp_path / "run"), "theirs", team="red")
    answers = [reader.get(f"/versions/{one}{path}") for one in (theirs.id, "moaaaaaaaaaaaa")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text.replace(theirs.id, "moaaaaaaaaaaaa") == answers[1].text
    assert reader.get("/models/theirs").status_code == 404


HOSTILE = "</title></desc><script>alert(1)</script>\"'&{{33333*33333}}\u202e\\x1b"


def test_what_comes_from_outside_is_text_everywhere(room: Door, editor: Visitor, tmp_path: Path) -> None:
    model = small([onnx.value(HOSTILE)], [onnx.value(HOSTILE)], op=HOSTILE)
    file = HOSTILE.replace("/", "-") + ".onnx"
    folder = onnx_run(tmp_path / "run", model, {HOSTILE: [0.5, 0.6]}, file)
    (folder / "gradient-model-metadata.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    version = ingest(
        room, folder, HOSTILE, project=HOSTILE, experiment=HOSTILE, source=HOSTILE, git_sha=HOSTILE, git_ref=HOSTILE
    )
    ingest(room, onnx_run(tmp_path / "other", small()), "other")
    room.registry.tag("default", version.id, [HOSTILE], [])
    room.registry.note("default", version.id, HOSTILE, room.clock.now(), "me")
    for query in (
        "",
        "?ask=rename",
        "?ask=tag",
        "?ask=notes",
        "?ask=rescan",
        "?ask=publish",
        "?ask=delete",
        f"?ask={HOSTILE[:20]}&done={HOSTILE[:20]}",
    ):
        page = editor.get(f"/versions/{version.id}{query}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "1111088889" not in page.text
        assert page.text.count("\u202e") <= 2, "but where a form must send it back"
    files = re.findall(r'href="(/versions/[^"]*/files/[^"]*)"', editor.get(f"/versions/{version.id}").text)
    assert [editor.get(file).status_code for file in files] == [200, 200, 200]


LITTLE = ({}, {"models": [{"primary": True}], "metrics": {"values": []}}, {"coverage": {}})
"""Reports as an older release may have written them."""


@pytest.mark.parametrize("said", LITTLE)
def test_a_report_that_says_little_is_shown_as_far_as_it_goes(room: Door, reader: Visitor, said: dict[str, object]) -> None:
    version = put(room, "net", report=json.dumps(said))
    assert "net v1" in words(reader.get(f"/versions/{version.id}"))


def test_a_page_shows_the_first_of_what_is_wrong_and_tells_how_much_more_there_is(room: Door, reader: Visitor) -> None:
    """A folder may hold a hundred thousand files that could not be read."""
    problems = [{"path": f"part-{number}", "problem": "is missing"} for number in range(150)]
    unread = [{"path": f"file-{number}", "reason": "may not be read"} for number in range(5000)]
    version = put(room, "net", completeness="incomplete", report=report(problems=problems, unread=unread))
    page = reader.get(f"/versions/{version.id}")
    said = words(page)
    assert "part-149" in said
    assert said.count("may not be read") == MOST_FINDINGS - 150
    assert "and 4,950 more in the scan report" in said
    assert "5,000 not read" in said


def test_what_was_uploaded_is_not_scanned_again(room: Door, editor: Visitor, tmp_path: Path) -> None:
    """It came from no path that could be looked at."""
    uploaded = ingest(room, digits(tmp_path / "run"), "sent", trigger=Trigger.UPLOAD)
    for question in ("", "?ask=rescan"):
        assert "Scan again" not in words(editor.get(f"/versions/{uploaded.id}{question}"))
    answer = send(editor, f"/versions/{uploaded.id}/rescan")
    assert (answer.status_code, "it was uploaded, and came from no path" in words(answer)) == (409, True)
