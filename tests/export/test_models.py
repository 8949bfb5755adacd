"""Whole models: logits as the functions give them, sizes of batches, names, files, refusals."""

import importlib
import pkgutil
import sys

import numpy as np
import onnx
import pytest

import lwps
import lwps.numpy as lnp
from lwps import data, models, nn, train
from lwps.core import ShapedArray
from lwps.export import BUILDERS, NO_FORM, to_onnx
from lwps.export.affine import fold_affine
from lwps.export.graph import Graph
from lwps.export.inference import infer
from lwps.export.model import to_model
from lwps.ops import batch_norm, elementwise, pool, random, shape
from lwps.ops.custom import custom_vjp
from lwps.ops.matmul import matmul_p
from tests.export.agreement import agrees, logits_of, normals, operators, run, settled


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("mlp", 8, {"Reshape": 1, "Gemm": 3, "Relu": 2}),
        ("lenet5", 28, {"Transpose": 2, "Conv": 2, "Relu": 4, "MaxPool": 2, "Reshape": 1, "Gemm": 3}),
        # one transpose where images come in; batch normalisation is in the convolutions
        ("resnet18", 32, {"Transpose": 1, "Conv": 20, "Relu": 17, "Add": 8, "ReduceMean": 1, "Gemm": 1}),
        ("resnet18", 65, {"Transpose": 1, "Conv": 20, "Relu": 17, "MaxPool": 1, "Add": 8, "ReduceMean": 1, "Gemm": 1}),
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_models_have_the_same_logits_and_no_operator_too_many(name, size, expected, dynamic):
    channels = 1 if name == "lenet5" else 3
    model = models.build(name, 10, size)
    weights = settled(model, ShapedArray((3, size, size, channels), "float32"))
    x = normals(3, size, size, channels)
    exported = agrees(logits_of(model), x, weights=weights, dynamic=dynamic, rtol=1e-4, atol=1e-4)
    assert operators(exported) == expected


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (models.mobilenet_v2(5, "small", width=0.25), normals(2, 16, 16, 3)),
        (models.unet(2, (4, 8)), normals(3, 8, 8, 3)),
        (models.conv_autoencoder(1, (4, 8), 3), normals(3, 8, 8, 1)),
        (models.gpt(11, 8, 12, 2, 3), np.random.default_rng(0).integers(0, 11, (3, 8), np.int32)),
    ],
    ids=["mobilenet_v2", "unet", "conv_autoencoder", "gpt"],
)
def test_all_kinds_of_models_are_exported(model, x):
    weights = settled(model, ShapedArray(x.shape, x.dtype))
    exported = agrees(logits_of(model), x, weights=weights, dynamic=True, rtol=1e-3, atol=1e-4)
    assert not {"Sub", "Div", "Reciprocal"} & set(operators(exported)), "batch normalisation must be folded"


def test_a_trained_model_keeps_its_accuracy(tmp_path):
    digits = data.digits()
    model = nn.serial(
        nn.conv2d(16, 3), nn.batch_norm(), nn.relu(), nn.max_pool(2), nn.conv2d(32, 3), nn.batch_norm(), nn.relu(),
        nn.global_avg_pool(), nn.linear(10),
    )  # fmt: skip
    settings = train.Settings(batch=64, epochs=3, lr=0.2, placement="cpu")
    result = train.train(model, digits, settings, lwps.default_machine())
    aval = ShapedArray((1, 8, 8, 1), "float32")
    exported = to_onnx(logits_of(model), result.params, result.state, aval, dynamic_batch=True)
    (logits,) = run(exported, digits.test_images)
    assert np.mean(logits.argmax(-1) == digits.test_labels) == result.test_accuracy > 0.8


def test_optimized_programs_are_exported_too():
    model = models.mlp((8, 5))
    x = normals(3, 4)
    params, state = settled(model, ShapedArray(x.shape, "float32"))
    logits = logits_of(model)
    for program in (lwps.trace(logits, params, state, x), lwps.optimize(lwps.trace(logits, params, state, x))):
        exported = to_onnx(program, params, state, ShapedArray(x.shape, "float32"))
        np.testing.assert_allclose(run(exported, x)[0], logits(params, state, x), rtol=1e-5)


