"""What names are worth: lists of what is harmless, and all else is unknown."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.executables import names
from detectors.executables.names import Grade, grade

identifiers = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=3, max_size=12).filter(str.isidentifier)


@given(identifiers, identifiers)
def test_a_name_that_is_not_listed_is_unknown(module: str, name: str) -> None:
    assert grade(f"not_listed_{module}", name) is Grade.UNKNOWN
    assert grade("sklearn.base", f"lower_{name}") is Grade.UNKNOWN


def test_no_name_of_a_module_that_runs_programs_is_plain_or_known() -> None:
    allowed = {"io.BytesIO", "_io.BytesIO", "io.StringIO", "_io.StringIO"}
    for module in sorted(names.RUNNING):
        for name in ("system", "Thing", "BytesIO", "a.b"):
            if f"{module}.{name}" not in allowed:
                assert grade(module, name) is Grade.RUNS, (module, name)
            assert grade(f"{module}.below", name) is Grade.RUNS


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("collections", "OrderedDict", Grade.PLAIN),
        ("torch._utils", "_rebuild_tensor_v2", Grade.PLAIN),
        ("torch", "FloatStorage", Grade.PLAIN),
        ("torch", "bfloat16", Grade.PLAIN),
        ("numpy.core.multiarray", "_reconstruct", Grade.PLAIN),
        ("numpy", "float64", Grade.PLAIN),
        ("builtins", "set", Grade.PLAIN),
        ("__builtin__", "object", Grade.PLAIN),
        ("sklearn.linear_model._base", "LinearRegression", Grade.KNOWN),
        ("sklearn.tree._tree", "Tree", Grade.KNOWN),
        ("joblib.numpy_pickle", "NumpyArrayWrapper", Grade.KNOWN),
        ("builtins", "getattr", Grade.UNKNOWN),
        ("functools", "partial", Grade.UNKNOWN),
        ("__main__", "Model", Grade.UNKNOWN),
        ("torch.storage", "_load_from_bytes", Grade.UNKNOWN),
        ("cloudpickle.cloudpickle", "_make_function", Grade.CODE),
        ("types", "FunctionType", Grade.CODE),
        ("builtins", "eval", Grade.RUNS),
        ("os", "system", Grade.RUNS),
        ("os.path", "join", Grade.RUNS),
        ("collections", "abc.sys.modules", Grade.RUNS),
        ("sklearn.base", "os.system", Grade.RUNS),
        ("torch", "load", Grade.RUNS),
        ("numpy", "load", Grade.RUNS),
    ],
)
def test_a_name_has_its_grade(module: str, name: str, expected: Grade) -> None:
    assert grade(module, name) is expected


def test_modules_of_the_standard_library_that_run_programs_are_there() -> None:
    here = {name for name in names.RUNNING if "." not in name} & sys.stdlib_module_names
    assert {"os", "subprocess", "ctypes", "runpy", "pty", "pickle", "marshal", "socket", "importlib"} <= here
    assert len(here) > 60
