"""Pickles under any name: never clean, and never unpickled."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from detectors.executables import MAX_PICKLES
from detectors.facts import Severity
from detectors.scan import Verdict, scan
from detectors.tree import MemoryTree
from tests.attacks.keras import hdf5_of
from tests.attacks.pickles import BEHIND, IDEAS, LOADED_NAMES, NAMES, array_of_numbers, attacks, names_for, of_protocol
from tests.builders import onnx

HONEST = {"whole.onnx": onnx.model()}
"""A model beside each attack: where one was overlooked, the tree would be clean."""

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("idea", IDEAS)
def test_a_pickle_under_any_name_is_never_clean(idea: str) -> None:
    data = IDEAS[idea]()
    found = {name: scan(MemoryTree({**HONEST, name: data})).verdict for name in names_for(idea)}
    assert not [name for name, verdict in found.items() if verdict not in (Verdict.FINDINGS, Verdict.INCONCLUSIVE)]


@pytest.mark.parametrize("idea", BEHIND)
def test_a_pickle_behind_something_else_is_never_clean_under_a_name_that_is_loaded(idea: str) -> None:
    """Beside an honest model, in a folder that is one, and as a whole run that calls itself a model."""
    data = BEHIND[idea]()
    beside = {**HONEST, "hf/config.json": b'{"model_type": "x", "architectures": ["X"]}'}
    found = {name: scan(MemoryTree({**beside, name: data})).verdict for name in LOADED_NAMES}
    assert not [name for name, verdict in found.items() if verdict not in (Verdict.FINDINGS, Verdict.INCONCLUSIVE)]
    custom = scan(MemoryTree({"gradient-model-metadata.json": b"{}", "model.pkl": data}))
    assert custom.verdict is not Verdict.CLEAN


def test_what_is_no_pickle_is_not_asked_about() -> None:
    """Weights that another model names, other formats, plain data, and arrays that follow one another."""
    whole = {
        "m.onnx": onnx.model(onnx.small_graph(initializers=[onnx.external_tensor(name="w", location="m.bin", length="24")])),
        "m.bin": bytes(24),
        "spm.model": b"\n\x0e\n\x05<unk>",
        "data.h5": hdf5_of({"a": b"b"}),
        "plain.pkl": b"(dp0\nS'a'\nI1\ns.",
        "two.npy": array_of_numbers() * 2,
        "two.npy.gz": gzip.compress(array_of_numbers() * 2),
        "none.npz": b"PK\x05\x06" + bytes(18),
        "table.sav": b"$FL2@(#) SPSS",
    }
    found = scan(MemoryTree({**HONEST, **whole}))
    assert found.coverage.inconclusive == ()
    assert found.verdict is Verdict.CLEAN


def test_the_ideas_and_the_names_are_many() -> None:
    assert sum(1 for _ in attacks()) > 1_300


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", range(6))
def test_what_runs_a_program_is_critical_under_any_name(name: str, number: int) -> None:
    (finding,) = scan(MemoryTree({name: of_protocol(number)})).findings
    assert (finding.rule, finding.severity, finding.path) == ("pickle-runs-code", Severity.CRITICAL, name)
    assert "posix.system" in finding.message


def test_more_pickles_in_a_file_than_are_looked_at_are_never_clean() -> None:
    """Who loads one after the other comes to the last."""
    found = scan(MemoryTree({"m.pkl": b"\x80\x02}." * MAX_PICKLES + of_protocol(2)}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "MAX_PICKLES" in found.coverage.inconclusive[0].reason


WATCHED = """
import sys
sys.path.insert(0, ".")
from detectors.safety import tf_effects
from detectors.scan import scan
from detectors.tree import MemoryTree
from tests.attacks import keras, pickles

ATTACKS = [*pickles.attacks(), *keras.attacks()]
tf_effects.listed()  # a list of our own, which is read when it is first asked for
for _, files in ATTACKS[:: 97]:
    scan(MemoryTree(files))  # what is imported late is imported now
tf_effects.listed()  # and what is read once
seen = []
QUIET = {"object.__getattr__", "object.__setattr__", "object.__delattr__", "sys._getframe", "builtins.id", "time.sleep"}
sys.addaudithook(lambda event, arguments: None if event in QUIET else seen.append((event, str(arguments)[:100])))
for _, files in ATTACKS:
    scan(MemoryTree(files))
count, told = len(ATTACKS), seen[:]
import pickle
pickle.loads(b"ccollections\\nOrderedDict\\n.")
print(count, told, [event for event, _ in seen[len(told):] if event == "pickle.find_class"])
"""


def test_nothing_that_was_found_is_loaded() -> None:
    """No audit event at all: nothing is unpickled, imported, compiled, run or opened. The hook does hear a real unpickling."""
    done = subprocess.run([sys.executable, "-c", WATCHED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    count, _, rest = done.stdout.strip().partition(" ")
    assert done.returncode == 0, done.stderr
    assert int(count) > 1_300
    assert rest == "[] ['pickle.find_class']"
