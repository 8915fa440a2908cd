"""Which variables of a TF1 graph an optimizer added to it.

A TF1 checkpoint does not say what a variable is for; only names tell. A slot is named after the variable it belongs to and has
its shape (tensorflow/python/training/slot_creator.py): `dense/kernel/Adam` beside `dense/kernel`. Both are asked for here, so
that a layer that somebody called Adam stays a layer. In go names with shapes, out come the names that optimizers made. TF2's
object checkpoints name their variables by their place among the objects, so nothing here applies to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

SLOT = re.compile(
    r"(?P<variable>.+)/(?:Adam|AdaMax|Nadam|Momentum|RMSProp|Adagrad|Adadelta|Ftrl|GradientDescent|ExponentialMovingAverage"
    r"|adam_m|adam_v|lamb_m|lamb_v)(?:_\d+)?",
    re.DOTALL,
)
"""Slots of `tf.compat.v1.train`, of moving averages, and of the optimizers of BERT and LAMB."""

COUNTERS = frozenset({"global_step", "beta1_power", "beta2_power"})
"""Scalars that training counts with; they may stand inside a scope."""

MAX_SCOPES = 32
"""Scopes that are tried before the name of the variable: `OptimizeLoss/dense/kernel/Adam` belongs to `dense/kernel`."""


def optimizer_variables(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Return the names in *shapes* that are slots of another one there, or counters of the training."""
    return frozenset(name for name, shape in shapes.items() if _is_counter(name, shape) or _is_slot(name, shape, shapes))


def _is_counter(name: str, shape: tuple[int, ...]) -> bool:
    return shape == () and name.rpartition("/")[2] in COUNTERS


def _is_slot(name: str, shape: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    found = SLOT.fullmatch(name)
    return found is not None and any(shapes.get(variable) == shape for variable in _without_scopes(found["variable"]))


def _without_scopes(name: str) -> Iterator[str]:
    """Yield *name*, then the same without its first scope, without its first two, and so on."""
    for _ in range(MAX_SCOPES):
        yield name
        _, slash, name = name.partition("/")
        if not slash:
            return
