"""Compiled steps on every processor and in both memory modes."""

import functools
import gc
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import core, testing, tracing
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.plan import Wait
from lwps.runtime import interpreter
from tests.steps import mlp_args, mlp_step

MODES = testing.MEMORY_MODES


@functools.cache
def machine(mode):
    return lwps.default_machine(testing.PROCESSORS[:2], mode)


@functools.cache
def mlp_program():
    args = mlp_args()
    traced = tracing.trace(mlp_step, *args, donate_argnums=(0, 1))
    return lwps.optimize(traced), [np.array(x) for x in tracing.flatten(args)[0]]


@functools.cache
def reference():
    program, arrays = mlp_program()
    return core.evaluate_program(program, arrays)


def compiled(mode, choose):
    program, _ = mlp_program()
    placement = lwps.Placement(tuple(choose(k) if e.runs else None for k, e in enumerate(program.eqns)))
    return lwps.compile(program, placement, machine(mode))


@pytest.mark.parametrize("mode", MODES)
@given(choices=st.integers(0, 2**40 - 1))
def test_where_an_op_runs_never_changes_what_it_computes(mode, choices):
    step = compiled(mode, lambda k: machine(mode).names[choices >> k & 1 if len(machine(mode).names) > 1 else 0])
    _, arrays = mlp_program()
    first = [np.array(x) for x in step.call_flat(arrays)]
    for got, want in zip(first, reference(), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    for again, once in zip(step.call_flat(arrays), first, strict=True):
        np.testing.assert_array_equal(np.asarray(again), once)


@pytest.fixture(params=[(m, p) for m in MODES for p in testing.PROCESSORS[:2]], ids="-".join)
def where(request):
    mode, processor = request.param
    return machine(mode), processor


def jit(where, fn, **kwargs):
    return lwps.jit(fn, machine=where[0], placement=where[1], **kwargs)


def test_a_step_run_many_times_learns(where):
    step = jit(where, mlp_step, donate_argnums=(0, 1))
    params, momenta, x, y, lr = mlp_args()
    losses = []
    for _ in range(60):
        params, momenta, loss = step(params, momenta, x, y, lr)
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]


def test_a_hundred_losses_kept_are_a_hundred_values(where):
    step = jit(where, lambda x: (x + 1, (x * 2).sum()), donate_argnums=(0,))
    x, kept = np.zeros(3, np.float32), []
    for _ in range(100):
        x, loss = step(x)
        kept.append(loss)
    assert [float(v) for v in kept] == [6.0 * k for k in range(100)]


def test_a_view_outlives_later_steps_and_its_array(where):
    step = jit(where, lambda x: x * 2)
    y = step(np.ones(5, np.float32))
    view = np.asarray(y)[1:3]
    del y
    gc.collect()
    for k in range(20):
        step(np.full(5, k, np.float32))
    np.testing.assert_array_equal(view, [2, 2])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_donating_under_a_live_view_is_refused_and_loses_nothing(where):
    step = jit(where, lambda x: x + 1, donate_argnums=(0,))
    x = step(np.zeros(4, np.float32))
    view = np.asarray(x)[:2]
    with pytest.raises(lwps.DonationError, match=r"no live view, got input 0, float32\[4\].*np.array"):
        step(x)
    np.testing.assert_array_equal(np.asarray(x), np.ones(4))
    del view
    np.testing.assert_array_equal(np.asarray(step(x)), np.full(4, 2))


def test_donating_one_array_twice_is_refused(where):
    step = jit(where, lambda x, y: (x + y, y), donate_argnums=(0,))
    x = jit(where, lambda x: x + 1)(np.zeros(4, np.float32))
    with pytest.raises(lwps.DonationError, match=r"given once, got the same one as inputs \[0, 1\]"):
        step(x, x)


def test_a_donated_array_cannot_be_used_again(where):
    step = jit(where, lambda x: x + 1, donate_argnums=(0,))
    x = step(np.zeros(4, np.float32))
    step(x)
    for use in (step, np.asarray, lambda a: a.item()):
        with pytest.raises(lwps.DonationError, match=r"donated array must not be used again, got float32\[4\]"):
            use(x)
    assert repr(x) == "Array(float32[4], donated)"


