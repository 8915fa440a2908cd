"""Releases as people install them: the wheel of a state of the sources, in a virtual environment of its own.

The libraries are those of the environment that runs this: they are looked up there, and not installed again. A state is a
commit, or the working tree, and may be given one more migration than it has, as the next release would bring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "detectors", "worker")
"""What a wheel is made of; the same as what the Dockerfile copies, but for its constraints."""

HISTORY = "MODELPORT_HISTORY"
"""Names the git directory where the tests run in a copy without one, as in CI."""

REVISIONS = Path("worker/registry/migrations/versions")


class NoHistory(AssertionError):
    """The commit to upgrade from cannot be had; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Release:
    """An installed release: what it is called, and its `modelport`."""

    name: str
    program: Path


def previous() -> str:
    """Return the commit before the last one that changed the product.

    Raises:
        NoHistory: it is not there.
    """
    return _parent(_commits("pyproject.toml", "detectors", "worker")[0])


def before_newest_migration() -> str:
    """Return the commit before the one that brought the newest migration.

    Raises:
        NoHistory: it is not there.
    """
    return _parent(_commits(str(REVISIONS / _newest_migration(ROOT)))[-1])


def _newest_migration(sources: Path) -> str:
    """Return the name of the file of the last revision."""
    return max(path.name for path in (sources / REVISIONS).glob("[!_]*_*.py"))


def _commits(*paths: str) -> list[str]:
    """Return the commits that changed one of *paths*, newest first; at least one."""
    found = git("rev-list", "HEAD", "--", *paths).decode().split()
    if not found:
        raise NoHistory(f"no commit that is here changed {', '.join(paths)}")
    return found


def _parent(commit: str) -> str:
    """Return the commit before *commit*."""
    parents = git("rev-list", "--max-count=1", "--parents", commit).decode().split()[1:]
    if not parents:
        raise NoHistory(f"the commit before {commit} is not here; a shallow clone gets it by `git fetch --unshallow`")
    return parents[0]


def git(*words: str) -> bytes:
    """Return what git says of the project's history.

    Raises:
        NoHistory: there is no history, or not what is asked for.
    """
    folder = os.environ.get(HISTORY) or ROOT / ".git"
    if not Path(folder).exists():
        raise NoHistory(f"{folder} is not there; {HISTORY} names the git directory of a copy that has none")
    done = subprocess.run(["git", f"--git-dir={folder}", *words], cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        raise NoHistory(f"git {' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def of_commit(commit: str, folder: Path) -> Release:
    """Install *commit* below the new *folder*."""
    sources = folder / "sources"
    packed = git("archive", "--format=tar", commit, "--", *SOURCES)
    sources.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--directory", sources], input=packed, check=True)
    return _installed(commit[:7], folder)


def of_working_tree(folder: Path, with_next_migration: bool = False) -> Release:
    """Install what lies here below the new *folder*, *with_next_migration* if so wanted."""
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources / name)
    if with_next_migration:
        _add_migration(sources)
    return _installed("the next" if with_next_migration else "this", folder)


NEXT = '''"""What the release after this one might add: a column with a default, a table, and an index."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ingestions", sa.Column("of_tomorrow", sa.Integer, nullable=False, server_default="7"))
    op.create_table("of_tomorrow", sa.Column("id", sa.String, primary_key=True))
    op.create_index("ix_ingestions_of_tomorrow", "ingestions", ["of_tomorrow"])
'''


def _add_migration(sources: Path) -> None:
    """Give *sources* one more migration than they have."""
    newest = _newest_migration(sources).partition("_")[0]
    revision = f"{newest[:-4]}{int(newest[-4:]) + 1:04}"
    (sources / REVISIONS / f"{revision}_of_tomorrow.py").write_text(NEXT.format(revision=revision, newest=newest))
    module = sources / "worker" / "registry" / "migrate.py"
    text = module.read_text(encoding="utf-8")
    changed = text.replace(f'"{newest}"', f'"{newest}", "{revision}"', 1)
    assert changed != text, f"{module} does not name the revision {newest}"
    module.write_text(changed, encoding="utf-8")


def _installed(name: str, folder: Path) -> Release:
    """Make the wheel of the sources below *folder*, and install it there without its libraries."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    call = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(folder / "sources")]
    subprocess.run(call, check=True, cwd=folder)
    (wheel,) = wheels.glob("modelport-*.whl")
    home = folder / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    program = home / "bin" / "python"
    subprocess.run([*pip, "--python", str(program), "install", "--no-deps", "--no-index", str(wheel)], check=True, cwd=folder)
    (packages,) = home.glob("lib/python*/site-packages")
    # Only the libraries: a .pth below a folder that a .pth names is not followed, and so the sources here are not found.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Release(name, home / "bin" / "modelport")
