import numpy as np
import pytest

import lwps
from lwps import core, tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops import shape

X = ShapedArray((2, 3), "float32")


def test_a_program_prints_one_eqn_a_line_with_avals_layer_and_phase():
    def f(x):
        with lwps.layer("block"), lwps.layer("0"):
            return ew.tanh(x)

    text = str(lwps.trace(f, X))
    assert text.splitlines() == [
        "in  a:float32[2,3]",
        "    b:float32[2,3] = tanh a  # block/0/forward",
        "out b",
    ]


def test_names_of_eqns_count_within_layer_and_phase():
    program = lwps.trace(lambda x: ew.tanh(ew.tanh(x)), X)
    assert program.names == ("forward/tanh#0", "forward/tanh#1")


def test_equal_programs_have_equal_fingerprints_and_others_do_not():
    one, two = (lwps.trace(lambda x: ew.tanh(x) * 2.0, X) for _ in range(2))
    other = lwps.trace(lambda x: ew.tanh(x) * 2.5, X)
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_arrays_from_outside_become_constants_once():
    table = np.arange(3, dtype=np.float32)
    program = lwps.trace(lambda x: ew.add(ew.add(x, table), table), X)
    assert len(program.consts) == 1
    np.testing.assert_array_equal(core.evaluate_program(program, [np.zeros((2, 3), np.float32)])[0], [[0, 2, 4]] * 2)


def test_an_if_on_a_tracer_is_refused_at_the_users_line():
    with pytest.raises(TypeError, match=r"truth value .* float32\[2,3\].* use lwps.numpy.where.*test_tracing.py:\d+"):
        lwps.trace(lambda x: x if x else -x, X)


@pytest.mark.parametrize("read", [float, int, np.asarray, lambda x: x.item(), lambda x: x.tolist()])
def test_host_reads_while_tracing_are_refused_at_the_users_line(read):
    with pytest.raises(TypeError, match=r"is being traced.*test_tracing.py:\d+"):
        lwps.trace(lambda x: read(x), ShapedArray((), "float32"))


def test_a_leaked_tracer_is_named_where_it_is_used():
    kept = []
    lwps.trace(lambda x: kept.append(x) or x, X)
    with pytest.raises(TypeError, match=r"leaked tracer.*test_tracing.py"):
        lwps.trace(lambda x: ew.add(x, kept[0]), X)
    with pytest.raises(TypeError, match="leaked tracer"):
        ew.add(kept[0], 1.0)


def test_a_numpy_array_on_the_left_of_an_operator_is_traced():
    program = lwps.trace(lambda x: np.ones((2, 3), np.float32) + x, X)
    assert [e.primitive.name for e in program.eqns] == ["add"]


def test_ops_outside_a_trace_run_at_once():
    assert isinstance(ew.add(np.ones(2, np.float32), 1.0), np.ndarray)


def test_donated_positions_are_those_of_the_leaves():
    program = lwps.trace(lambda p, x: ({"w": p["w"] + x, "b": p["b"]}, x), {"w": X, "b": X}, X, donate_argnums=(0,))
    assert program.donated == {0, 1}
    assert core.donation_pairs(program) == {0: 0, 1: 1}
    with pytest.raises(ValueError, match=r"donate_argnums: .*\(0 to 0\), got 3"):
        lwps.trace(lambda x: x, X, donate_argnums=(3,))


def test_64_bit_inputs_become_32_bit_and_what_does_not_fit_is_refused():
    assert lwps.trace(lambda x: x, np.arange(3)).inputs[0].aval == ShapedArray((3,), "int32")
    with pytest.raises(TypeError, match=r"must fit int32, got int64 values from 0 to 1099511627776"):
        lwps.trace(lambda x: x, np.array([0, 1 << 40]))


def test_check_program_refuses_a_value_read_before_it_is_written():
    program = lwps.trace(lambda x: ew.tanh(ew.exp(x)), X)
    core.check_program(program)
    swapped = core.Program(program.inputs, program.eqns[::-1], program.outputs)
    with pytest.raises(ValueError, match=r"forward/tanh#0 must read values written before"):
        core.check_program(swapped)


def test_check_program_refuses_results_that_the_rule_does_not_give():
    program = lwps.trace(lambda x: ew.tanh(x), X)
    (eqn,) = program.eqns
    wrong = core.Var(ShapedArray((3, 3), "float32"))
    bad = core.Eqn(eqn.primitive, eqn.ins, (wrong,), {})
    with pytest.raises(ValueError, match=r"must have results .*float32\[2,3\].*got .*float32\[3,3\]"):
        core.check_program(core.Program(program.inputs, (bad,), (wrong,)))


def test_views_share_the_root_of_what_they_view():
    program = lwps.trace(lambda x: ew.exp(shape.reshape(shape.reshape(x, (6,)), (3, 2))), X)
    roots = core.storage_roots(program)
    assert roots[program.eqns[1].outs[0]] is program.inputs[0]
    assert not program.eqns[0].runs
    assert program.eqns[2].runs


def test_a_nested_trace_captures_the_values_around_it():
    def outer(x):
        program, captured = tracing.record(lambda y: [ew.add(y, x)], [X])
        assert len(captured) == 1
        return tracing.current_trace().inline(program, [ew.exp(x), *captured])[0]

    x = np.ones((2, 3), np.float32)
    program = lwps.trace(outer, X)
    core.check_program(program)
    np.testing.assert_allclose(core.evaluate_program(program, [x])[0], np.exp(x) + x, rtol=1e-6)


def test_float64_arrays_from_outside_do_not_widen_a_float32_program():
    program = lwps.trace(lambda x: x + np.ones(3) * np.float64(2), X)
    assert program.outputs[0].aval.dtype == np.float32
    wide = lwps.trace(lambda x: x + np.ones(3), ShapedArray((3,), "float64"))
    assert wide.outputs[0].aval.dtype == np.float64


def test_an_array_that_changes_while_it_is_traced_counts_with_what_it_held_when_it_was_read():
    def f(x):
        a = np.zeros(3, np.float32)
        for _ in range(3):
            a += 1
            x = x + a
        return x

    x = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(core.evaluate_program(lwps.trace(f, X), [x])[0], f(x))
