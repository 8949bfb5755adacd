import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import core
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.plan import Placement, Schedule
from lwps.transforms.memory import SHARINGS, check_memory_plan, in_place_outputs, plan_memory, values_of

X = ShapedArray((256,), "float32")


def planned(program, processors=("cpu",), choices=0, sharing="coherent", **limits):
    placement = Placement(
        tuple(processors[(choices >> k) % len(processors)] if e.runs else None for k, e in enumerate(program.eqns))
    )
    schedule = Schedule(tuple(k for k, p in enumerate(placement.processors) if p))
    values = values_of(program, placement, schedule, sharing)
    return values, schedule, plan_memory(program, values, schedule, {}, **limits)


def chain(n):
    def f(x):
        for _ in range(n):
            x = ew.div(ew.add(x.sum(), x), 2.0)
        return x

    return lwps.optimize(lwps.trace(f, X))


def test_a_chain_reuses_its_bytes():
    program = chain(20)
    values, schedule, plan = planned(program)
    check_memory_plan(program, values, schedule, plan)
    (size,) = plan.chunks["shared"]
    assert size <= 4 * 1024
    assert plan.peak_live["shared"] <= size


def test_a_result_may_take_over_an_input_that_ends_there():
    program = lwps.trace(lambda x: ew.exp(ew.exp(ew.exp(ew.exp(x)))), X)
    _, _, plan = planned(program)
    assert sum(plan.chunks["shared"]) == X.nbytes


def test_chunks_stay_below_the_limit_and_a_value_that_fits_none_is_refused():
    def f(x):
        parts = [ew.exp(x * float(k)) for k in range(1, 9)]
        total = parts[0].sum()
        for p in parts[1:]:
            total = total + p.sum()
        return total, ew.tanh(sum(parts, start=0.0))

    program = lwps.trace(f, X)
    values, schedule, plan = planned(program, chunk_limit=2048)
    check_memory_plan(program, values, schedule, plan)
    assert len(plan.chunks["shared"]) > 1
    assert max(plan.chunks["shared"]) <= 2048
    with pytest.raises(MemoryError, match=r"must hold 1024 bytes for one value, got a limit of 512"):
        planned(program, chunk_limit=512)


@given(choices=st.integers(0, 2**60 - 1), sharing=st.sampled_from(SHARINGS))
def test_no_two_values_that_live_at_once_share_bytes(choices, sharing):
    program = chain(12)
    values, schedule, plan = planned(program, ("cpu", "gpu"), choices, sharing)
    check_memory_plan(program, values, schedule, plan)
    assert set(plan.chunks) <= {"coherent": {"shared"}, "mapped": {"cpu", "shared"}, "apart": {"cpu", "gpu"}}[sharing]


def test_overlapping_lives_are_refused_by_the_check():
    program = lwps.trace(lambda x: (ew.exp(x) * ew.exp(x * 2.0)).sum() + ew.exp(x * 3.0).sum(), X)
    values, schedule, plan = planned(program)
    broken = type(plan)(dict.fromkeys(plan.places, (0, 0)), plan.chunks, plan.peak_live)
    with pytest.raises(ValueError, match="must not share bytes while both live"):
        check_memory_plan(program, values, schedule, broken)


def test_a_donated_input_is_overwritten_only_after_its_last_reader():
    after = lwps.trace(lambda x: (ew.exp(x), ew.tanh(x)), X, donate_argnums=(0,))
    placement = Placement.everywhere(after, "cpu")
    schedule = Schedule((0, 1))
    values = values_of(after, placement, schedule, "coherent")
    assert core.donation_pairs(after) == {0: 0}
    assert in_place_outputs(after, values, schedule) == {}
    assert in_place_outputs(after, values_of(after, placement, Schedule((1, 0)), "coherent"), Schedule((1, 0))) == {
        0: 0
    }


def test_a_primitive_without_leave_does_not_work_in_place():
    x = ShapedArray((8, 8), "float32")
    program = lwps.trace(lambda x: x @ x, x, donate_argnums=(0,))
    values = values_of(program, Placement.everywhere(program, "cpu"), Schedule((0,)), "coherent")
    assert in_place_outputs(program, values, Schedule((0,))) == {}
    out = lwps.jit(lambda x: x @ x, donate_argnums=(0,), placement="cpu")(np.eye(8, dtype=np.float32) * 2)
    np.testing.assert_array_equal(np.asarray(out), np.eye(8) * 4)