def test_functions_with_a_vjp_of_their_own_are_exported():
    @custom_vjp
    def clipped(x):
        return lnp.minimum(lnp.maximum(x, -1), 1)

    clipped.defvjp(lambda x: (clipped(x), None), lambda _, ct: (ct,))
    agrees(lambda x: clipped(x) * 2, normals(5))


def test_a_gradient_is_a_function_too():
    fn = lwps.grad(lambda x, w: (lnp.tanh(x @ w) ** 2).sum())
    agrees(fn, normals(3, 4), normals(4, 5), rtol=1e-4)


# --- folding --------------------------------------------------------------------------------------------


def chains(x, w, a, b):
    y = x @ w
    y = (y - a) * b + a
    y = -(a - y / b)
    return lnp.tanh(y) * b + a, lnp.sum(y * 1.0, -1)


def test_folding_changes_no_result():
    w, a, b, x = normals(4, 5), normals(5), np.abs(normals(1, 5)) + 0.5, normals(3, 4)
    inference = infer(chains, (ShapedArray(x.shape, "float32"), w, a, b), ["x", "w", "a", "b"], False)
    folded = fold_affine(inference)
    lwps.check_program(folded.program)
    assert len(folded.program.eqns) < len(inference.program.eqns)
    want, got = (lwps.core.evaluate_program(p, [x]) for p in (inference.program, folded.program))
    for y, z in zip(want, got, strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-6)


def test_every_step_of_a_chain_is_folded():
    a = np.abs(normals(5)) + 0.5
    steps = [
        lambda y: y + a, lambda y: y - a, lambda y: a - y, lambda y: y * a, lambda y: y / a, lambda y: -y,
    ]  # fmt: skip
    for step in steps:
        model = agrees(lambda w, x, step=step: step(x @ w) * 2 + 1, normals(3, 4), weights=(normals(4, 5),))
        assert operators(model) == {"Gemm": 1}
    turned = lambda w, x: matmul_p.bind(x, w, transpose_x=False, transpose_y=True)[0] * a - a
    assert operators(agrees(turned, normals(3, 4), weights=(normals(5, 4),))) == {"Gemm": 1}


def test_a_product_that_is_read_elsewhere_is_left_as_it_is():
    def fn(w, a, x):
        y = x @ w
        return y * a - 1, y

    assert operators(agrees(fn, normals(3, 4), weights=(normals(4, 5), normals(5)))) == {
        "MatMul": 1,
        "Mul": 1,
        "Sub": 1,
    }


def test_what_is_known_is_computed_without_a_word():
    model = to_onnx(lambda w, x: lnp.log(w) / w + x, np.zeros(4, np.float32), ShapedArray((4,), "float32"))
    assert operators(model) == {"Add": 1}


def test_numbers_that_repeat_a_result_are_not_folded():
    agrees(lambda w, a, x: (x @ w) * a + a, normals(3, 4), weights=(normals(4, 1), normals(5)))
    agrees(lambda w, a, x: (x @ w) + a, normals(3, 4), weights=(normals(4, 1), normals(5)))
    agrees(lambda w, a, x: (x @ w) * a + a, normals(3, 4), weights=(normals(4, 5), normals(3, 1)))


# --- batches --------------------------------------------------------------------------------------------


