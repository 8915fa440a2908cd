"""What names are worth: lists of what is harmless, and all else is unknown."""

from __future__ import annotations

import sys
import time

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


@given(st.lists(st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True), min_size=2, max_size=4))
def test_a_name_with_dots_in_it_is_never_known(parts: list[str]) -> None:
    for module in ("sklearn.base", "xgboost.core", "torch.nn.modules.module", "joblib"):
        assert grade(module, ".".join(parts)) is not Grade.KNOWN
    assert grade("joblib", "numpy_pickle.NumpyArrayWrapper") is Grade.UNKNOWN


def test_a_name_that_is_too_long_is_unknown_at_once() -> None:
    """Twenty thousand parts took ten seconds."""
    start = time.perf_counter()
    for long in ("a" + ".a" * 1_000_000, "os" + ".os" * 1_000_000, "A" * 2_000_000):
        assert grade(long, "system") is grade("sklearn.base", long) is grade("os", long) is Grade.UNKNOWN
    assert time.perf_counter() - start < 0.1
    assert grade("sklearn." + "a" * (names.MAX_NAME_LENGTH - 8), "Thing") is Grade.KNOWN
    assert grade("sklearn." + "a" * (names.MAX_NAME_LENGTH - 7), "Thing") is Grade.UNKNOWN


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
        ("numpy", "testing._private.utils.runstring", Grade.RUNS),
        ("torch", "hub.load", Grade.RUNS),
        ("torch", "hub", Grade.RUNS),
        ("torch", "load.__call__", Grade.RUNS),
        ("builtins", "eval.__call__", Grade.RUNS),
        ("torch.nn.modules.module", "torch.package.PackageImporter", Grade.RUNS),
        ("torch.nn.modules.module", "torch.hub.load", Grade.RUNS),
        ("torch.nn.modules.module", "torch._C.PyTorchFileReader", Grade.UNKNOWN),
        ("sklearn.base", "np.DataSource", Grade.UNKNOWN),
        ("statsmodels.distributions.discrete", "DiscretizedCount", Grade.UNKNOWN),
        ("scipy.stats._distn_infrastructure", "rv_continuous_frozen", Grade.UNKNOWN),
        ("scipy.stats._continuous_distns", "norm_gen", Grade.UNKNOWN),
        ("gensim.models.wrappers.ldamallet", "LdaMallet", Grade.UNKNOWN),
        ("gensim.models.wrappers", "DtmModel", Grade.UNKNOWN),
        ("gensim.models", "LdaMallet", Grade.UNKNOWN),
        ("sklearn.datasets._kddcup99", "GzipFile", Grade.UNKNOWN),
        ("sklearn.datasets._base", "NamedTemporaryFile", Grade.UNKNOWN),
        ("sklearn.externals.joblib.memory", "Memory", Grade.UNKNOWN),
        ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", Grade.KNOWN),
        ("sklearn.datasets.base", "Bunch", Grade.KNOWN),
        ("sklearn.utils._bunch", "Bunch", Grade.KNOWN),
        ("xgboost.tracker", "Thread", Grade.UNKNOWN),
        ("lightgbm.basic", "NamedTemporaryFile", Grade.UNKNOWN),
        ("transformers.models.rag.retrieval_rag", "LegacyIndex", Grade.UNKNOWN),
        ("transformers.models.bert.modeling_bert", "BertModel", Grade.KNOWN),
        ("gensim.models.word2vec", "Word2Vec", Grade.KNOWN),
        ("numpy", "core.multiarray._reconstruct", Grade.PLAIN),
    ],
)
def test_a_name_has_its_grade(module: str, name: str, expected: Grade) -> None:
    assert grade(module, name) is expected


def test_modules_of_the_standard_library_that_run_programs_are_there() -> None:
    here = {name for name in names.RUNNING if "." not in name} & sys.stdlib_module_names
    assert {"os", "subprocess", "ctypes", "runpy", "pty", "pickle", "marshal", "socket", "importlib"} <= here
    assert len(here) > 60
