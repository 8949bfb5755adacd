import numpy as np
import pytest

import lwps
from lwps import core
from lwps.core import Cost, Primitive, ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.transforms.vjp import vjp

X = ShapedArray((4,), "float32")


def numeric(f, x, eps=1e-6):
    """Central differences in float64, one element at a time."""
    x = x.astype(np.float64)
    steps = np.eye(x.size).reshape(x.size, *x.shape) * eps
    return np.array([(f(x + s) - f(x - s)) / (2 * eps) for s in steps]).reshape(x.shape)


def test_cotangents_add_up_where_a_value_is_used_twice():
    x = np.array([0.3, -1.2, 2.0, 0.1])
    f = lambda x: (ew.exp(x) * ew.tanh(x) + x * x).sum()
    np.testing.assert_allclose(lwps.grad(f)(x), numeric(f, x), rtol=1e-6)


def test_gradients_that_nobody_needs_are_not_computed():
    def loss(w, x):
        return matmul(x, w).sum()

    program = lwps.trace(lwps.grad(loss), ShapedArray((3, 2), "float32"), ShapedArray((5, 3), "float32"))
    backward = [e.primitive.name for e in lwps.optimize(program).eqns if e.phase == "backward"]
    assert backward.count("matmul") == 1


def test_backward_eqns_keep_their_forward_eqns_layer():
    def f(x):
        with lwps.layer("body"):
            return ew.tanh(x).sum()

    program = lwps.trace(lwps.grad(f), X)
    assert {(e.layer, e.phase) for e in program.eqns} >= {("body", "forward"), ("body", "backward")}


def test_the_gradient_by_a_value_that_is_also_in_the_closure_is_that_of_the_argument():
    def f(x):
        return lwps.grad(lambda y: (y * x).sum())(x)  # d/dy, x held: x and not 2 x

    x = np.arange(4.0)
    np.testing.assert_allclose(lwps.jit(f, placement="cpu")(x.astype(np.float32)), x)
    np.testing.assert_allclose(f(x), x)


def test_second_derivatives():
    f = lambda x: ew.tanh(x).sum()
    g = lambda x: lwps.grad(f)(x).sum()
    x = np.array([0.3, -0.7, 1.1, 0.0])
    t = np.tanh(x)
    np.testing.assert_allclose(lwps.grad(g)(x), -2 * t * (1 - t**2), rtol=1e-6, atol=1e-12)


def test_value_and_grad_with_aux_and_pytrees():
    def f(p, scale):
        loss = (p["w"] * scale + p["b"]).sum()
        return loss, {"twice": loss * 2}

    p = {"w": np.ones(3, np.float32), "b": np.zeros(3, np.float32)}
    (loss, aux), grads = lwps.value_and_grad(f, has_aux=True)(p, np.float32(3))
    assert (loss, aux["twice"]) == (9, 18)
    np.testing.assert_array_equal(grads["w"], [3, 3, 3])
    np.testing.assert_array_equal(grads["b"], [1, 1, 1])


def test_argnums_may_name_several():
    gx, gy = lwps.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(np.array([2.0]), np.array([5.0]))
    assert (gx, gy) == (5, 2)


def test_an_unused_argument_has_a_zero_gradient():
    np.testing.assert_array_equal(lwps.grad(lambda x, y: (y * y).sum())(np.ones(3), np.ones(3)), np.zeros(3))


def test_vjp_gives_the_result_and_its_pull_back_at_once_and_traced():
    x, ct = np.array([1.0, 2.0], np.float32), np.array([10.0, 1.0], np.float32)

    def f(x, ct):
        y, pull_back = lwps.vjp(lambda x: ew.square(x), x)
        return y, pull_back(ct)[0]

    for run in (f, lwps.jit(f, placement="cpu")):
        y, dx = run(x, ct)
        np.testing.assert_allclose(y, [1, 4])
        np.testing.assert_allclose(dx, [20, 4])
    forward = [e for e in lwps.jit(f).lower(x, ct).eqns if e.phase == "forward"]
    assert len(forward) == 1, "the forward eqns must not run twice"


def test_integers_have_no_gradient_and_asking_for_one_is_refused():
    with pytest.raises(TypeError, match=r"grad: what is differentiated by must be floats, got int32\[3\]"):
        lwps.grad(lambda x: x.sum())(np.arange(3))


def test_a_loss_that_is_not_a_number_is_refused():
    with pytest.raises(TypeError, match=r"must return a 0-d float, got float32\[3\]; use .mean\(\)"):
        lwps.grad(lambda x: x * 2)(np.ones(3, np.float32))


def test_all_missing_rules_are_listed_at_once():
    no_rule = [
        Primitive(
            name,
            aval=lambda x: (x,),
            vjp=None,
            cost=lambda x: Cost(0, 0),
            numpy=lambda out, x: np.copyto(out, x),
            opencl=(),
            alias=None,
            split=None,
        )
        for name in ("first", "second")
    ]
    f = lambda x: (no_rule[0].bind(x)[0] * no_rule[1].bind(x)[0]).sum()
    with pytest.raises(lwps.MissingVjpError, match=r"(?s)first\(float32\[4\]\).*second\(float32\[4\]\).*custom_vjp"):
        lwps.trace(lwps.grad(f), X)


def test_a_rule_that_gives_a_cotangent_of_another_shape_is_named():
    bad = Primitive(
        "bad",
        aval=lambda x: (x,),
        vjp=lambda cts, ins, outs, needed: (cts[0].sum(),),
        cost=lambda x: Cost(0, 0),
        numpy=lambda out, x: np.copyto(out, x),
        opencl=(),
        alias=None,
        split=None,
    )
    with pytest.raises(TypeError, match=r"vjp of bad: .* aval float32\[4\], got float32\[\]"):
        lwps.trace(lwps.grad(lambda x: bad.bind(x)[0].sum()), X)


def test_vjp_of_a_program_is_a_program():
    program = vjp(lwps.trace(lambda x: ew.exp(x), X))
    core.check_program(program)
    assert len(program.inputs) == len(program.outputs) == 2


@lwps.custom_vjp
def clipped(x, limit):
    return x * 1.0


clipped.defvjp(
    lambda x, limit: (x * 1.0, limit),
    lambda limit, ct: (ew.minimum(ew.maximum(ct, -limit), limit), None),
)


def test_custom_vjp_replaces_the_rule_and_costs_nothing_forward():
    g = lwps.grad(lambda x: (clipped(x, np.float32(0.5)) * 3).sum())
    x = np.ones(4, np.float32)
    np.testing.assert_array_equal(g(x), [0.5] * 4)
    np.testing.assert_array_equal(lwps.jit(g, placement="cpu")(x), [0.5] * 4)


def test_custom_vjp_without_a_rule_is_refused():
    f = lwps.custom_vjp(lambda x: x)
    with pytest.raises(TypeError, match=r"custom_vjp: .* must have a rule before it is traced.*defvjp"):
        lwps.trace(lambda x: f(x), X)


def test_custom_vjp_with_the_wrong_number_of_cotangents_is_refused():
    f = lwps.custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, ()), lambda res, ct: (ct,))
    with pytest.raises(TypeError, match=r"must return a tuple of 2 cotangents"):
        lwps.trace(lwps.grad(lambda x: f(x, x).sum()), X)
