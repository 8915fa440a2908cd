"""The faults of `python -m tests.chaos`, in a form short enough for every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.seat import chromium
from tests.chaos.again import retry_all
from tests.chaos.clocks import disagree
from tests.chaos.databases import kill_database
from tests.chaos.hung import hang, hang_store
from tests.chaos.incident import play
from tests.chaos.kills import kill_workers
from tests.chaos.load import burst, same_at_once
from tests.chaos.machine import take_any_steps
from tests.chaos.network import cut_links
from tests.chaos.watch import watch_all
from tests.chaos.writers import write_slowly
from tests.servers.process import skip_without
from tests.servers.prometheus import skip_without_prometheus


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kills_lose_nothing_and_do_nothing_twice(server_folder: Path, database: str) -> None:
    """6 kills of the worker group, one FLUSHALL and one kill of Redis among them, over 200 models; 1 kills its own worker."""
    audit = kill_workers(server_folder, database, accepted=200, kills=6, flushes=1, redis_kills=1, poison=1, seed=1)
    assert (audit.registered, audit.failed, audit.lost, audit.duplicated) == (199, 1, 0, 0), audit
    assert (audit.in_flight, audit.broken, audit.leftovers, audit.promise) == (0, 0, 0, "ok"), audit
    assert audit.most_attempts <= 5


@pytest.mark.slow
def test_a_silent_cut_of_redis_delays_work_by_15_seconds_at_most(server_folder: Path) -> None:
    row = cut_links(server_folder, cuts=1, seed=1)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
def test_workers_whose_clocks_disagree_lose_nothing_and_do_nothing_twice(server_folder: Path) -> None:
    row = disagree(server_folder, count=30, kills=3, seed=1)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
def test_any_steps_are_answered_alike_and_counted(tmp_path: Path) -> None:
    row = take_any_steps(tmp_path, 1, first_seed=1)
    assert row.is_safe, row


@pytest.mark.slow
def test_a_killed_postgresql_loses_nothing_that_was_accepted(server_folder: Path) -> None:
    row = kill_database(server_folder, kills=2, seed=1)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
def test_a_burst_is_accepted_and_worked_off(server_folder: Path) -> None:
    """Its speed is told by `make chaos`, and is no fact about a machine that others use too."""
    row = burst(server_folder, count=300, seconds=3)
    assert row.is_safe, row


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_same_completion_reported_at_once_is_one_ingestion(server_folder: Path, database: str) -> None:
    row = same_at_once(server_folder, database, keys=5, senders=100)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
def test_a_watcher_that_stands_still_or_runs_out_of_watches_misses_nothing(server_folder: Path) -> None:
    row = watch_all(server_folder, files=1000, runs=100)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
def test_no_model_is_registered_before_its_last_byte_is_there(server_folder: Path) -> None:
    row = write_slowly(server_folder, count=20, seed=1)
    assert row.is_safe, row


@pytest.mark.slow
@pytest.mark.parametrize("with_broker", [True, False])
def test_storage_that_hangs_is_told_and_left_behind_and_other_work_goes_on(server_folder: Path, with_broker: bool) -> None:
    row = hang(server_folder, 20, with_broker)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
@pytest.mark.parametrize("with_broker", [True, False])
def test_a_store_that_hangs_stops_no_worker(server_folder: Path, with_broker: bool) -> None:
    row = hang_store(server_folder, 20, with_broker)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
@pytest.mark.alone
def test_an_incident_is_told_within_half_a_minute_and_an_operator_brings_the_work_back(server_folder: Path) -> None:
    skip_without(chromium, "WITHOUT_CHROMIUM")
    skip_without_prometheus()
    row = play(server_folder, waiting=300, models=20)
    assert row.is_safe, row
    assert row.is_met, row


@pytest.mark.slow
@pytest.mark.alone
def test_all_failures_are_retried_by_one_click_each_once(server_folder: Path) -> None:
    skip_without(chromium, "WITHOUT_CHROMIUM")
    row = retry_all(server_folder, count=1500, seconds=240)
    assert row.is_safe, row
