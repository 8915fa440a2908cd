"""The page of models: what it lists, what its filters find, and what it says where there is nothing."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest

from detectors.facts import Metric, ModelType
from tests.worker.api.conftest import NOON, Door
from tests.worker.api.web.shelf import finding, put, report
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.web.models import PAGE

NBSP = "\N{NO-BREAK SPACE}"


def names(page: str) -> list[str]:
    """Return the names of the models on a page, in its order."""
    return [html.unescape(name) for name in re.findall(r'<a class="name" href="[^"]*"><bdi>(.*?)</bdi>', page)]


def words(page: str) -> str:
    """Return the text of a page, on one line."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


@pytest.fixture
def shelf(room: Door) -> Door:
    """Four models: one is tagged, one has two versions, one is incomplete, one not fully read; and one of another team."""
    problems = [{"path": "v", "problem": "1 of 2 shards missing"}]
    room.clock.at = NOON - timedelta(hours=3)
    put(
        room,
        "mnist",
        ["production"],
        report=report(values=[{"name": "accuracy", "value": 0.9911, "step": 9, "session": "eval"}]),
    )
    put(room, "bert", project="nlp", experiment="es0x94tq2m7a")
    put(room, "bert", project="nlp", experiment="es0x94tq2m7a", model_type=ModelType.CUSTOM)
    room.clock.at = NOON - timedelta(minutes=41)
    put(room, "cassava", completeness="incomplete", verdict="findings", report=report(problems=problems))
    put(room, "t5", verdict="inconclusive", report=report(unread=[{"path": "a", "reason": "size limit"}]))
    put(room, "theirs", team="red")
    room.clock.at = NOON
    return room


def test_each_model_stands_there_once_with_its_newest_version(shelf: Door, reader: Visitor) -> None:
    page = reader.get("/")
    assert seen(page) == (200, "Models")
    assert names(page.text) == ["t5", "cassava", "bert", "mnist"]
    said = words(page.text)
    assert "4 models, 5 versions. 2 need a look : 1 incomplete, 1 not fully read." in said
    assert "cassava v1 vision · es7q2m81xk4d Incomplete v: 1 of 2 shards missing ONNX opset 7 – no metric reported" in said
    assert f"one version 1.24{NBSP}M 3{NBSP}B 41{NBSP}min ago".replace(NBSP, " ") in said
    assert "bert v2 nlp" in said
    assert "mnist v1 production vision · es7q2m81xk4d Complete no findings ONNX opset 7 0.9911 accuracy" in said
    assert "Not fully read 1 file not read" in said
    assert "theirs" not in said


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=RT", ["bert"]),
        ("q=es7q", ["t5", "cassava", "mnist"]),
        ("projectId=nlp", ["bert"]),
        ("type=ONNX", ["t5", "cassava", "mnist"]),
        ("type=Custom", ["bert"]),
        ("state=look", ["t5", "cassava"]),
        ("state=findings", ["cassava"]),
        ("state=unread", ["t5"]),
        ("state=clean", ["bert", "mnist"]),
        ("tag=production", ["mnist"]),
        ("q=mn&projectId=vision&type=&state=&tag=&sort=newest", ["mnist"]),
        ("type=nonsense&state=nonsense&sort=nonsense", ["t5", "cassava", "bert", "mnist"]),
    ],
)
def test_filters_find_models(shelf: Door, reader: Visitor, query: str, found: list[str]) -> None:
    for page in (reader.get(f"/?{query}"), reader.part(f"/?{query}")):
        assert page.status_code == 200
        assert names(page.text) == found


def test_what_is_filtered_stays_in_the_form(shelf: Door, reader: Visitor) -> None:
    page = reader.get("/?q=mn&projectId=vision&state=clean&tag=production").text
    assert 'name="q" type="search" value="mn"' in page
    assert re.findall(r'<option value="([^"]+)" selected>', page) == ["vision", "clean", "production", "newest"]
    assert "1 model matches" in words(page)


