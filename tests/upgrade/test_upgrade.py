"""A rolling upgrade under load loses nothing, and reads are never down."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.upgrade import release
from tests.upgrade.release import NoHistory, of_commit, of_working_tree
from tests.upgrade.rolling import Upgrade, upgrade


def check(done: Upgrade) -> None:
    seen, audit = done.seen, done.audit
    assert audit.is_clean, done
    assert audit.registered == len(seen.journal) == seen.sent, done
    assert done.contradictions == []
    assert seen.down == [], "each read is answered by one of those that are there"
    assert set(seen.statuses) <= {202, 503}, done
    assert min(sum(seen.reads.values()), done.by_old_after, done.by_new) >= 20, done
    assert done.stubborn == []


@pytest.mark.slow
@pytest.mark.parametrize("commit", [release.previous, release.before_newest_migration], ids=lambda one: one.__name__)
def test_an_upgrade_from_an_earlier_commit_loses_nothing(server_folder: Path, commit: Callable[[], str]) -> None:
    try:
        old = of_commit(commit(), server_folder / "old")
    except NoHistory as exc:
        if "WITHOUT_HISTORY" in os.environ:  # CI said so, and told it
            pytest.skip(str(exc))
        raise
    check(upgrade(server_folder, old, of_working_tree(server_folder / "new")))


@pytest.mark.slow
def test_an_upgrade_of_this_release_to_one_with_a_migration_more_loses_nothing(server_folder: Path) -> None:
    """Whatever this release starts anew works on the tables of the next one, so it can also be gone back to."""
    old = of_working_tree(server_folder / "old")
    done = upgrade(server_folder, old, of_working_tree(server_folder / "new", with_next_migration=True))
    check(done)
    assert done.applied.startswith("applied ")
    assert done.checked_after == 0
    assert done.torn == []


def test_a_history_that_is_not_here_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(release.HISTORY, str(tmp_path / "none"))
    with pytest.raises(NoHistory, match="none is not there; MODELPORT_HISTORY names the git directory"):
        release.previous()
