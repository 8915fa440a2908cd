"""How many of each thing one model may have before it is told as too large to be looked at.

Small messages make large facts: a model of 12 MB with 2.5 million inputs took 50 s, 2.6 GB and 300 MB of report. Real models
stay a hundred times below every bound here; what is beyond one is a `ModelLimit`, never cut in silence.
"""

from __future__ import annotations

from detectors.errors import ModelLimit

MAX_GRAPHS = 1_000
"""Meta graphs in one SavedModel; real ones have one to three."""

MAX_SIGNATURES = 10_000
"""Signatures of one model."""

MAX_SPECS = 50_000
"""Inputs and outputs of all signatures of one model together; the most seen in a real one is some thousands."""

MAX_RANK = 256
"""Axes of one tensor. TensorFlow's own limit is 254."""

MAX_NAMES = 20_000
"""Names of one sort that a model lists: operators, assets, collections, kinds of objects, operator sets, functions, files
of external data."""

MAX_NODES = 1_000_000
"""Nodes of one TensorFlow graph and its functions: 2 s and 100 MB for the smallest of them. Frozen graphs, each node of which
is looked at, have a lower limit of their own."""


def check_count(path: str, what: str, found: int, limit: int, name: str) -> None:
    """Raise ModelLimit, which names the limit *name*, where *found* is more than *limit*."""
    if found > limit:
        raise ModelLimit(path, None, name, f"{found} {what}, more than {limit}")
