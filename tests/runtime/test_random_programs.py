"""Random programs through the whole machine: where and in which bytes they run never changes what they compute."""

import functools
import random

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import core, testing, tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.ops.reduce import sum as total
from lwps.ops.shape import reshape, transpose
from lwps.testing.programs import placements

MODES = testing.MEMORY_MODES
# of 24 elements in three shapes, so that views have views; of none; and one number, which broadcasts to all
SHAPES = ((24,), (4, 6), (6, 4), (0, 3), (0,), ())
ONE = (ew.tanh, ew.relu, ew.neg, ew.copy, ew.stop_gradient)
TWO = (ew.add, ew.sub, ew.maximum)
CAPTURED = np.linspace(-1, 1, 24, dtype=np.float32)
STEPS = 3


@functools.cache
def machine(mode):
    return lwps.default_machine(testing.PROCESSORS[:2], mode)


@st.composite
def step_programs(draw):
    """Unoptimized programs: views of all kinds of values, outputs given twice or never computed, any inputs donated."""
    with tracing.new_trace() as trace:
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))
        inputs = [trace.new_input(ShapedArray(s, "float32")) for s in shapes]
        values = list(inputs)
        for _ in range(draw(st.integers(0, 8))):
            with tracing.scope(phase=draw(st.sampled_from(("forward", "update")))):
                values.append(one_more(draw, values))
        outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=5))
        program = trace.program(outputs)
    donated = draw(st.sets(st.integers(0, len(inputs) - 1)))
    return attrs.evolve(program, donated=frozenset(donated))


def one_more(draw, values):
    """A value of the same size as one before it, or its sum; small, however many steps feed it back."""
    x = draw(st.sampled_from(values))
    alike = [v for v in values if v.aval == x.aval]
    kind = draw(st.sampled_from(("one", "two", "two", "view", "view", "sum", "scaled", "moved", "constant")))
    if kind == "two":
        return draw(st.sampled_from(TWO))(x, draw(st.sampled_from(alike)))
    if kind == "view":
        return reshape(x, draw(st.sampled_from([s for s in SHAPES if np.prod(s) == x.size])))
    if kind == "sum":
        return ew.tanh(total(x))
    if kind == "scaled":
        numbers = [v for v in values if v.shape == ()]
        return ew.mul(x, ew.tanh(draw(st.sampled_from(numbers)))) if numbers else ew.mul(x, 0.5)
    if kind == "moved" and x.ndim == 2:
        other = draw(st.sampled_from([v for v in values if v.shape == x.shape[::-1]] or [transpose(x)]))
        return ew.tanh(total(matmul(x, other))) if draw(st.booleans()) else other
    if kind == "constant":
        return ew.add(x, reshape(CAPTURED, x.shape)) if x.size == 24 else ew.full(x.shape, -0.5)
    return draw(st.sampled_from(ONE))(x)


@st.composite
def placed(draw):
    """A program, the same optimized, and where its eqns run."""
    program = draw(step_programs())
    optimized = lwps.optimize(program)
    return program, optimized, draw(placements(optimized, testing.PROCESSORS[:2]))


def fresh(program, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(v.aval.shape).astype(np.float32) for v in program.inputs]


@given(program=step_programs())
def test_optimizing_changes_no_bit(program):
    core.check_program(program)
    optimized = lwps.optimize(program)
    core.check_program(optimized)
    args = fresh(program, 0)
    for got, want in zip(core.evaluate_program(optimized, args), core.evaluate_program(program, args), strict=True):
        assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("mode", MODES)
@given(drawn=placed(), seed=st.integers(0, 99))
def test_steps_that_feed_each_other_compute_what_numpy_computes(mode, drawn, seed):
    """Donated and other outputs fed back in any place that they fit; all others held, with their values, to the end."""
    program, optimized, placement = drawn
    step = lwps.compile(optimized, placement, machine(mode))
    args, held, feed = fresh(program, 0), [], random.Random(seed)
    for k in range(STEPS):
        arrays = [np.array(x) for x in args]
        outs = step.call_flat(args)
        wanted = core.evaluate_program(program, arrays)
        for i in program.donated:
            assert not isinstance(args[i], lwps.Array) or args[i].donated
        for x, array in zip(args, arrays, strict=True):
            if not (isinstance(x, lwps.Array) and x.donated):
                held.append((x, array))
        for got, want in zip(outs, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-5)
        rest = list(zip(outs, [np.array(x) for x in outs], strict=True))
        feed.shuffle(rest)
        args = fresh(program, k + 1)
        for i in range(len(args)):
            fits = [row for row in rest if row[0].aval == program.inputs[i].aval]
            if fits and feed.random() < 0.8:
                args[i] = fits[0][0]
                # what is not given away may also be held, or be given in two places
                if i in program.donated or feed.random() < 0.7:
                    rest = [row for row in rest if row is not fits[0]]
        lost = {id(args[i]) for i in program.donated}
        for i in set(range(len(args))) - program.donated:
            if id(args[i]) in lost:
                args[i] = np.array(args[i])
        held += [(np.asarray(x), want) for x, want in rest if id(x) not in lost]
    for x, want in held:
        np.testing.assert_array_equal(np.asarray(x), want)
