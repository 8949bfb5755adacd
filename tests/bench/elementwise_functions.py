"""Functions of one element in lwps/ops/*.cl beside OpenCL C's own: nanoseconds an element, and error in ulp.

Run: python -m tests.bench.elementwise_functions. Needs an OpenCL device.
On an NVIDIA H100 both are as fast as its memory: 0.01 ns an element.
"""

import time

import numpy as np

from lwps import testing
from lwps.core import ShapedArray
from lwps.ops.elementwise import elementwise
from lwps.testing import processors

N = 1 << 20
ROWS = {  # ours, OpenCL C's, its file, reference, range
    "exp": ("lwps_exp({0})", "exp({0})", "exponential.cl", np.exp, (-80, 80)),
    "expm1": ("lwps_expm1({0})", "expm1({0})", "exponential.cl", np.expm1, (-5, 5)),
    "log": ("lwps_log({0})", "log({0})", "exponential.cl", np.log, (1e-3, 1e3)),
    "log1p": ("lwps_log1p({0})", "log1p({0})", "exponential.cl", np.log1p, (-0.9, 9)),
    "sqrt": ("lwps_sqrt({0})", "sqrt({0})", "exponential.cl", np.sqrt, (0, 1e3)),
    "abs": ("lwps_abs({0})", "fabs({0})", "exponential.cl", np.abs, (-1, 1)),
    "tanh": ("lwps_tanh({0})", "tanh({0})", "activation.cl", np.tanh, (-5, 5)),
    "sin": ("lwps_sin({0})", "sin({0})", "trigonometry.cl", np.sin, (-100, 100)),
    "arctan2": (
        "lwps_arctan2({0}, 0.3f)",
        "atan2({0}, 0.3f)",
        "trigonometry.cl",
        lambda x: np.arctan2(x, 0.3),
        (-1, 1),
    ),
    "rint": ("lwps_rint({0})", "rint({0})", "rounding.cl", np.rint, (-100, 100)),
    "pow": ("lwps_pow({0}, 1.7f)", "pow({0}, 1.7f)", "power.cl", lambda x: x ** np.float64(np.float32(1.7)), (0, 100)),
}


def measured(expr, file, x, processor):
    """The result, and the least seconds of five runs; those of a copy tell what memory alone costs."""
    primitive = elementwise("measured", numpy=np.positive, expr=expr, vjp=None, file=file)
    (y,) = testing.run_primitive(primitive, x, processor=processor)
    context, queue, cache, device = processors._opencl()[processor]
    plan = processors.recipe(device, primitive, [ShapedArray(x.shape, x.dtype)], {})
    (launch,) = plan.launches
    kernel = cache.kernel(plan.source, launch.options, launch.kernel)
    buffers = {"out": processors._buffer(context, np.empty_like(x)), "in": processors._buffer(context, x)}
    for k, arg in enumerate(launch.args):
        kernel.set_arg(k, buffers[arg.kind] if hasattr(arg, "kind") and isinstance(arg.kind, str) else arg)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        processors.cl.enqueue_nd_range_kernel(queue, kernel, launch.global_size, launch.local_size).wait()
        seconds.append(time.perf_counter() - begin)
    return y, min(seconds)


def ulps(y, want):
    return np.max(np.abs(y - want) / np.spacing(np.abs(want.astype(np.float32))), initial=0)


def main():
    for processor in testing.PROCESSORS[1:]:
        print(f"{processor:12} {'ours ns':>8} {'ulp':>6} {'OpenCL C ns':>12} {'ulp':>6}")
        for name, (ours, theirs, file, reference, (low, high)) in ROWS.items():
            x = np.random.default_rng(0).uniform(low, high, N).astype(np.float32)
            want = reference(x.astype(np.float64))
            (y, own_s), (z, their_s) = (measured(e, f, x, processor) for e, f in ((ours, file), (theirs, "")))
            row = own_s / N * 1e9, ulps(y, want), their_s / N * 1e9, ulps(z, want)
            print(f"{name:12} {row[0]:8.2f} {row[1]:6.2f} {row[2]:12.2f} {row[3]:6.2f}")


if __name__ == "__main__":
    main()
