"""What each operator of TensorFlow does to the world outside its graph.

In goes the list `tf_effects.txt` that `scripts/make_tf_effects.py` writes with the real TensorFlow; out comes a record per
operator. An operator outside the list comes from a custom library, which may do anything.

A line of the list is the name of an operator, its effect, `calls:` and the attributes that name functions where it calls some,
and where it stands what it works on: `filename=0` is an input and its place, `@vocab_file` an attribute, `*` the names in a
queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

LIST = Path(__file__).with_name("tf_effects.txt")
"""A plain path: what `importlib.resources` imports to find one file takes as long as the scan of a small model."""


class Effect(StrEnum):
    """What an operator does beyond giving tensors."""

    PURE = "pure"
    """Nothing."""
    MEMORY = "memory"
    """It keeps state that ends with the process: variables, tables, queues, random numbers."""
    READ = "read"
    """It reads files."""
    WRITE = "write"
    """It writes, moves or deletes files, or names those that are written."""
    NETWORK = "network"
    """It connects to other processes, or lets them connect."""
    PYTHON = "python"
    """It calls a function of the Python process that it runs in."""
    PROCESS = "process"
    """It ends or reconfigures the process that it runs in."""
    NATIVE = "native"
    """It calls machine code by name."""
    COMPILED = "compiled"
    """It runs a program that is compiled first, which is not looked into but for the functions that it names."""
    GRAPH = "graph"
    """It runs a graph that it is given as a value."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: *inputs* are the places of what it works on among its inputs, *attributes* the names of such attributes.

    calls are the attributes that name the functions it runs; of_queue tells that it works on what stands in a queue.
    """

    effect: Effect
    calls: frozenset[bytes] = frozenset()
    inputs: tuple[int, ...] = ()
    attributes: tuple[bytes, ...] = ()
    of_queue: bool = False

    @property
    def works_on(self) -> bool:
        """Whether it says what it works on."""
        return bool(self.inputs or self.attributes or self.of_queue)


SAVERS = frozenset(
    b"Save SaveSlices SaveV2 Restore RestoreSlice RestoreV2 MergeV2Checkpoints ShardedFilename ShardedFilespec".split()
)
"""What a Saver is made of: nearly every SavedModel has them."""

ENQUEUES = frozenset(b"QueueEnqueue QueueEnqueueV2 QueueEnqueueMany QueueEnqueueManyV2".split())
"""What fills the queues that readers take their names from; the first input is the queue."""


@cache
def listed() -> Mapping[bytes, str]:
    """Return what the list says of each operator, by its name."""
    lines = LIST.read_text("utf-8").splitlines()
    parts = (line.partition(" ") for line in lines if not line.startswith("#"))
    return MappingProxyType({name.encode(): words for name, _, words in parts})


@lru_cache(maxsize=4096)
def operator(name: bytes) -> Operator | None:
    """Return what the operator *name* does, None where TensorFlow has none of this name."""
    words = listed().get(name)
    return _parsed(words) if words is not None else None


@lru_cache(maxsize=256)
def _parsed(words: str) -> Operator:
    effect, *rest = words.split()
    return Operator(
        Effect(effect),
        calls=frozenset(name for word in rest if word.startswith("calls:") for name in word[6:].encode().split(b",")),
        inputs=tuple(int(word.partition("=")[2]) for word in rest if "=" in word),
        attributes=tuple(word.removeprefix("@").encode() for word in rest if word.startswith("@")),
        of_queue="*" in rest,
    )


@lru_cache(maxsize=4096)
def is_worth_a_look(name: bytes) -> bool:
    """Tell whether a node of the operator *name* matters: it does something, calls functions, fills a queue, or is unknown."""
    found = operator(name)
    return found is None or bool(found.calls) or found.effect not in (Effect.PURE, Effect.MEMORY) or name in ENQUEUES
