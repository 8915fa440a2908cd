"""What it costs to take a model in, beside what people do by hand: `sha256sum` and then `cp`.

Both are timed in one run on the same warm file, in turns, so that a busy machine is unfair to neither. Ours does more: it
checks a crc32c over every byte, and it ends only when the disk has everything.

    python -m benchmarks.bench_store [GIGABYTES] [FOLDER]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import google_crc32c

from detectors.facts import FileSums, TensorRange
from detectors.local_tree import LocalTree
from detectors.range_checks import RangeChecks
from detectors.tree import FileEntry
from worker.manifest import read_once
from worker.records import StoreKey
from worker.storage.local import LocalStore

REPEATS = 3
TENSOR_BYTES = 16 << 20
FLOAT32 = 1
SMALL_FILES = 1_000
SMALL_BYTES = 5_000
KEY = StoreKey("bench", "bench", None, "mobench")

MAX_RATIO = 1.3
"""The most that a store pass over one large file may take, as a multiple of `sha256sum` plus `cp`."""


def measure(folder: Path, gigabytes: float) -> dict[str, Any]:
    """Return medians in seconds, and ratios to `sha256sum` + `cp`, for one file of *gigabytes* and for many small files.

    Writes twice that size below *folder*, and removes it.
    """
    with _scratch(folder) as scratch:
        large, sums = _large_model(scratch / "large", int(gigabytes * 1e9))
        result = {"gigabytes": gigabytes, "large": _compare(scratch, large, lambda entry: RangeChecks(sums))}
    with _scratch(folder) as scratch:
        small = _small_model(scratch / "small")
        result |= {"files": SMALL_FILES, "small": _compare(scratch, small, lambda entry: None)}
    return result


def _compare(scratch: Path, model: Path, checks: Callable[[FileEntry], RangeChecks | None]) -> dict[str, float]:
    copy, store = scratch / "copy", LocalStore(scratch / "store")
    files = sorted(map(str, model.iterdir()))
    steps: dict[str, Callable[[], object]] = {
        "sha256sum": lambda: _run("sha256sum", *files),
        "cp": lambda: _run("cp", "-r", str(model), str(copy)),
        "sync": lambda: _run("sync", *(str(copy / Path(name).name) for name in files)),
        "store": lambda: _ingest(model, store, checks),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(REPEATS):
        for name, step in steps.items():
            times[name].append(_seconds(step))
        shutil.rmtree(copy)
        store.remove(store.url(KEY))
        os.sync()
    by_hand = [sum(pair) for pair in zip(times["sha256sum"], times["cp"], strict=True)]
    synced = [sum(pair) for pair in zip(by_hand, times["sync"], strict=True)]
    return {
        **{f"{name}_seconds": round(median(seconds), 3) for name, seconds in times.items()},
        "ratio": round(median(times["store"]) / median(by_hand), 3),
        "ratio_to_synced": round(median(times["store"]) / median(synced), 3),
    }


def _ingest(model: Path, store: LocalStore, checks: Callable[[FileEntry], RangeChecks | None]) -> None:
    with LocalTree(model) as tree:
        entries = list(tree.files())
        with store.writing(KEY) as open_sink:
            manifest, problems = read_once(tree, entries, open_sink, checks, lambda count: None)
    assert len(manifest.files) == len(entries)
    assert problems == ()


def _large_model(folder: Path, size: int) -> tuple[Path, FileSums]:
    """Write one file of random tensors; return its folder, and what its index would promise."""
    folder.mkdir()
    name, tensors = "variables.data-00000-of-00001", []
    with open(folder / name, "wb") as out:
        for start in range(0, size, TENSOR_BYTES):
            tensor = os.urandom(min(TENSOR_BYTES, size - start))
            out.write(tensor)
            crc = _masked(google_crc32c.value(tensor))
            tensors.append(TensorRange(start, start + len(tensor), crc, f"tensor {start}", FLOAT32, len(tensor) // 4))
        out.flush()
        os.fsync(out.fileno())
    return folder, FileSums(name, tuple(tensors))


def _small_model(folder: Path) -> Path:
    folder.mkdir()
    for number in range(SMALL_FILES):
        (folder / f"asset-{number:04}").write_bytes(os.urandom(SMALL_BYTES))
    os.sync()
    return folder


def _masked(crc: int) -> int:
    """Return *crc* as checkpoints store it (LevelDB, util/crc32c.h)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix="bench-store-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def main(arguments: list[str]) -> int:
    """Print the measurement as JSON; 1 where the large file took more than `MAX_RATIO`."""
    gigabytes = float(arguments[0]) if arguments else 2.0
    folder = Path(arguments[1] if len(arguments) > 1 else tempfile.gettempdir())
    result = measure(folder, gigabytes)
    print(json.dumps(result, indent=2))
    return int(result["large"]["ratio"] > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
