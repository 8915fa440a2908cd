"""Weights that are spread over several files, told by their names: `model-00001-of-00003.safetensors` is the first of three.

In goes a path, out comes the set that it is part of, and which files of that set are not there. The name alone is believed:
where an index names the files, that is asked instead (`detectors.weights.huggingface`).

Writers count from 1; where there is a file with the number 0, they count from 0.
Source: huggingface_hub, `split_torch_state_dict_into_shards`; llama.cpp, `llama_split_path`: "%s-%05d-of-%05d.gguf".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from detectors.facts import Problem

MAX_NAMED = 50
"""Missing files of one set that are named one by one."""

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShardSet:
    """All files of one name but for their number: *stem* with its folder, how many there are, and their suffix."""

    stem: str
    count: int
    suffix: str

    def path(self, number: int) -> str:
        """Return the path of file *number*."""
        return f"{self.stem}-{number:05d}-of-{self.count:05d}{self.suffix}"


def shard_set_of(path: str) -> ShardSet | None:
    """Return the set that the file *path* is part of by its name, None for none."""
    found = SHARD.fullmatch(path) if "-of-" in path else None
    if found is None or not int(found["number"]) <= int(found["count"]) > 0:
        return None
    return ShardSet(found["stem"], int(found["count"]), found["suffix"])


def missing_shards(paths: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each file that is not among *paths*, though by its name one of them belongs to it.

    Of each set `MAX_NAMED` are named, and the others counted.
    """
    there = set(paths)
    sets = Counter(shards for path in sorted(there) if (shards := shard_set_of(path)))
    for shards, present in sets.items():
        yield from _missing(shards, present, there)


def _missing(shards: ShardSet, present: int, there: set[str]) -> Iterator[Problem]:
    first = 0 if shards.path(0) in there else 1
    absent = (path for number in range(first, first + shards.count) if (path := shards.path(number)) not in there)
    named = list(islice(absent, MAX_NAMED))
    yield from (Problem(path, f"is one of {shards.count} files by their names, it is not there") for path in named)
    if named and (more := shards.count - present - len(named)) > 0:
        yield Problem(named[-1], f"and {more} more files after this one")
