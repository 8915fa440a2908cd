"""Which variables of a TF1 graph an optimizer added."""

from __future__ import annotations

import pytest

from detectors.slots import optimizer_variables

W = {"dense/kernel": (2, 3)}


@pytest.mark.parametrize(
    "name",
    [
        "dense/kernel/Adam",
        "dense/kernel/Adam_1",
        "dense/kernel/Momentum",
        "dense/kernel/RMSProp_1",
        "dense/kernel/ExponentialMovingAverage",
        "dense/kernel/adam_v",
        "OptimizeLoss/dense/kernel/Adam",
        "a/b/c/dense/kernel/Ftrl_1",
    ],
)
def test_a_slot_beside_its_variable_is_the_optimizers(name):
    assert optimizer_variables({**W, name: (2, 3)}) == {name}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dense/kernel/Adam", (3, 2)),
        ("dense2/kernel/Adam", (2, 3)),
        ("Adam", (2, 3)),
        ("dense/kernel/adam", (2, 3)),
        ("dense/kernel/Adam_x", (2, 3)),
        ("dense/kernel/moving_mean", (2, 3)),
        ("xdense/kernel/Adam", (2, 3)),
    ],
)
def test_a_name_alone_makes_no_slot(name, shape):
    assert optimizer_variables({**W, name: shape}) == frozenset()


@pytest.mark.parametrize("name", ["global_step", "beta1_power", "OptimizeLoss/beta2_power"])
def test_a_scalar_counter_is_the_trainings(name):
    assert optimizer_variables({**W, name: ()}) == {name}


def test_a_counter_with_axes_is_a_variable():
    assert optimizer_variables({**W, "global_step": (1,)}) == frozenset()


def test_a_name_of_very_many_scopes_costs_little():
    assert optimizer_variables({"a/" * 100_000 + "w/Adam": (1,)}) == frozenset()