def test_donated_parameters_are_updated_in_place(where):
    step = jit(where, lambda x: x * 2, donate_argnums=(0,))
    x = step(np.ones(1000, np.float32))
    slot = x.slot()
    assert step(x).slot() is slot


def test_outputs_that_are_inputs_or_the_same_value_twice_have_bytes_of_their_own(where):
    def f(x, y):
        z = x + y
        return x, z, z, z.reshape((2, 2)), np.ones(2, np.float32)

    outs = jit(where, f)(np.arange(4, dtype=np.float32), np.ones(4, np.float32))
    np.testing.assert_array_equal(np.asarray(outs[0]), [0, 1, 2, 3])
    for z in outs[1:4]:
        np.testing.assert_array_equal(np.asarray(z).ravel(), [1, 2, 3, 4])
    assert len({id(o.slot()) for o in outs}) == 5


def test_donated_inputs_that_swap_places(where):
    step = jit(where, lambda x, y: (y, x), donate_argnums=(0, 1))
    x, y = np.zeros(3, np.float32), np.ones(3, np.float32)
    for _ in range(3):
        x, y = step(x, y)
    np.testing.assert_array_equal(np.asarray(x), np.ones(3))
    np.testing.assert_array_equal(np.asarray(y), np.zeros(3))


def test_a_donated_input_that_is_read_after_its_successor_is_written(where):
    def f(x):
        new = x * 2
        return new, (matmul(new.reshape((1, 4)), x.reshape((4, 1)))).sum()

    new, product = jit(where, f, donate_argnums=(0,))(np.arange(4, dtype=np.float32))
    np.testing.assert_array_equal(np.asarray(new), [0, 2, 4, 6])
    assert float(product) == 28


def test_python_numbers_are_arguments_and_do_not_retrace(where):
    calls = []
    step = jit(where, lambda x, lr: calls.append(1) or x * lr)
    for lr in (0.5, 0.25, 2):
        step(np.ones(2, np.float32), float(lr))
    assert len(calls) == 1
    assert step(np.ones(2, np.float32), 3).dtype == np.float32  # an integer: traced anew, does not promote
    assert len(calls) == 2


def test_static_arguments_are_part_of_the_signature():
    step = lwps.jit(lambda x, n: sum([x] * n), placement="cpu", static_argnames=("n",))
    assert float(step(np.float32(2), n=3)) == 6
    assert float(step(np.float32(2), n=4)) == 8
    with pytest.raises(TypeError, match=r"jit: keyword arguments must be named in static_argnames, got m"):
        step(np.float32(2), m=4)


def test_arrays_of_one_step_are_taken_by_another_of_the_same_machine_without_a_copy(where):
    x = jit(where, lambda x: x + 1)(np.zeros(8, np.float32))
    other = jit(where, lambda x: x * 5)
    np.testing.assert_array_equal(np.asarray(other(x)), np.full(8, 5))
    assert other.compiled.executable.staged == 0


def test_an_array_of_another_machine_is_copied_over():
    a, b = machine(MODES[0]), machine("copy")
    x = lwps.jit(lambda x: x + 1, machine=a, placement="cpu")(np.zeros(3, np.float32))
    y = lwps.jit(lambda x: x * 4, machine=b, placement=b.names[-1])(x)
    np.testing.assert_array_equal(np.asarray(y), np.full(3, 4))


def test_zero_size_values(where):
    y, total = jit(where, lambda x: (x * 2 + 1, x.sum()))(np.zeros((0, 3), np.float32))
    assert np.asarray(y).shape == (0, 3)
    assert float(total) == 0


def test_a_jitted_function_inside_another_is_inlined(where):
    inner = jit(where, lambda x: ew.tanh(x))
    outer = jit(where, lambda x: inner(x) + 1)
    np.testing.assert_allclose(np.asarray(outer(np.zeros(3, np.float32))), np.ones(3))


