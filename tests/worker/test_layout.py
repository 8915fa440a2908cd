"""How lines and rows fit a terminal; the expected lines are written out by hand."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from worker.layout import FIELDS, ITEMS, WORDS, Line, broken, print_rows, table


def shown(width: int, *lines: Line) -> list[str]:
    """Return the lines that a terminal of *width* columns shows."""
    with open(os.devnull, "w") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        for line in lines:
            console.print(line)
        return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_line_that_fits_stays_one() -> None:
    assert shown(20, Line(Text("✓ clean  /runs/mnist"))) == ["✓ clean  /runs/mnist"]


def test_a_path_is_broken_after_a_folder() -> None:
    assert shown(14, Line(Text("at /runs/mnist/1557442950"))) == ["at /runs/", "mnist/", "1557442950"]


def test_a_list_is_broken_between_its_items() -> None:
    tensors = "image: float32[?, 8, 8], label: int64[?]"
    assert shown(26, Line(Text(tensors), ITEMS)) == ["image: float32[?, 8, 8],", "label: int64[?]"]


def test_an_item_wider_than_the_line_is_broken_between_words() -> None:
    assert shown(10, Line(Text("one, two three four, five"), ITEMS)) == ["one,", "two three", "four,", "five"]


def test_a_word_wider_than_the_line_is_cut_and_leaves_no_empty_line() -> None:
    assert shown(6, Line(Text("sha256abcdef"))) == ["sha256", "abcdef"]


def test_letters_of_two_columns_are_counted_as_two() -> None:
    assert shown(6, Line(Text("模型 模型"))) == ["模型", "模型"]


@given(st.text(alphabet="ab/ ,·[]模", max_size=60), st.integers(1, 30), st.sampled_from([WORDS, ITEMS, FIELDS]))
def test_breaking_loses_nothing_but_spaces(text: str, width: int, piece: object) -> None:
    found = broken(Text(text), width, piece).plain  # type: ignore[arg-type]
    assert found.replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_a_very_long_line_of_brackets_is_broken_quickly() -> None:
    """A name out of a model cannot make the search for its end a long one."""
    assert broken(Text("[" * 100_000), 80, ITEMS).plain == "[" * 100_000


ROWS = [
    {"ID": Text("mo1"), ">SIZE": Text("9 B"), "PROJECT": Text("digits"), "TAGS": Text("–")},
    {"ID": Text("mo2"), ">SIZE": Text("10 B"), "PROJECT": Text("speech"), "TAGS": Text("a, b")},
]


def rows(width: int) -> list[str]:
    with open(os.devnull, "w") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        print_rows(console, ROWS, head=("ID", ">SIZE"))
        return [line.rstrip() for line in console.export_text().splitlines()]


def test_rows_are_a_table_where_it_fits() -> None:
    assert rows(24) == ["ID   SIZE  PROJECT  TAGS", "mo1   9 B  digits   –", "mo2  10 B  speech   a, b"]


def test_rows_are_entries_with_every_field_where_no_table_fits() -> None:
    assert rows(23) == ["mo1  9 B", "    project digits", "mo2  10 B", "    project speech ·", "    tags a, b"]


@pytest.mark.parametrize("name", ["ID", ">SIZE"])
def test_columns_of_ids_and_numbers_are_never_broken(name: str) -> None:
    assert table(name).columns[0].no_wrap
