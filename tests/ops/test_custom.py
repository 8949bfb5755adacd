"""Functions with a vjp rule of the user's own: what they take and give, and what is refused (see also test_vjp)."""

import numpy as np
import pytest

import lwps
from lwps import testing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops.custom import custom_vjp_call_p

X = ShapedArray((4,), "float32")


@lwps.custom_vjp
def rotated(point, angle):
    """A pytree in, a pytree out."""
    return {"x": point["y"] * angle, "y": point["x"] * angle}


rotated.defvjp(
    lambda point, angle: (rotated(point, angle), angle),
    # ten times too much, so that it cannot be taken for the function's own gradient
    lambda angle, ct: ({"x": ct["y"] * angle * 10.0, "y": ct["x"] * angle * 10.0}, None),
)


def loss(point, angle):
    turned = rotated(point, angle)
    return (turned["x"] * 2.0).sum()  # no cotangent reaches turned["y"]


@pytest.mark.parametrize("processor", testing.PROCESSORS[:2])
def test_pytrees_go_through_and_the_rule_is_the_users(processor):
    point = {"x": np.arange(4, dtype=np.float32), "y": np.ones(4, np.float32)}
    step = lwps.jit(
        lwps.value_and_grad(loss), placement=processor, machine=lwps.default_machine(testing.PROCESSORS[:2])
    )
    value, grads = step(point, np.float32(3))
    assert float(value) == 24
    np.testing.assert_array_equal(grads["x"], np.zeros(4))
    np.testing.assert_array_equal(grads["y"], np.full(4, 60))


def test_outside_a_trace_the_function_runs_at_once():
    turned = rotated({"x": np.ones(2, np.float32), "y": np.zeros(2, np.float32)}, 2.0)
    np.testing.assert_array_equal(turned["y"], [2, 2])


def test_the_call_is_gone_from_the_optimized_program():
    traced = lwps.trace(lambda x: rotated({"x": x, "y": x}, 2.0)["x"], X)
    assert custom_vjp_call_p in [eqn.primitive for eqn in traced.eqns]
    assert custom_vjp_call_p not in [eqn.primitive for eqn in lwps.optimize(traced).eqns]


def test_a_call_costs_what_its_body_costs():
    (eqn,) = lwps.trace(lambda x: custom(lambda x: ew.exp(ew.exp(x)))(x), X).eqns
    assert eqn.primitive.cost(*eqn.in_avals, **eqn.params).flops == 8


def custom(fn, fwd=None, bwd=None):
    f = lwps.custom_vjp(fn)
    f.defvjp(fwd or (lambda x: (f(x), ())), bwd or (lambda res, ct: (ct,)))
    return f


def test_differentiating_by_what_comes_from_the_closure_is_refused():
    with pytest.raises(TypeError, match=r"custom_vjp: .* must get what it is differentiated by as arguments.*closure"):
        lwps.trace(lwps.grad(lambda y: custom(lambda x: x * y)(np.float32(2)).sum()), ShapedArray((), "float32"))


def test_cotangents_of_another_pytree_are_refused():
    f = custom(lambda x: x * 1.0, bwd=lambda res, ct: ((ct, ct),))
    with pytest.raises(TypeError, match=r"custom_vjp: bwd of .* must return cotangents shaped as its arguments, got 2"):
        lwps.trace(lwps.grad(lambda x: f(x).sum()), X)
