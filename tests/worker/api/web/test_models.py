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
from worker.ordering import parse_order
from worker.records import VersionQuery

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
    assert "4 models, 5 versions. 2 need a look : 1 not complete, 1 not fully read." in said
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
        ("state=needs-look", ["t5", "cassava"]),
        ("state=incomplete", ["cassava"]),
        ("state=findings", []),
        ("state=not-fully-read", ["t5"]),
        ("tag=production", ["mnist"]),
        ("q=mn&projectId=vision&type=&state=&tag=&sort=-created", ["mnist"]),
        ("type=nonsense&state=nonsense&sort=nonsense", ["t5", "cassava", "bert", "mnist"]),
    ],
)
def test_filters_find_models(shelf: Door, reader: Visitor, query: str, found: list[str]) -> None:
    for page in (reader.get(f"/?{query}"), reader.part(f"/?{query}")):
        assert page.status_code == 200
        assert names(page.text) == found


def test_what_is_filtered_stays_in_the_form(shelf: Door, reader: Visitor) -> None:
    page = reader.get("/?q=mn&projectId=vision&state=needs-look&tag=production").text
    assert 'name="q" type="search" value="mn"' in page
    assert re.findall(r'<option value="([^"]+)" selected>', page) == ["vision", "needs-look", "production", "-created"]
    assert "No model matches." in words(page)


def test_a_project_is_shown_as_it_is_called_and_found_by_all_its_names(shelf: Door, reader: Visitor) -> None:
    shelf.registry.rename_project("default", "nlp", "language", NOON)
    for name in ("nlp", "language"):
        page = reader.get(f"/?projectId={name}")
        assert names(page.text) == ["bert"]
        assert '<option value="nlp" selected>language</option>' in page.text
    assert "language · es0x94tq2m7a" in words(page.text)
    version = reader.get("/models/bert")
    assert '<a href="/?projectId=nlp"><bdi>language</bdi></a>' in version.text
    assert "<bdi>nlp</bdi>" not in version.text


def test_a_part_is_the_list_alone_and_leaves_a_short_address(shelf: Door, reader: Visitor) -> None:
    part = reader.part("/?q=m&projectId=&type=&state=&tag=&sort=-created")
    assert part.text.lstrip().startswith('<form action="/compare" id="models">')
    assert "<html" not in part.text
    assert part.headers["hx-replace-url"] == "/?q=m"
    assert "<html" in reader.get("/?q=m", **{"HX-Request": "true", "HX-History-Restore-Request": "true"}).text


def test_where_nothing_matches_the_way_back_is_told(shelf: Door, reader: Visitor) -> None:
    said = words(reader.get("/?q=zzz").text)
    assert (
        "No model matches. “ zzz ” is looked for in names and experiments, and as an id or the beginning of a digest." in said
    )
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


def test_the_list_is_sorted_by_what_models_have(room: Door, reader: Visitor) -> None:
    for name, size, metrics in (("b", 5, {"accuracy": 0.5, "loss": 2}), ("C", 3, {"accuracy": 0.9}), ("a", 9, {})):
        values = [{"name": metric, "value": value, "step": 9, "session": "eval"} for metric, value in metrics.items()]
        given = tuple(Metric(metric, value, 9, "eval", "events") for metric, value in metrics.items())
        put(room, name, report=report(values=values), metrics=given, size_bytes=size)
    page = reader.get("/").text
    offered = re.findall(r'<option value="([^"]*)"', page.partition('id="f-sort"')[2].partition("</select>")[0])
    assert offered == ["-created", "name", "-size", "-metric:accuracy", "-metric:loss"]
    found = {sort: "".join(names(reader.get(f"/?sort={sort}").text)) for sort in (*offered, "metric:accuracy", "size", "-name")}
    assert found == {
        "-created": "aCb",
        "name": "abC",
        "-size": "abC",
        "-metric:accuracy": "Cba",
        "-metric:loss": "baC",
        "metric:accuracy": "bCa",
        "size": "Cba",
        "-name": "Cba",
    }
    assert "0.5000 accuracy" in words(page)
    assert "2 loss" in words(reader.get("/?sort=-metric:loss").text)


def test_a_column_links_to_its_order_and_says_the_one_that_is(shelf: Door, reader: Visitor) -> None:
    def columns(address: str) -> dict[str, tuple[str | None, str]]:
        page = reader.get(address).text
        heads = re.findall(r'<th scope="col"[^>]*?(?: aria-sort="(\w+)")?><a href="([^"]*)"[^>]*>(\w+)</a>', page)
        return {title: (sort or None, html.unescape(href)) for sort, href, title in heads}

    assert columns("/?q=m") == {
        "Model": (None, "/?q=m&sort=name"),
        "Metric": (None, "/?q=m&sort=-metric%3Aaccuracy"),
        "Size": (None, "/?q=m&sort=-size"),
        "Registered": ("descending", "/?q=m&sort=created"),
    }
    by_metric = columns("/?sort=-metric:accuracy&projectId=vision")
    assert by_metric["Metric"] == ("descending", "/?projectId=vision&sort=metric%3Aaccuracy")
    assert by_metric["Registered"] == (None, "/?projectId=vision")
    page = reader.get("/?sort=metric:accuracy").text
    assert '<option value="metric:accuracy" selected>Metric: accuracy, lowest first</option>' in page


@pytest.mark.parametrize("sort", ["name", "-size", "-metric:accuracy"])
def test_the_next_page_keeps_the_order(room: Door, reader: Visitor, sort: str) -> None:
    for number in range(PAGE + 3):
        put(room, f"m{number % 7}.{number}", size_bytes=number * 7 % 10)
    whole = [version.model_name for version in room.registry.versions(VersionQuery(order=parse_order(sort)))]
    page = reader.get(f"/?sort={sort}").text
    more = re.search(r'<a href="([^"]*)" rel="next">More models →</a>', page)
    assert more is not None
    following = reader.get(html.unescape(more[1])).text
    assert names(page) + names(following) == whole
    assert ">← First models</a>" in following


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
