"""Exported models against the functions that they came from, run by ONNX Runtime."""

from collections import Counter

import numpy as np
import pytest

import lwps
from lwps import tree
from lwps.core import ShapedArray, aval_of
from lwps.export import to_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel for this platform")


def run(model, *inputs):
    """What ONNX Runtime makes of a model; `inputs` in the order of the model's."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # remarks on what it optimizes are not for the test's output
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {p.name: x for p, x in zip(session.get_inputs(), inputs, strict=True)})


def exported(fn, *args, weights=(), **options):
    """The model of `fn(*weights, *args)` with the shapes of `args`."""
    return to_onnx(fn, *weights, *(aval_of(x) for x in args), **options)


def agrees(fn, *args, weights=(), dynamic=False, rtol=1e-5, atol=1e-6):
    """Whether the model of `fn(*weights, *args)` computes what the function does; with `dynamic` for three batches."""
    model = exported(fn, *args, weights=weights, dynamic_batch=dynamic)
    batches = [[x[:n] for x in args] for n in (1, 2, len(args[0]))] if dynamic else [args]
    for inputs in batches:
        want = tree.leaves(fn(*weights, *inputs))
        for got, expected in zip(run(model, *inputs), want, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)
    return model


def operators(model):
    """How often each operator is in a model."""
    return Counter(node.op_type for node in model.graph.node)


def normals(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape, np.float32)


def images(n=3, size=8, channels=4):
    return normals(n, size, size, channels)


def settled(model, aval, seed=0):
    """Params and state of a model as after some training: no scale is 1, no shift and no moment 0."""
    rng = np.random.default_rng(seed)
    params, state, _ = model.init(lwps.random.key(seed), aval)
    noise = lambda x: np.asarray(x) * 0.5 + np.abs(rng.standard_normal(x.shape, np.float32)) * 0.2 + 0.1
    return tree.map(lambda x: x if x.ndim > 1 else noise(x), params), tree.map(noise, state)


def logits_of(model):
    def logits(params, state, images):
        return model.apply(params, state, images, train=False)[0]

    return logits


__all__ = ["ShapedArray", "agrees", "exported", "images", "logits_of", "normals", "operators", "run", "settled"]
