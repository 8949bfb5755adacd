"""A primitive of your own with a kernel of its own: SwiGLU, the gate in the blocks of many language models.

swiglu(x[..., 2 H]) is silu(a) b, where a and b are the halves of x (Shazeer, "GLU variants improve transformer", 2020).
Made of ops the halves would be copied first; this reads x once. The kernel is in own_primitive.cl.
"""

from pathlib import Path

import numpy as np

import lwps
import lwps.numpy as lnp
from lwps.core import Cost, Launch, Primitive, ShapedArray, Variant
from lwps.ops.elementwise import sigmoid


def swiglu(x):
    """x[..., 2 H] -> silu(x[..., :H]) x[..., H:], [..., H]."""
    (y,) = swiglu_p.bind(x)
    return y


def swiglu_aval(x):
    if x.ndim == 0 or x.shape[-1] % 2 or x.dtype.kind != "f":
        raise TypeError(f"swiglu: x must be floats with an even last axis, got {x}; use astype or reshape")
    return (ShapedArray((*x.shape[:-1], x.shape[-1] // 2), x.dtype),)


def swiglu_vjp(cts, ins, outs, needed):
    (ct,), (a, b) = cts, lnp.split(ins[0], 2, -1)
    s = sigmoid(a)  # d(a s)/da = s + a s (1 - s)
    return (lnp.concatenate([ct * b * s * (1 + a * (1 - s)), ct * a * s], -1),)


@np.errstate(over="ignore")  # exp(-a) may be infinite: then the gate is shut
def swiglu_numpy(y, x):
    H = y.shape[-1]
    np.exp(np.negative(x[..., :H], out=y), out=y)
    y += 1
    np.divide(x[..., H:], y, out=y)
    y *= x[..., :H]


def swiglu_launch(device, outs, ins, scratch):
    H, group = outs[0].shape[-1], min(64, device.max_work_group_size)
    size = -(-H // group) * group, outs[0].size // max(1, H)
    return (Launch("swiglu", size, (group, 1), (*outs, *ins, np.int32(H))),) if outs[0].size else ()


swiglu_p = Primitive(
    "swiglu",
    aval=swiglu_aval,
    vjp=swiglu_vjp,
    cost=lambda x: Cost(flops=3 * x.size, nbytes=3 * x.nbytes // 2),
    numpy=swiglu_numpy,
    opencl=(Variant(str(Path(__file__).resolve().with_suffix(".cl")), swiglu_launch),),
    alias=None,  # the result is smaller than x and may not lie on it
    split=None,
)

if __name__ == "__main__":
    x = np.random.default_rng(0).standard_normal((4, 6), np.float32)
    gradient = lwps.grad(lambda x: (swiglu(x) ** 2).mean())
    print(lwps.optimize(lwps.trace(gradient, x)))
    print(np.asarray(lwps.jit(gradient)(x)))
