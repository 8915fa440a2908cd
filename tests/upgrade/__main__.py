"""`python -m tests.upgrade [--from COMMIT] [--each N]`: a rolling upgrade to what lies here, told in figures.

Without `--from`, from the previous commit, from the one before the newest migration, and from here to a release with one more.
The exit status is 1 where anything accepted was lost or done twice, or a read was not answered.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.upgrade.release import Release, before_newest_migration, of_commit, of_working_tree, previous
from tests.upgrade.rolling import Upgrade, upgrade


def main() -> int:
    """Upgrade, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade")
    parser.add_argument("--from", dest="commit", help="the commit to upgrade from")
    parser.add_argument("--each", type=int, default=200, help="how many are registered in each phase, at least")
    told = parser.parse_args()
    commits = [told.commit] if told.commit else [previous(), before_newest_migration()]
    are_whole = []
    for commit in commits:
        with tempfile.TemporaryDirectory(prefix="modelport-upgrade-") as name:
            folder = Path(name)
            are_whole.append(_told(folder, of_commit(commit, folder / "old"), of_working_tree(folder / "new"), told.each))
    if not told.commit:
        with tempfile.TemporaryDirectory(prefix="modelport-upgrade-") as name:
            folder = Path(name)
            new = of_working_tree(folder / "new", with_next_migration=True)
            are_whole.append(_told(folder, of_working_tree(folder / "old"), new, told.each))
    return 0 if all(are_whole) else 1


def _told(folder: Path, old: Release, new: Release, each: int) -> bool:
    done = upgrade(folder, old, new, each, pause_seconds=0.05)
    print(done, flush=True)
    return is_whole(done)


def is_whole(done: Upgrade) -> bool:
    """Tell whether nothing was lost, done twice or left over, and every read was answered."""
    seen = done.seen
    is_kept = done.audit.is_clean and done.audit.registered == len(seen.journal) == seen.sent and not done.contradictions
    return is_kept and not seen.down and set(seen.statuses) <= {202, 503} and not done.stubborn


if __name__ == "__main__":
    sys.exit(main())