def test_a_part_is_the_list_alone_and_leaves_a_short_address(shelf: Door, reader: Visitor) -> None:
    part = reader.part("/?q=m&projectId=&type=&state=&tag=&sort=newest")
    assert part.text.lstrip().startswith('<form action="/compare" id="models">')
    assert "<html" not in part.text
    assert part.headers["hx-replace-url"] == "/?q=m"
    assert "<html" in reader.get("/?q=m", **{"HX-Request": "true", "HX-History-Restore-Request": "true"}).text


def test_where_nothing_matches_the_way_back_is_told(shelf: Door, reader: Visitor) -> None:
    said = words(reader.get("/?q=zzz").text)
    assert "No model matches. “ zzz ” is looked for in names and experiments." in said
    assert "Clear the filters" in said


def test_where_there_is_no_model_the_next_step_is_told(room: Door, reader: Visitor) -> None:
    page = reader.get("/?q=zzz")
    assert seen(page) == (200, "No models yet")
    assert "modelport ingest runs/mnist --project vision" in page.text
    assert "2 workers gave a sign of life" in page.text


def test_what_another_team_has_is_not_there(room: Door, reader: Visitor) -> None:
    put(room, "theirs", team="red", project="secret", tags=["hidden"])
    assert seen(reader.get("/")) == (200, "No models yet")
    put(room, "ours")
    page = reader.get("/").text
    assert not re.search("theirs|secret|hidden</option>", page)


def test_many_models_come_page_by_page_and_each_once(room: Door, reader: Visitor) -> None:
    wanted = [f"m{number:03}" for number in range(2 * PAGE + 1)]
    for name in reversed(wanted):
        put(room, name)
    address: str | None = "/?projectId=vision"
    found: list[str] = []
    while address is not None:
        page = reader.get(address).text
        found += names(page)
        older = re.search(r'<a href="([^"]*)" rel="next">Older models →</a>', page)
        address = None if older is None else html.unescape(older[1])
    assert found == wanted
    assert ">← Newest models</a>" in page


def test_after_the_oldest_there_is_a_way_back(room: Door, reader: Visitor) -> None:
    version = put(room, "only")
    assert "There are no older models." in reader.get(f"/?after={version.id}").text


def test_findings_are_worse_than_parts_that_are_missing(room: Door, reader: Visitor) -> None:
    findings = [finding("critical"), finding("critical", "tf-file-read"), finding("low")]
    put(room, "vendor", completeness="incomplete", verdict="findings", report=report(findings=findings))
    assert "2 critical tf-file-read, 1 more, incomplete" in words(reader.get("/").text)


def test_what_became_of_the_metric_is_told_across_versions(room: Door, reader: Visitor) -> None:
    for accuracy in (0.861, 0.853, 0.8842):
        value = {"name": "accuracy", "value": accuracy, "step": 9, "session": "eval"}
        put(room, "m", report=report(values=[value]), metrics=(Metric("accuracy", accuracy, 9, "eval", "events"),))
    put(room, "n", report=report(values=[value]))
    put(room, "n", report=report(values=[value]))
    page = reader.get("/").text
    said = words(page)
    assert f'aria-label="accuracy over 3{NBSP}versions, 0.8610 to 0.8842"' in page
    assert said.count("not reported by two versions") == 1


def test_tables_say_their_roles_and_cells_their_labels(shelf: Door, reader: Visitor) -> None:
    page = reader.get("/").text
    for role, count in {"table": 1, "rowgroup": 2, "row": 5, "columnheader": 9, "rowheader": 4, "cell": 32}.items():
        assert page.count(f'role="{role}"') == count, role
    assert page.count('data-label="Size"') == 4
    assert '<th scope="col" role="columnheader" class="num" aria-sort="descending">' in page


@pytest.mark.parametrize("query", ["q=" + "x" * 5000, "after=" + "x" * 5000])
def test_what_is_too_long_is_refused_in_words(reader: Visitor, query: str) -> None:
    assert seen(reader.get(f"/?{query}")) == (422, "This cannot be understood")


@pytest.mark.parametrize("query", ["q=%00", "q=%ff", "tag=%00", "projectId=%ed%a0%80", "after=nothing", "q=%25", "q=_"])
def test_what_nothing_can_be_called_finds_nothing(shelf: Door, reader: Visitor, query: str) -> None:
    answer = reader.get(f"/?{query}")
    assert (answer.status_code, names(answer.text)) == (200, [])
