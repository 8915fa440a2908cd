"""Zips that say two things at once, leave their folder, or unpack to far more than they are: one maker for each idea.

`HOSTILE` holds them with what is wrong with each; uploads refuse them all (tests/worker/test_archive.py). `attacks` gives them
as models, and again with the files of a Keras model in them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from struct import pack
from typing import Any

from detectors import zips
from tests.builders.weights import keras_zip, zip_of
from tests.builders.zips import (
    FILE_MODE,
    FOLDER_MODE,
    LINK_MODE,
    deflated,
    end,
    entry,
    extra,
    folder,
    local,
    raw_deflate,
    stored,
    streamed,
    wide_end,
    zipped,
    zipped_wide,
)

DATA = b"0123456789"
LATER = stored(b"b", b"later")
WIDE_NUMBER = pack("<Q", 3)


def with_end(**numbers: int) -> bytes:
    """Return a zip of one file whose end says something else."""
    data = zipped(stored(b"a"))
    said: dict[str, Any] = {"count": 1, "length": 47, "start": 34, **numbers}
    return data[:-22] + end(**said)


def overlapping() -> bytes:
    """Fifield's bomb: the first quotes the header of the second as its data, both give the kernel's bytes."""
    kernel = deflated(b"b", bytes(1000))
    inner = local(kernel)
    quote = b"\0" + pack("<2H", len(inner) - len(kernel.data), 0xFFFF - len(inner) + len(kernel.data)) + inner
    head = local(stored(b"a", quote))[:31]
    content = inner[: -len(kernel.data)] + bytes(1000)
    outer = stored(b"a", content, method=8, data=quote)
    head = local(outer)[: -len(quote)]
    second_at = len(head) + 5
    directory = entry(outer, 0) + entry(kernel, second_at)
    return head + quote + directory + end(2, len(directory), len(head + quote))


def symmetrical_names() -> bytes:
    """One name in UTF-8, and in code page 437 other bytes for the same."""
    return zipped(stored("é".encode(), flags=1 << 11), stored(b"\x82"))


def nested_in_comment() -> bytes:
    inner = zipped(stored(b"inner"))
    outer = zipped(stored(b"outer"))
    return outer[:-2] + pack("<H", len(inner)) + inner


def two_in_one() -> bytes:
    return zipped(stored(b"a", b"one")) + zipped(stored(b"a", b"two"))


def hidden_in_data() -> bytes:
    """What follows the end of the deflated bytes is a file for who reads on the way."""
    return zipped(streamed(deflated(b"a", DATA, data=raw_deflate(DATA) + local(stored(b"hidden")))))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "found something else at its end"),
    "no zip": (lambda: b"\x08\x07" * 100, "found something else at its end"),
    "only an end": (lambda: end(0, 0, 0), "holds no file"),
    "only folders": (lambda: zipped(folder(b"a/")), "holds no file"),
    "one name twice": (lambda: zipped(stored(b"a", b"1"), stored(b"a", b"2")), "two of this name"),
    "file and folder of one name": (lambda: zipped(stored(b"a"), folder(b"a/")), "two of this name"),
    "one folder twice": (lambda: zipped(folder(b"a/"), folder(b"a/"), stored(b"b")), "two of this name"),
    "file below a file": (lambda: zipped(stored(b"a"), stored(b"a-b"), stored(b"a/b")), "files below it"),
    "folder below a file": (lambda: zipped(stored(b"a"), folder(b"a/b/")), "files below it"),
    "another name in its own header": (lambda: zipped(stored(b"a", own={"name": b"b"})), "gives another name"),
    "a longer name in its own header": (lambda: zipped(stored(b"a", own={"name": b"ab"})), "gives another name"),
    "another size in its own header": (lambda: zipped(stored(b"a", own={"size": 2})), "another size"),
    "another packed size in its own header": (lambda: zipped(stored(b"a", own={"packed": 2})), "another size"),
    "another CRC in its own header": (lambda: zipped(stored(b"a", own={"crc": 0xFFFFFFFF})), "another size"),
    "no sizes in its own header": (lambda: zipped(stored(b"a", own={"crc": 0, "packed": 0, "size": 0})), "another size"),
    "another method in its own header": (lambda: zipped(stored(b"a", own={"method": 8})), "another size"),
    "another flag in its own header": (lambda: zipped(stored(b"a", own={"flags": 1 << 11})), "another size"),
    "a descriptor in its own header only": (lambda: zipped(deflated(b"a", own={"flags": 8})), "another size"),
    "a wide size that differs in its own header": (
        lambda: zipped(stored(b"a", own={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra(1, pack("<2Q", 2, 3))})),
        "another size",
    ),
    "wide sizes that contradict the narrow ones": (
        lambda: zipped(stored(b"a", own={"extra": extra(1, pack("<2Q", 2, 3))})),
        "expected 0 wide numbers",
    ),
    "wide sizes that are missing": (
        lambda: zipped(stored(b"a", own={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF})),
        "expected 2 wide numbers",
    ),
    "one wide size in its own header": (
        lambda: zipped(stored(b"a", own={"packed": 0xFFFFFFFF, "extra": extra(1, WIDE_NUMBER)})),
        "expected both or none",
    ),
    "a wide size that nobody asked for": (lambda: zipped(stored(b"a", extra=extra(1, WIDE_NUMBER))), "expected 0 wide numbers"),
    "a wide size twice": (
        lambda: zipped(stored(b"a", own={"size": 0xFFFFFFFF, "extra": extra(1, WIDE_NUMBER) * 2})),
        "extra fields are damaged",
    ),
    "an extra field longer than the rest": (
        lambda: zipped(stored(b"a", extra=b"\1\0\x09\0" + WIDE_NUMBER)),
        "extra fields are damaged",
    ),
    "an extra field without a length": (lambda: zipped(stored(b"a", extra=b"\1\0\0")), "extra fields are damaged"),
    "a Unicode path that is another": (
        lambda: zipped(stored(b"a", extra=extra(0x7075, bytes(5) + b"b"))),
        "gives it another name",
    ),
    "a Unicode path in its own header only": (
        lambda: zipped(stored(b"a", own={"extra": extra(0x7075, bytes(5) + b"../b")})),
        "gives it another name",
    ),
    "two spellings of one name": (symmetrical_names, "expected ASCII, or UTF-8 with flag 11"),
    "UTF-8 that is not marked": (lambda: zipped(stored("é".encode())), "expected ASCII, or UTF-8 with flag 11"),
    "marked as UTF-8 and is not": (lambda: zipped(stored(b"\xff", flags=1 << 11)), "expected ASCII, or UTF-8 with flag 11"),
    "a surrogate in UTF-8": (lambda: zipped(stored(b"\xed\xb3\xbf", flags=1 << 11)), "expected ASCII, or UTF-8 with flag 11"),
    "a file that the directory does not name": (
        lambda: zipped(stored(b"a", behind=local(stored(b"hidden"))), LATER),
        "expected its header at 34, the directory of the zip names 70|expected its header at",
    ),
    "a last file that the directory does not name": (
        lambda: zipped(stored(b"a"), before_directory=local(stored(b"hidden"))),
        "expected the directory of the zip at 34",
    ),
    "bytes between": (lambda: zipped(stored(b"a"), LATER, between=b"\0"), "expected its header at 34"),
    "bytes before, offsets told": (lambda: zipped(stored(b"a", place=5)), "expected its header at 0"),
    "bytes before, offsets not told": (lambda: b"#!/bin/sh\n" + zipped(stored(b"a")), "something lies before it"),
    "bytes before, and a comment": (
        lambda: b"#!/bin/sh\n" + zipped(stored(b"a"))[:-2] + pack("<H", 5) + b"hello",
        "something lies before it|found something else",
    ),
    "bytes behind": (lambda: zipped(stored(b"a")) + b"\0", "found something else behind it"),
    "bytes behind the directory": (lambda: zipped(stored(b"a"), behind_directory=b"\0" * 4), "around its directory"),
    "two zips": (two_in_one, "something lies before it"),
    "a comment that is not there": (
        lambda: zipped(stored(b"a"))[:-2] + b"\1\0",
        "expected a comment of 1 bytes at its end, found 0",
    ),
    "a comment that is longer than told": (lambda: zipped(stored(b"a"))[:-2] + b"\1\0!!", "found something else behind it"),
    "a comment that may be a part of a zip": (lambda: zipped(stored(b"a"))[:-2] + b"\2\0PK", "found something else behind it"),
    "a zip in the comment": (nested_in_comment, "something lies before it"),
    "a comment of a file": (lambda: zipped(stored(b"a", comment=end(0, 0, 0))), "has a comment"),
    "fewer files than announced": (lambda: with_end(count=2), "directory of the zip is damaged"),
    "more files than announced": (lambda: zipped(stored(b"a"), LATER)[:-22] + end(1, 94, 70), "holds something else"),
    "no files announced": (lambda: with_end(count=0), "something else"),
    "files on another disk": (lambda: with_end(here=0), "in parts"),
    "another disk": (lambda: with_end(disk=1), "in parts"),
    "a file on another disk": (lambda: zipped(stored(b"a", disk=1)), "damaged"),
    "a directory that begins earlier": (lambda: with_end(start=33, length=48), "directory of the zip is damaged"),
    "a directory that begins later": (lambda: with_end(start=35, length=46), "directory of the zip is damaged"),
    "a directory beyond the file": (lambda: with_end(start=0xFFFFFFFF), "something lies before it"),
    "a directory in another place": (lambda: with_end(start=0), "something lies before it"),
    "one entry named twice": (
        lambda: local(stored(b"a")) + entry(stored(b"a"), 0) + entry(stored(b"b"), 0) + end(2, 94, 34),
        "expected its header at 34",
    ),
    "entries that overlap": (overlapping, "expected its header at"),
    "a file that ends in the directory": (
        lambda: zipped(deflated(b"a"))[:-22].replace(pack("<2I", 5, 3), pack("<2I", 50, 3)) + end(1, 47, 36),
        "in the directory of the zip",
    ),
    "a header that is none": (lambda: b"QK" + zipped(stored(b"a"))[2:], "found something else"),
    "a wide end in another place": (lambda: zipped_wide(stored(b"a"), place=0), "contradict each other"),
    "a wide end on another disk": (lambda: zipped_wide(stored(b"a"), disks=2), "contradict each other"),
    "a wide end that says another count": (lambda: zipped_wide(stored(b"a"), narrow=(2, 47, 34)), "contradict each other"),
    "a wide end that says another place": (lambda: zipped_wide(stored(b"a"), narrow=(1, 47, 0)), "contradict each other"),
    "a wide end that is not there": (
        lambda: zipped(stored(b"a"))[:-22] + wide_end(1, 47, 34, 81)[56:] + end(1, 47, 34),
        "no wide end",
    ),
    "a count beyond the old form, without the new": (
        lambda: zipped(*(stored(b"%d" % number, b"") for number in range(10)))[:-22] + end(0xFFFF, 470, 310),
        "damaged",
    ),
    "a version that nobody has": (lambda: zipped(stored(b"a", version=63)), "wants a newer reader"),
    "a version that nobody has, in its own header": (lambda: zipped(stored(b"a", own={"version": 63})), "flag or version"),
    "encrypted": (lambda: zipped(stored(b"a", flags=1)), "encrypted"),
    "patched": (lambda: zipped(stored(b"a", flags=1 << 5)), "encrypted or patched"),
    "strongly encrypted": (lambda: zipped(stored(b"a", flags=1 << 6)), "encrypted"),
    "masked": (lambda: zipped(stored(b"a", flags=1 << 13)), "encrypted"),
    "bzip2": (lambda: zipped(stored(b"a", method=12)), "method 12"),
    "AES": (lambda: zipped(stored(b"a", method=99)), "method 99"),
    "a link": (lambda: zipped(stored(b"a", b"/etc/passwd", mode=LINK_MODE)), "links and devices"),
    "a device": (lambda: zipped(stored(b"a", b"", mode=0o020666)), "links and devices"),
    "a FIFO": (lambda: zipped(stored(b"a", b"", mode=0o010666)), "links and devices"),
    "a folder named as a file": (lambda: zipped(stored(b"a", b"", mode=FOLDER_MODE), LATER), "links and devices"),
    "a folder for DOS named as a file": (lambda: zipped(stored(b"a", b"", mode=0, dos=0x10), LATER), "links and devices"),
    "a file named as a folder": (lambda: zipped(folder(b"a/", mode=FILE_MODE), LATER), "links and devices"),
    "absolute": (lambda: zipped(stored(b"/etc/passwd")), "path inside of the folder"),
    "above": (lambda: zipped(stored(b"a/../../b")), "path inside of the folder"),
    "here": (lambda: zipped(stored(b"./a")), "path inside of the folder"),
    "a folder above": (lambda: zipped(folder(b"../"), LATER), "path inside of the folder"),
    "backslash": (lambda: zipped(stored(b"..\\a")), "backslashes"),
    "drive": (lambda: zipped(stored(b"C:/a")), "path inside of the folder"),
    "a drive without a slash": (lambda: zipped(stored(b"C:a")), "path inside of the folder"),
    "an empty part": (lambda: zipped(stored(b"a//b")), "path inside of the folder"),
    "no name": (lambda: zipped(stored(b"")), "path inside of the folder"),
    "the name of the root": (lambda: zipped(folder(b"/"), LATER), "path inside of the folder"),
    "a zero byte": (lambda: zipped(stored(b"a\0.txt")), "zero bytes"),
    "a long name": (lambda: zipped(stored(b"n" * 256)), "255 in a name"),
    "a long path": (lambda: zipped(stored(b"n/" * 2048 + b"n")), "4096 bytes"),
    "a name as long as can be": (lambda: zipped(stored(b"n" * 65_535)), "255 in a name"),
    "a folder with bytes": (lambda: zipped(folder(b"a/", data=b"abc", size=3), LATER), "a folder holds no bytes"),
    "a folder that hides bytes": (
        lambda: zipped(folder(b"a/", data=b"\x03\0" + local(stored(b"b")), method=8), LATER),
        "a folder holds no bytes",
    ),
    "stored shorter than announced": (lambda: zipped(stored(b"a", DATA, size=11)), "lie in 10"),
    "stored longer than announced": (lambda: zipped(stored(b"a", DATA, size=9)), "lie in 10"),
    "another CRC": (lambda: zipped(stored(b"a", DATA, crc=1)), "expected bytes with CRC 00000001"),
    "another CRC of no bytes": (lambda: zipped(stored(b"a", b"", crc=1)), "expected bytes with CRC 00000001"),
    "another CRC, deflated": (lambda: zipped(deflated(b"a", DATA, crc=1)), "expected bytes with CRC 00000001"),
    "deflated bytes that end early": (
        lambda: zipped(deflated(b"a", DATA, data=raw_deflate(DATA)[:-2])),
        "expected 10 bytes|do not",
    ),
    "deflated bytes without an end": (
        lambda: zipped(deflated(b"a", DATA, data=b"\0" + pack("<2H", 10, 0xFFFF - 10) + DATA)),
        "end after 10 bytes, they do not",
    ),
    "no deflated bytes": (lambda: zipped(deflated(b"a", b"", data=b"")), "end after 0 bytes, they do not"),
    "damaged deflated bytes": (lambda: zipped(deflated(b"a", DATA, data=b"\xff" * 20)), "its data are damaged"),
    "deflated, less than announced": (lambda: zipped(deflated(b"a", DATA, size=11)), "expected 11 bytes, found 10"),
    "deflated, more than announced": (
        lambda: zipped(deflated(b"a", DATA, size=9, crc=zlib.crc32(DATA[:9]))),
        "end after 9 bytes, they do not",
    ),
    "bytes behind the deflated ones": (
        lambda: zipped(deflated(b"a", DATA, data=raw_deflate(DATA) + b"\0")),
        "end after 10 bytes, they do not",
    ),
    "many bytes behind the deflated ones": (
        lambda: zipped(deflated(b"a", DATA, data=raw_deflate(DATA) + bytes(100_000))),
        "end after 10 bytes, they do not",
    ),
    "a file behind the deflated bytes": (hidden_in_data, "end after 10 bytes, they do not"),
    "a descriptor that is missing": (lambda: zipped(streamed(deflated(b"a"), behind=b"")), "behind its data contradicts"),
    "a descriptor without its mark": (
        lambda: zipped(streamed(deflated(b"a"), behind=pack("<3I", zlib.crc32(b"abc"), 5, 3))),
        "behind its data contradicts",
    ),
    "a descriptor with another size": (
        lambda: zipped(streamed(deflated(b"a"), behind=pack("<4s3I", b"PK\x07\x08", zlib.crc32(b"abc"), 5, 4))),
        "behind its data contradicts",
    ),
    "a wide descriptor that nobody announced": (
        lambda: zipped(streamed(deflated(b"a"), behind=pack("<4sI2Q", b"PK\x07\x08", zlib.crc32(b"abc"), 5, 3))),
        "expected the directory of the zip at|behind its data contradicts",
    ),
    "a size before that differs from the descriptor": (
        lambda: zipped(streamed(deflated(b"a"), own={"size": 4})),
        "another size",
    ),
    "a header in what is stored before its size is told": (
        lambda: zipped(streamed(stored(b"a", b"x" + local(streamed(stored(b"hidden")))))),
        "something like a header lies in it",
    ),
    "a bomb": (lambda: zipped(deflated(b"a", bytes(zips.FREE_BYTES + 1))), "at most 200 times"),
    "a bomb of many": (lambda: zipped(*(deflated(b"%d" % n, bytes(1 << 20)) for n in range(65))), "at most 200 times"),
    "a size that is a lie": (lambda: zipped(deflated(b"a", size=0xFFFFFFFE)), "at most 200 times"),
}

KERAS = (stored(b"metadata.json", b'{"keras_version": "3.15.1"}'), stored(b"config.json", b'{"class_name": "Sequential"}'))
OTHER = b'{"class_name": "Lambda", "config": {}}'

AS_MODELS: dict[str, Callable[[], bytes]] = {
    "another configuration of the same name": lambda: zipped(*KERAS, stored(b"config.json", OTHER)),
    "another configuration on the way": lambda: zipped(
        KERAS[0], stored(b"config.json", KERAS[1].data, behind=local(stored(b"config.json", OTHER)))
    ),
    "another name on the way": lambda: zipped(*KERAS, stored(b"a.json", OTHER, own={"name": b"config.json"})),
    "a script before it": lambda: b"PK\3\4#!/bin/sh\n" + keras_zip(),
    "a model in the comment": lambda: keras_zip()[:-2] + pack("<H", len(keras_zip())) + keras_zip(),
    "weights that leave the folder": lambda: zipped(*KERAS, stored(b"../../model.weights.h5")),
    "weights that are a link": lambda: zipped(*KERAS, stored(b"model.weights.h5", b"/etc/passwd", mode=LINK_MODE)),
    "weights behind a Unicode name": lambda: zipped(*KERAS, stored(b"a.h5", extra=extra(0x7075, bytes(5) + b"../b.h5"))),
    "encrypted weights": lambda: zipped(*KERAS, stored(b"model.weights.h5", flags=1)),
    "weights packed by another method": lambda: zipped(*KERAS, stored(b"model.weights.h5", method=12)),
    "a bomb of weights": lambda: zipped(*KERAS, deflated(b"model.weights.h5", bytes(zips.FREE_BYTES + 1))),
    "three zips in one another": lambda: zip_of({"a.zip": zip_of({"b.zip": zip_of({"c.zip": zip_of({"d.pkl": b"N."})})})}),
}


def as_models() -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield every idea under the names of models, each as what it is and the files of it."""
    ideas = {name: build for name, (build, _) in HOSTILE.items()} | AS_MODELS
    for idea, build in ideas.items():
        data = build()
        for suffix in (".keras", ".npz", ".pt"):
            yield f"{idea}, as {suffix}", {f"model{suffix}": data}


attacks = as_models
"""Each attack is a name and the files of a run."""
