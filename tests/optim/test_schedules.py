"""Schedules against their formulas in float64, at known and at traced counts."""

import math

import numpy as np
import pytest

from lwps import optim, tracing
from lwps.core import ShapedArray, evaluate_program

COUNTS = (0, 1, 2, 5, 9, 10, 11, 29, 30, 31, 100, 2**31 - 1)


def way(n, begin, steps):
    return min(max((n - begin) / steps, 0), 1)


def half_cosine(n, steps):
    return (1 + math.cos(math.pi * way(n, 0, steps))) / 2


SCHEDULES = {
    "constant": (optim.constant_schedule(0.3), lambda n: 0.3),
    "linear": (optim.linear_schedule(0.1, 1.1, 10, 2), lambda n: 0.1 + way(n, 2, 10)),
    "cosine": (optim.cosine_decay_schedule(0.5, 30, 0.1), lambda n: 0.5 * (0.9 * half_cosine(n, 30) + 0.1)),
    "warm-up": (
        optim.warmup_cosine_decay_schedule(0.2, 1.0, 10, 30, 0.1),
        lambda n: 0.2 + 0.08 * n if n < 10 else 0.9 * half_cosine(n - 10, 20) + 0.1,
    ),
    "no warm-up": (optim.warmup_cosine_decay_schedule(0.2, 1.0, 0, 30), lambda n: half_cosine(n, 30)),
    "exponential": (optim.exponential_decay(0.5, 10, 0.8), lambda n: 0.5 * 0.8 ** (n / 10)),
    "exponential, from 5": (optim.exponential_decay(2, 7, 0.5, 5), lambda n: 2 * 0.5 ** (max(n - 5, 0) / 7)),
    "staircase": (optim.exponential_decay(0.5, 10, 0.1, staircase=True), lambda n: 0.5 * 0.1 ** (n // 10)),
    "bounded below": (optim.exponential_decay(1, 10, 0.5, end_value=0.2), lambda n: max(0.2, 0.5 ** (n / 10))),
    "bounded above": (
        optim.exponential_decay(1, 2**26, 2.0, end_value=9),
        lambda n: min(9, 2.0 ** (n / 2**26)),
    ),
    "piecewise": (
        optim.piecewise_constant_schedule(1.0, {10: 0.5, 30: 0.1}),
        lambda n: 1.0 * (0.5 if n >= 10 else 1) * (0.1 if n >= 30 else 1),
    ),
    "joined": (
        optim.join_schedules(
            [optim.linear_schedule(0, 1, 5), optim.constant_schedule(1), optim.linear_schedule(1, 0, 10)], [5, 20]
        ),
        lambda n: n / 5 if n < 5 else 1 - way(n, 20, 10),
    ),
}
of_each_schedule = pytest.mark.parametrize(("schedule", "formula"), SCHEDULES.values(), ids=SCHEDULES)


@of_each_schedule
def test_a_schedule_is_its_formula(schedule, formula):
    program = tracing.trace(schedule, ShapedArray((), "int32"))
    for n in COUNTS:
        got = [np.asarray(schedule(n)), np.asarray(schedule(np.int32(n))), *evaluate_program(program, [np.int32(n)])]
        for value in got:
            assert (value.dtype, value.shape) == (np.float32, ())
            np.testing.assert_allclose(value, formula(n), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.linear_schedule(0, 1, 0), "linear_schedule: transition_steps must be at least 1, got 0"),
        (lambda: optim.cosine_decay_schedule(1, 0), "cosine_decay_schedule: decay_steps must be at least 1, got 0"),
        (
            lambda: optim.warmup_cosine_decay_schedule(0, 1, 5, 5),
            "warmup_cosine_decay_schedule: warmup_steps must be from 0 to below the 5 decay_steps, got 5",
        ),
        (lambda: optim.exponential_decay(1, 0, 0.5), "exponential_decay: transition_steps must be at least 1, got 0"),
        (lambda: optim.exponential_decay(1, 1, 0), "exponential_decay: decay_rate must be above 0, got 0"),
        (
            lambda: optim.join_schedules([optim.constant_schedule(1)] * 3, [5, 2]),
            r"join_schedules: there must be a rising boundary .*, got \[5, 2\] for 3 schedules",
        ),
        (
            lambda: optim.join_schedules([optim.constant_schedule(1)] * 2, []),
            r"join_schedules: there must be a rising boundary .*, got \[\] for 2 schedules",
        ),
    ],
)
def test_schedules_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_known_counts_give_numbers_that_python_takes():
    assert math.isclose(float(optim.linear_schedule(0.0, 1.0, 4)(1)), 0.25)