def heads(wq, x):
    """Attention without its softmax: reshapes, transposes and products over a batch axis."""
    n, t, d = x.shape
    q = (x @ wq).reshape((n, t, 2, d // 2)).transpose((0, 2, 1, 3))
    scores = q @ q.transpose((0, 1, 3, 2)) * 0.5
    y = (scores @ q).transpose((0, 2, 1, 3)).reshape((n * t, d))
    state = elementwise.full((n, 1), 0.25) * 2  # small enough to be computed here, were it not for the batch
    return y[::t] + state, lnp.sum(y.reshape((n, t, d)) - x, 1), x[:-1] if n > 1 else x[:0], y[3:]


def test_shapes_follow_a_dynamic_batch():
    agrees(heads, normals(4, 3, 6), weights=(normals(6, 6),), dynamic=True, rtol=1e-4, atol=1e-5)


def test_all_inputs_share_a_dynamic_batch():
    model = agrees(lambda x, y: x + y, normals(4, 3), normals(4, 1), dynamic=True)
    assert [
        d.dim_param for p in (*model.graph.input, *model.graph.output) for d in p.type.tensor_type.shape.dim[:1]
    ] == ["batch"] * 3


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x[:, 0] * np.ones(x.shape[0], np.float32), r"no constant may depend on it, got .*float32\[1009\]"),
        (lambda x: x * (2 if x.shape[0] % 2 else 1), "must grow evenly with it, got 2.0 and 1.0 in forward/full#0"),
        (lambda x: x[: x.shape[0] // 2], "must grow evenly with it, got 504 and 509 in forward/slice#0"),
        (lambda x: x + 1 if x.shape[0] % 2 else x, "the function must do the same eqns for every size"),
        (lambda x: x / x.shape[0], "must grow evenly with it, got 1009.0 and 1018.0 in forward/full#0"),
    ],
)  # fmt: skip
def test_what_no_model_can_say_of_a_batch_is_refused(fn, message):
    with pytest.raises(ValueError, match="to_onnx: with a dynamic batch size .*" + message):
        to_onnx(fn, ShapedArray((2, 3), "float32"), dynamic_batch=True)


def test_a_program_has_one_batch_size():
    aval = ShapedArray((2, 3), "float32")
    with pytest.raises(ValueError, match="to_onnx: a dynamic batch size needs the function, got a program"):
        to_onnx(lwps.trace(lnp.tanh, aval), aval, dynamic_batch=True)
    with pytest.raises(TypeError, match="to_onnx: with dynamic_batch inputs must have an axis 0"):
        to_onnx(lnp.tanh, ShapedArray((), "float32"), dynamic_batch=True)


# --- names, files, refusals -----------------------------------------------------------------------------


def test_the_model_says_what_is_what(tmp_path):
    path = tmp_path / "model.onnx"
    model = nn.serial(conv1=nn.conv2d(4, 3), flatten=nn.flatten(), fc=nn.linear(2))
    params, state, _ = model.init(lwps.random.key(0), ShapedArray((1, 4, 4, 2), "float32"))
    to_onnx(logits_of(model), params, state, ShapedArray((1, 4, 4, 2), "float32"), path=path, output_names=["logits"])
    (proto, _) = onnx.load(path), onnx.checker.check_model(path, full_check=True)
    assert (proto.ir_version, proto.opset_import[0].version, proto.producer_name) == (8, 18, "lwps")
    assert [p.name for p in proto.graph.input] == ["images"]
    assert [p.name for p in proto.graph.output] == ["logits"]
    names = {p.name for p in proto.graph.initializer}
    assert {f"params/{name}" for name in ("conv1/w", "conv1/b", "fc/w", "fc/b")} <= names
    assert [n.name for n in proto.graph.node] == [
        "conv1/Transpose", "conv1/Conv", "flatten/Transpose", "flatten/Reshape", "logits"
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_inputs_are_named_by_their_place_in_the_arguments():
    aval = ShapedArray((2,), "float32")
    proto = to_onnx(lambda batch, *rest: batch["x"] + batch["y"] + rest[0], {"x": aval, "y": aval}, aval)
    assert [p.name for p in proto.graph.input] == ["batch/x", "batch/y", "input_1"]
    proto = to_onnx(lnp.add, aval, aval, input_names=["left", "right"], output_names=["left_and_right"])
    assert [p.name for p in proto.graph.input] == ["left", "right"]


def test_a_name_of_an_output_may_be_that_of_an_input():
    aval = ShapedArray((2,), "float32")
    proto = to_onnx(lambda output: lnp.tanh(output), aval)
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("output_1", "output")


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_names_that_do_not_fit_are_refused(names):
    aval = ShapedArray((2,), "float32")
    with pytest.raises(ValueError, match="to_onnx: input_names must be 2 different ones, got"):
        to_onnx(lnp.add, aval, aval, input_names=names)
    with pytest.raises(ValueError, match="to_onnx: output_names must be 2 different ones, got"):
        to_onnx(lambda x: (x, x + 1), aval, output_names=names)


def test_arguments_that_do_not_fit_a_program_are_refused():
    aval = ShapedArray((2, 3), "float32")
    with pytest.raises(TypeError, match=r"to_onnx: arguments must be those of the program, \(float32\[2,3\],\), got"):
        to_onnx(lwps.trace(lnp.tanh, aval), ShapedArray((2, 4), "float32"))


def test_everything_without_an_onnx_form_is_listed():
    def fn(key, x):
        noisy = x + random.normal(key, x.shape)
        y, *_ = batch_norm.batch_norm(noisy, np.ones(4, np.float32), np.zeros(4, np.float32))
        return shape.pad(y, (0, 0), (0, 0), interior=(1, 0))

    with pytest.raises(ValueError, match="to_onnx: every primitive must have an ONNX form, got none for") as error:
        to_onnx(fn, ShapedArray((2,), "uint32"), ShapedArray((3, 4), "float32"))
    for part in (
        "random_bits (forward/random_bits#0: random numbers)",
        "batch_norm (",
        "moments of",
        "pad (forward/pad#0: interior",
        "train=False",
    ):
        assert part in str(error.value)


def test_every_primitive_has_an_onnx_form_or_a_reason_to_have_none():
    modules = [importlib.import_module(f"lwps.ops.{m.name}") for m in pkgutil.iter_modules(lwps.ops.__path__)]
    found = {v for module in modules for v in vars(module).values() if isinstance(v, lwps.Primitive)}
    inlined = {"fused", "custom_vjp_call"}
    without = {p.name for p in found - set(BUILDERS) if not p.name.endswith("_vjp")} - inlined
    assert without == set(NO_FORM), "lwps/export: a builder, or a line in NO_FORM that says why there is none"


def test_params_without_an_onnx_form_say_why():
    with pytest.raises(ValueError, match=r"none for pad \(forward/pad#0: interior=\(1,\) puts elements between"):
        to_onnx(lambda x: shape.pad(x, (0,), (0,), interior=(1,)), ShapedArray((3,), "float32"))
    with pytest.raises(ValueError, match=r"none for scatter_add .* as many rows as the batch has are written"):
        to_onnx(lambda x: lwps.segment_sum(x, elementwise.full((x.shape[0],), 0, "int32"), 2),
                ShapedArray((3, 2), "float32"), dynamic_batch=True)  # fmt: skip
    with pytest.raises(ValueError, match="the places of its maxima are read"):
        to_onnx(lwps.grad(lambda x: pool.max_pool(x, 2).sum()), ShapedArray((1, 4, 4, 1), "float32"))


def test_primitives_of_the_user_take_a_builder_of_the_user():
    cube_p = elementwise.elementwise("cube", numpy=lambda x, out: np.power(x, 3, out=out), expr="x*x*x", vjp=None)

    def build(emit, eqn):
        (x,) = eqn.ins
        name = emit.get(x)
        emit.put(eqn.outs[0], emit.node("Mul", name, emit.node("Mul", name, name)))

    fn = lambda x: cube_p.bind(x)[0] + 1
    x = normals(5)
    (y,) = run(to_onnx(fn, ShapedArray(x.shape, "float32"), builders={cube_p: build}), x)
    np.testing.assert_allclose(y, fn(x), rtol=1e-5)


def test_a_model_over_2_gib_is_refused():
    shape = (1 << 15, (1 << 14) + 1)
    weights = np.broadcast_to(np.float32(1), shape)  # without the bytes
    with pytest.raises(ValueError, match="to_onnx: weights must be below 2 GiB together, got 2147614720 bytes"):
        to_model(Graph((), (), (), {"w": weights}), "large", {})


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")
    monkeypatch.setattr("os.fsync", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"must be a place that can be written, got No space left.*model\.onnx"):
        to_onnx(lnp.tanh, ShapedArray((2,), "float32"), path=path)
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_without_onnx_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "lwps.export.model", raising=False)
    monkeypatch.delattr("lwps.export.model", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"to_onnx: needs the package onnx.*pip install 'lwps\[onnx\]'"):
        to_onnx(lnp.tanh, ShapedArray((2,), "float32"))
