"""`python -m tests.fuzz.one TARGET [options of libFuzzer] CORPUS`: one fuzzer in this process, until its time is over."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["detectors", "worker"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]].feed)
    atheris.Fuzz()
