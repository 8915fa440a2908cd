"""What a pickle would import and call, told by walking over its opcodes. Nothing is imported, called or built.

In goes a window on a file, out comes a `Pickle`: the names that it imports, whether it calls anything, and how the walk ended.
`pickletools` reads whole arguments into memory, knows no limit, and stops at the first byte that it does not understand, where
an unpickler has long run what came before. Here the stack is kept only as far as names need it (text, names, marks, anything
else), long arguments are stepped over, and what came before a broken place counts.

Protocols 0 and 1 have no magic number. A file is taken for a pickle when its opcodes, from the first byte on, never take from
an empty stack, and either end with something on it after importing a name, or call an imported name on the way. Text and
weights fail at that within a few bytes.

Laws (each has a test of the same name):
    any bytes give a walk;
    what python pickles is walked to its end;
    no read leaves the file.

Source: CPython 3.13, Lib/pickle.py and Modules/_pickle.c (opcodes, and what each takes from the stack).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from detectors.executables.names import MAX_NAME_LENGTH, Grade, grade
from detectors.wire import JUMP_WINDOW_BYTES, Window

MAX_OPCODES = 300_000
"""Opcodes walked over in one file: half a second. Models of arrays have some thousands."""

MAX_NAMES = 1_000
MAX_LINE_BYTES = 1 << 20
"""An argument that ends with its line, and is longer, is taken for no argument."""

MAX_READ_BYTES = 16 << 20
"""What one walk may read: lines, and a window behind everything long that is stepped over."""

LONG_BYTES = 4096
"""What is longer costs a window when it is stepped over."""

TEXT_BYTES = 512
"""Text that is longer is no name; it is stepped over."""

HIGHEST_PROTOCOL = 5

PROTO, STOP = 0x80, ord(".")


class End(Enum):
    """How a walk ended."""

    STOPPED = "stopped"
    """At the opcode that ends a pickle."""
    BROKEN = "broken"
    """At a byte that no unpickler gets over."""
    CUT = "cut"
    """At the end of the bytes, which no opcode before had spoken of."""
    LIMIT = "limit"
    """At `MAX_OPCODES` or another limit; what follows is not known."""


@dataclass(frozen=True, slots=True)
class Pickle:
    """What a walk has shown. *names* are (module, name) in the order of their first import.

    calls tells that an imported name is called, or an object's own code set it up. computed tells that a name is only known
    while the pickle is loaded. hints are texts with double underscores, which `getattr` reaches everything with.
    stop is the place behind the last opcode that was walked. has_magic tells that it begins with the opcode PROTO.
    """

    end: End
    stop: int
    names: tuple[tuple[str, str], ...] = ()
    calls: bool = False
    computed: bool = False
    has_magic: bool = False
    hints: bool = False
    opcodes: int = 0

    @property
    def is_pickle(self) -> bool:
        """Tell whether an unpickler would do something with these bytes that could be told here."""
        imports = bool(self.names) or self.computed
        if self.has_magic:
            return self.end in (End.STOPPED, End.LIMIT) or imports
        return imports and (self.end is End.STOPPED or self.calls)

    @property
    def may_be_pickle(self) -> bool:
        """Tell whether the walk ended at a limit before it was clear."""
        return self.end is End.LIMIT and not self.is_pickle

    @property
    def grade(self) -> Grade:
        """Return the worst that its names may do."""
        worst = max((grade(module, name) for module, name in self.names), default=Grade.PLAIN)
        if self.hints and any(name.rpartition(".")[2] in REACHING for _, name in self.names):
            return Grade.RUNS
        return max(worst, Grade.UNKNOWN) if self.computed else worst


REACHING = frozenset({"getattr", "attrgetter", "methodcaller"})
"""With these and a text such as `__globals__`, any harmless function leads to `eval`."""


def walk(window: Window, start: int = 0, most: int = MAX_OPCODES) -> Pickle:
    """Return what the pickle at *start* would import. Reads the opcodes, not what they carry, *most* of them at most."""
    return _Walk(window, start).run(most)


MARK = object()
OTHER = None
"""Anything that is neither text nor a name; texts are `str`, names are pairs."""

Value = object

FIXED = {ord("J"): 4, ord("K"): 1, ord("M"): 2, ord("G"): 8, 0x82: 1, 0x83: 2, 0x84: 4}
"""Opcodes that push one value made of so many bytes: BININT, BININT1, BININT2, BINFLOAT, EXT1, EXT2, EXT4."""

REGISTERED = frozenset({0x82, 0x83, 0x84})
"""EXT1, EXT2, EXT4: names by a number that the program which loads the pickle has registered, and nobody else knows."""

COUNTED_TEXT = {ord("T"): 4, ord("U"): 1, ord("X"): 4, 0x8C: 1, 0x8D: 8}
"""BINSTRING, SHORT_BINSTRING, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8: bytes of the length before the text."""

COUNTED_BYTES = {ord("B"): 4, ord("C"): 1, 0x8E: 8, 0x96: 8, 0x8A: 1, 0x8B: 4}
"""BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8, LONG1, LONG4."""

PUSH = frozenset(b"N]}),"[:4]) | {0x88, 0x89, 0x8F, 0x97}
"""NONE, EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE, NEWTRUE, NEWFALSE, EMPTY_SET, NEXT_BUFFER."""

TAKE = {ord("Q"): 1, 0x85: 1, 0x86: 2, 0x87: 3, ord("R"): 2, 0x81: 2, 0x92: 3}
"""Opcodes that take so many values and push one: BINPERSID, TUPLE1 to TUPLE3, REDUCE, NEWOBJ, NEWOBJ_EX."""

DROP = {ord("a"): (2, 1), ord("b"): (2, 1), ord("s"): (3, 2), 0x98: (1, 0)}
"""Opcodes that need so many values and take so many from the top: APPEND, BUILD, SETITEM, READONLY_BUFFER."""

TO_MARK = frozenset(b"dlt") | {0x91}
"""DICT, LIST, TUPLE, FROZENSET: take all up to the mark and push one."""

INTO_BELOW = frozenset(b"eu") | {0x90}
"""APPENDS, SETITEMS, ADDITEMS: take all up to the mark, for what lies below it."""

CALLS = frozenset(b"Rob") | {0x81, 0x92}
"""REDUCE, OBJ, BUILD, NEWOBJ, NEWOBJ_EX; INST calls, too."""

BINGET, LONG_BINGET, BINPUT, LONG_BINPUT = ord("h"), ord("j"), ord("q"), ord("r")


class _Broken(Exception):
    """No unpickler gets over this byte."""


class _Limit(Exception):
    """It would cost too much to go on."""


class _Cut(Exception):
    """There are no more bytes."""


@dataclass(slots=True)
class _Walk:
    window: Window
    position: int
    stack: list[Value] = field(default_factory=list)
    memo: dict[int, Value] = field(default_factory=dict)
    names: dict[tuple[str, str], None] = field(default_factory=dict)
    calls: bool = False
    computed: bool = False
    has_magic: bool = False
    hints: bool = False
    cost: int = 0

    def run(self, most: int) -> Pickle:
        begin, end, walked = self.position, End.LIMIT, 0
        try:
            for walked in range(1, most + 1):  # noqa: B007 (it is looked at behind the loop)
                opcode = self._bytes(1)[0]
                if opcode == STOP:
                    self._top(1)
                    end = End.STOPPED
                    break
                if opcode == PROTO:
                    self.has_magic |= self.position == begin + 1
                self._step(opcode)
                if len(self.names) >= MAX_NAMES:
                    break
        except _Broken:
            end = End.BROKEN
        except _Cut:
            end = End.CUT
        except _Limit:
            end = End.LIMIT
        return Pickle(end, self.position, tuple(self.names), self.calls, self.computed, self.has_magic, self.hints, walked)

    def _step(self, opcode: int) -> None:
        """Do what *opcode* does to the stack."""
        stack = self.stack
        if opcode in (BINPUT, LONG_BINPUT):
            self.memo[self._number(1 if opcode == BINPUT else 4)] = self._top(1)
        elif opcode in (BINGET, LONG_BINGET):
            stack.append(self._recalled(self._number(1 if opcode == BINGET else 4)))
        elif opcode in COUNTED_TEXT:
            stack.append(self._text(self._number(COUNTED_TEXT[opcode])))
        elif opcode in FIXED:
            self._bytes(FIXED[opcode])
            self.computed |= opcode in REGISTERED
            stack.append(OTHER)
        elif opcode in PUSH:
            stack.append(OTHER)
        elif opcode in TAKE:
            self._called(opcode, TAKE[opcode])
            self._take(TAKE[opcode])
            stack.append(OTHER)
        elif opcode in DROP:
            needed, taken = DROP[opcode]
            self._called(opcode, needed)
            self._top(needed)
            self._take(taken)
        elif opcode in TO_MARK:
            self._take_to_mark()
            stack.append(OTHER)
        elif opcode in INTO_BELOW:
            self._take_to_mark()
            self._top(1)
        elif opcode in COUNTED_BYTES:
            self._skip(self._number(COUNTED_BYTES[opcode]))
            stack.append(OTHER)
        else:
            self._rare_step(opcode)

    def _rare_step(self, opcode: int) -> None:
        stack = self.stack
        match opcode:
            case 0x28:  # MARK
                stack.append(MARK)
            case 0x94:  # MEMOIZE
                self.memo[len(self.memo)] = self._top(1)
            case 0x93:  # STACK_GLOBAL
                self._stack_global()
            case 0x63:  # GLOBAL
                stack.append(self._named(self._name_line(), self._name_line()))
            case 0x69:  # INST
                self._named(self._name_line(), self._name_line())
                self._take_to_mark()
                self.calls = True
                stack.append(OTHER)
            case 0x6F:  # OBJ
                if not self._take_to_mark():
                    raise _Broken
                self.calls |= bool(self.names) or self.computed
                stack.append(OTHER)
            case 0x53 | 0x56:  # STRING, UNICODE
                stack.append(self._text_line(is_quoted=opcode == 0x53))
            case 0x46 | 0x49 | 0x4C:  # FLOAT, INT, LONG
                self._number_line(opcode)
                stack.append(OTHER)
            case 0x50:  # PERSID
                self._line()
                stack.append(OTHER)
            case 0x67:  # GET
                stack.append(self._recalled(self._memo_line()))
            case 0x70:  # PUT
                self.memo[self._memo_line()] = self._top(1)
            case 0x30:  # POP
                if not stack:
                    raise _Broken
                stack.pop()
            case 0x31:  # POP_MARK
                self._take_to_mark()
            case 0x32:  # DUP
                stack.append(self._top(1))
            case 0x80:  # PROTO
                if self._number(1) > HIGHEST_PROTOCOL:
                    raise _Broken
            case 0x95:  # FRAME
                self._number(8)
            case _:
                raise _Broken

    def _called(self, opcode: int, needed: int) -> None:
        """Note that something imported is called, or given a state."""
        if opcode in CALLS:
            self._top(needed)
            self.calls |= bool(self.names) or self.computed

    def _named(self, module: str, name: str) -> Value:
        self.names[module, name] = None
        return (module, name)

    def _stack_global(self) -> None:
        module, name = self._top(2), self._top(1)
        self._take(2)
        if isinstance(module, str) and isinstance(name, str):
            self.stack.append(self._named(module, name))
        else:
            self.computed = True
            self.stack.append(OTHER)

    def _top(self, count: int) -> Value:
        """Return the value *count* from the top; all above it must be there, and no marks."""
        if len(self.stack) < count or any(value is MARK for value in self.stack[-count:]):
            raise _Broken
        return self.stack[-count]

    def _take(self, count: int) -> None:
        if count:
            self._top(count)
            del self.stack[-count:]

    def _take_to_mark(self) -> int:
        """Drop all up to the last mark, and it; return how many values lay above."""
        for count, value in enumerate(reversed(self.stack)):
            if value is MARK:
                del self.stack[len(self.stack) - count - 1 :]
                return count
        raise _Broken

    def _recalled(self, key: int) -> Value:
        if key not in self.memo:
            raise _Broken
        return self.memo[key]

    def _bytes(self, count: int) -> bytes:
        if self.position + count > self.window.size:
            raise _Cut
        data = self.window.bytes(self.position, self.position + count)
        self.position += count
        return data

    def _number(self, count: int) -> int:
        return int.from_bytes(self._bytes(count), "little")

    def _spend(self, count: int) -> None:
        self.cost += count
        if self.cost > MAX_READ_BYTES:
            raise _Limit

    def _skip(self, count: int) -> None:
        if count > LONG_BYTES:
            self._spend(JUMP_WINDOW_BYTES)
        if self.position + count > self.window.size:
            raise _Cut
        self.position += count

    def _text(self, count: int) -> Value:
        if count > TEXT_BYTES:
            self._skip(count)
            return OTHER
        return self._noted(self._bytes(count).decode("utf-8", "backslashreplace"))

    def _noted(self, text: str) -> str:
        self.hints |= text.startswith("__") and text.endswith("__")
        return text

    def _line(self) -> bytes:
        """Return the bytes up to the end of the line, and step behind it."""
        parts, length = [], 0
        while length < MAX_LINE_BYTES:
            if self.position >= self.window.size:
                raise _Cut
            piece = self.window.bytes(self.position, min(self.position + 256, self.window.size))
            found = piece.find(b"\n")
            parts.append(piece if found < 0 else piece[:found])
            length += len(parts[-1])
            self.position += len(piece) if found < 0 else found + 1
            self._spend(len(piece))
            if found >= 0:
                return b"".join(parts)
        raise _Broken

    def _text_line(self, is_quoted: bool) -> Value:
        line = self._line().rstrip(b"\r") if is_quoted else self._line()
        if is_quoted and (len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]):
            raise _Broken
        text = line[1:-1] if is_quoted else line
        return self._noted(text.decode("utf-8", "backslashreplace")) if len(text) <= TEXT_BYTES else OTHER

    def _name_line(self) -> str:
        """Return the name on this line, cut off where it is too long to be graded: unpicklers import it all the same."""
        line = self._line()
        try:
            name = line.decode()
        except UnicodeDecodeError as exc:
            raise _Broken from exc
        if not all(part.isidentifier() for part in name.split(".")):
            raise _Broken
        return name[: MAX_NAME_LENGTH + 1]

    def _number_line(self, opcode: int) -> None:
        line = self._line().strip()
        try:
            float(line) if opcode == 0x46 else _checked_integer(line.removesuffix(b"L"))
        except ValueError as exc:
            raise _Broken from exc

    def _memo_line(self) -> int:
        line = self._line().strip()
        if not line.isdigit() or len(line) > 18:
            raise _Broken
        return int(line)


def _checked_integer(line: bytes) -> None:
    """Raise ValueError unless *line* is an integer as Python writes one; of a long one only the signs are looked at."""
    digits = line[1:] if line[:1] in (b"-", b"+") else line
    if not digits.isdigit() and not (len(digits) < 100 and int(digits or b"x", 0) >= 0):
        raise ValueError