def test_values_that_do_not_fit_32_bits_are_refused(where):
    step = jit(where, lambda x: x + 1)
    assert step(np.ones(2)).dtype == np.float32
    with pytest.raises(TypeError, match=r"must fit float32, got float64"):
        step(np.array([1e300]))


def test_errors_at_run_time_name_the_eqn_its_layer_and_the_users_line():
    def broken(out, x):
        raise FloatingPointError("no")

    p = core.Primitive(
        "broken",
        aval=lambda x: (x,),
        vjp=None,
        cost=lambda x: core.Cost(0, 0),
        numpy=broken,
        opencl=(),
        alias=None,
        split=None,
    )

    def f(x):
        with lwps.layer("here"):
            return p.bind(x)[0] + 1

    with pytest.raises(FloatingPointError) as caught:
        lwps.jit(f, placement="cpu")(np.ones(2, np.float32))
    assert "here/forward/broken#0 on cpu" in caught.value.__notes__[0]
    assert "test_steps.py" in caught.value.__notes__[0]


def test_a_compiled_step_refuses_other_shapes_and_pytrees():
    program = lwps.optimize(lwps.trace(lambda p: p["a"] + 1, {"a": lwps.ShapedArray((2,), "float32")}))
    run = lwps.compile(program, lwps.Placement.everywhere(program, "cpu"), machine(MODES[0]))
    np.testing.assert_array_equal(np.asarray(run({"a": np.zeros(2, np.float32)})), [1, 1])
    with pytest.raises(TypeError, match=r"step: input 0 must be float32\[2\], got float32\[3\]"):
        run({"a": np.zeros(3, np.float32)})
    with pytest.raises(TypeError, match="pytree it was traced for"):
        run([np.zeros(2, np.float32)])


def test_a_program_that_was_not_optimized_is_refused_where_outputs_share_bytes():
    program = lwps.trace(lambda x: (x, x), np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"call lwps\.optimize first"):
        lwps.compile(program, lwps.Placement.everywhere(program, "cpu"), machine(MODES[0]))


def test_a_placement_of_another_program_or_unknown_processor_is_refused():
    program, _ = mlp_program()
    with pytest.raises(lwps.PlanError, match="must have a processor for each"):
        lwps.compile(program, lwps.Placement(("cpu",)), machine(MODES[0]))
    with pytest.raises(lwps.PlanError, match=r"must be on one of cpu.*got 'tpu'"):
        lwps.compile(program, lwps.Placement.everywhere(program, "tpu"), machine(MODES[0]))
    with pytest.raises(lwps.PlanError, match=r"must name every eqn that runs.*unknown names \['nowhere'\]"):
        lwps.compile(program, {"nowhere": "cpu"}, machine(MODES[0]))


def test_auto_keeps_the_fastest_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path))
    step = lwps.jit(mlp_step, donate_argnums=(0, 1), machine=machine(MODES[0]))
    args = mlp_args()
    step(*args)
    receipt = step.receipt
    assert {r.placement for r in receipt.rows} >= set(machine(MODES[0]).names)
    chosen = next(r for r in receipt.rows if r.placement == receipt.chosen)
    assert chosen.measured_s <= receipt.better_single.measured_s
    assert f"chosen: {receipt.reason}" in str(receipt)
    again = lwps.jit(mlp_step, donate_argnums=(0, 1), machine=machine(MODES[0]))
    again(*args)
    assert again.receipt.from_cache
    assert again.receipt.rows == receipt.rows
    (file,) = tmp_path.glob("receipt-*.json")
    file.write_text(file.read_text()[:50])
    with pytest.warns(UserWarning, match="is damaged and will be written anew"):
        lwps.jit(mlp_step, donate_argnums=(0, 1), machine=machine(MODES[0]))(*args)


def test_an_unknown_policy_is_refused_by_name():
    with pytest.raises(lwps.PlanError, match=r"mincutt.*mincut"):
        lwps.jit(lambda x: x + 1, placement="mincutt", machine=machine(MODES[0]))(np.ones(2, np.float32))


def test_a_step_whose_first_call_failed_while_binding_binds_all_at_the_next(where, monkeypatch):
    step = jit(where, lambda x, y: (ew.tanh(x + 1), y.sum()))
    args = np.zeros(3, np.float32), np.ones(4, np.float32)

    def fails(self, at):
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(interpreter.Executable, "_bind", fails)
        with pytest.raises(MemoryError):
            step(*args)
    for _ in range(2):
        y, total = step(*args)
        np.testing.assert_allclose(np.asarray(y), np.tanh(np.ones(3)), rtol=1e-6)
        assert float(total) == 4


def test_an_error_in_the_middle_of_a_step_leaves_the_machine_and_what_was_not_donated_usable(where):
    step = jit(where, lambda x: ew.tanh(x + 1).sum() * 2)
    x = jit(where, lambda x: x * 2)(np.ones(64, np.float32))
    wanted = float(step(x))
    calls = step.compiled.executable._calls
    kept = calls[-1]

    def interrupted():
        raise KeyboardInterrupt

    calls[-1] = interrupted
    with pytest.raises(KeyboardInterrupt):
        step(x)
    calls[-1] = kept
    assert float(step(x)) == wanted
    np.testing.assert_array_equal(np.asarray(x), np.full(64, 2))


def test_a_copy_of_no_bytes_still_waits_for_what_came_before_it():
    machine_ = machine("copy")
    if len(machine_.names) < 2:
        pytest.skip("needs an OpenCL device")
    program = lwps.optimize(lwps.trace(lambda e, x: (ew.tanh(x), ew.exp(e @ e.T)), np.ones((0, 3)), np.ones(8)))
    rows = {n: "cpu" if "exp" in n else machine_.names[1] for n, e in zip(program.names, program.eqns) if e.runs}
    step = lwps.compile(program, rows, machine_)
    step(np.ones((0, 3)), np.ones(8))
    executable = step.executable
    for instruction in step.instructions:
        if isinstance(instruction, Wait):
            assert executable.events[instruction.upto] is not None


def test_steps_called_from_two_threads_share_arrays(where):
    shared = jit(where, lambda x: x * 1.5)(np.arange(1000, dtype=np.float32))
    first, second = jit(where, lambda x: (x + 1).sum()), jit(where, lambda x: x * x)
    with ThreadPoolExecutor(4) as pool:
        sums = [pool.submit(lambda: float(first(shared))) for _ in range(40)]
        squares = [pool.submit(lambda: np.array(second(shared))) for _ in range(40)]
    assert len({f.result() for f in sums}) == 1
    for f in squares:
        np.testing.assert_array_equal(f.result(), (np.arange(1000, dtype=np.float32) * np.float32(1.5)) ** 2)


def test_static_arguments_that_are_equal_but_not_the_same_are_told_apart():
    step = lwps.jit(lambda x, n: x * 2 if isinstance(n, bool) else x * 3, placement="cpu", static_argnames=("n",))
    assert float(step(np.float32(1), n=1)) == 3
    assert float(step(np.float32(1), n=True)) == 2


def test_vjp_at_once_takes_float64():
    value, pull_back = lwps.vjp(lambda x: x * 2.0, np.ones(3))
    np.testing.assert_array_equal(value, np.full(3, 2.0))
    np.testing.assert_array_equal(pull_back(np.ones(3))[0], np.full(3, 2.0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.update(placement=[]),
        lambda content: content["placement"].update(placement={}),
        lambda content: content["placement"]["placement"].update(
            dict.fromkeys(content["placement"]["placement"], "tpu")
        ),
        lambda content: content["receipt"].update(rows=[]),
        lambda content: content["receipt"].update(chosen="nowhere"),
    ],
)
def test_a_receipt_whose_file_does_not_make_sense_is_measured_again(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path))
    host = lwps.Machine.detect(["cpu"])
    lwps.jit(lambda x: x + 1, machine=host)(np.ones(2, np.float32))
    (file,) = tmp_path.glob("receipt-*.json")
    data = json.loads(file.read_text())
    damage(data["content"])
    file.write_text(json.dumps(data))
    again = lwps.jit(lambda x: x + 1, machine=host)
    np.testing.assert_array_equal(np.asarray(again(np.ones(2, np.float32))), [2, 2])
    assert not again.receipt.from_cache
