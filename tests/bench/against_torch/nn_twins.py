"""`lwps.nn` beside PyTorch: each layer as a function of its input and its parameters, in training mode."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

import lwps
from against_torch.judge import Twin, each
from against_torch.samples import Draw, integers, normal, wide_to_30
from lwps import nn, tree

IMAGES, ROWS, SEQUENCES, LINES = (2, 9, 8, 6), (5, 7), (3, 4, 2), (3, 11, 6)
Params = dict[str, Any]


def layer(
    made: Any,
    shape: Sequence[int],
    theirs: Callable[[torch.Tensor, Params], Any],
    draw: Callable[..., Draw] = normal,
    train: bool = True,
    dtype: str = "float32",
) -> Twin:
    """A layer; its results are y and the leaves of the next state. Params are drawn anew for every case."""
    params, state, _ = made.init(lwps.random.key(0), lwps.ShapedArray(shape, dtype))
    leaves, spec = tree.flatten(params)
    draws = [draw(shape), *(normal(np.shape(w), 0.5) for w in leaves)]

    def ours(x: Any, *params: Any) -> Any:
        return made.apply(tree.unflatten(spec, params), state, x, train=train)

    return each(ours, lambda x, *params: theirs(x, tree.unflatten(spec, params)), *draws)


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, -1)


def plain(fn: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A function of PyTorch's on channels first, as one of x and no params on channels last."""
    return lambda x, p: channels_last(fn(channels_first(x)))


def conv(**settings: Any) -> Any:
    def theirs(x: torch.Tensor, p: Params) -> torch.Tensor:
        w = p["w"].permute(3, 2, 0, 1)
        return channels_last(F.conv2d(channels_first(x), w, p.get("b"), **settings))

    return theirs


def by_group(w: torch.Tensor, groups: int) -> torch.Tensor:
    """Weights [..., I / groups, O] of a transposed convolution as PyTorch's [I, O / groups, ...]."""
    *window, inputs, outputs = w.shape
    split = w.reshape(*window, inputs, groups, outputs // groups).movedim((-2, -3, -1), (0, 1, 2))
    return split.reshape(groups * inputs, outputs // groups, *window).contiguous()


def transposed(fn: Callable[..., torch.Tensor], **settings: Any) -> Any:
    def theirs(x: torch.Tensor, p: Params) -> torch.Tensor:
        w = by_group(p["w"], settings.get("groups", 1))
        return channels_last(fn(channels_first(x), w, p.get("b"), **settings))

    return theirs


def conv1d(**settings: Any) -> Any:
    def theirs(x: torch.Tensor, p: Params) -> torch.Tensor:
        return channels_last(F.conv1d(channels_first(x), p["w"].permute(2, 1, 0), p.get("b"), **settings))

    return theirs


def batch_norm(train: bool) -> Any:
    def theirs(x: torch.Tensor, p: Params) -> Any:
        mean, var = torch.zeros_like(p["bias"].detach()), torch.ones_like(p["bias"].detach())
        y = F.batch_norm(channels_first(x), mean, var, p["scale"], p["bias"], train, 0.1, 1e-5)
        return channels_last(y), mean, var

    return theirs


def normalised(fn: Callable[..., torch.Tensor]) -> Any:
    return lambda x, p: fn(x, p["scale"].shape, p["scale"], p.get("bias"))


def recurrent(kind: type[torch.nn.RNNBase], features: int) -> Any:
    """PyTorch's module with the weights of ours: results of all steps, and the last carry."""

    def theirs(x: torch.Tensor, p: Params) -> Any:
        module = kind(x.shape[-1], features, batch_first=True).to(x.dtype)
        weights = {
            "weight_ih_l0": p["w_ih"].T, "weight_hh_l0": p["w_hh"].T, "bias_ih_l0": p["b_ih"], "bias_hh_l0": p["b_hh"]
        }  # fmt: skip
        y, last = torch.func.functional_call(module, weights, (x,))
        return y, [part[0] for part in last] if isinstance(last, tuple) else last[0]

    return theirs


def results(theirs: Any) -> Any:
    return lambda x, p: theirs(x, p)[0]


def cell(made: nn.Cell, kind: type[torch.nn.RNNBase], features: int = 5) -> list[Twin]:
    """A cell, unrolled: all results and the last carry."""
    params = made.init(lwps.random.key(0), lwps.ShapedArray((3, 2), "float32"))
    leaves, spec = tree.flatten(params)

    def ours(x: Any, *params: Any) -> Any:
        return nn.unroll(made, tree.unflatten(spec, params), x)

    theirs = recurrent(kind, features)
    draws = [normal(SEQUENCES), *(normal(np.shape(w), 0.5) for w in leaves)]
    return [each(ours, lambda x, *params: theirs(x, tree.unflatten(spec, params)), *draws)]


def activation(theirs: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], list[Twin]]:
    return lambda f: [layer(f(), shape, lambda x, p: theirs(x), wide_to_30) for shape in (ROWS, IMAGES)]


def heads_of(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def attention(x: torch.Tensor, p: Params, heads: int, causal: bool, shared: int) -> torch.Tensor:
    y = x @ p["qkv"]["w"] + p["qkv"].get("b", 0)
    size = x.shape[-1] // heads
    q, k, v = torch.split(y, [heads * size, shared * size, shared * size], -1)
    y = F.scaled_dot_product_attention(
        heads_of(q, heads), heads_of(k, shared), heads_of(v, shared), is_causal=causal, enable_gqa=shared != heads
    )
    return y.transpose(1, 2).reshape(x.shape) @ p["out"]["w"] + p["out"].get("b", 0)


def transformer_block(x: torch.Tensor, p: Params) -> torch.Tensor:
    first, second = p["attention"], p["mlp"]
    norm = lambda y, q: F.layer_norm(y, y.shape[-1:], q["norm"]["scale"], q["norm"]["bias"])
    x = x + attention(norm(x, first), first["attend"], 2, True, 2)
    hidden = F.gelu(norm(x, second) @ second["up"]["w"], approximate="tanh")
    return x + hidden @ second["down"]["w"]


def tied(x: torch.Tensor, p: Params) -> torch.Tensor:
    w = p["embedding"]["w"]
    return (w[x.long()] @ p["body"]["w"] + p["body"]["b"]) @ w.T


def serial(x: torch.Tensor, p: Params) -> torch.Tensor:
    return torch.tanh(x @ p["0"]["w"] + p["0"]["b"]) @ p["head"]["w"] + p["head"]["b"]


def residual(x: torch.Tensor, p: Params) -> torch.Tensor:
    return torch.relu(x @ p["0"]["w"] + p["0"]["b"] + x)


TWINS: dict[str, Callable[[Any], list[Twin]]] = {
    "linear": lambda f: [
        layer(f(3), ROWS, lambda x, p: F.linear(x, p["w"].T, p["b"])),
        layer(f(40, bias=False), (2, 30, 70), lambda x, p: F.linear(x, p["w"].T)),
    ],
    "conv2d": lambda f: [
        layer(f(4, 3), IMAGES, conv(padding=1)),
        layer(f(4, (3, 2), 2, ((1, 1), (0, 0)), bias=False), IMAGES, conv(padding=(1, 0), stride=2)),
        layer(f(33, 1), (2, 5, 5, 17), conv()),
        layer(f(6, 3, padding=2, dilation=2), IMAGES, conv(padding=2, dilation=2)),
        layer(f(12, 3, 2, 1, groups=3), IMAGES, conv(padding=1, stride=2, groups=3)),
        layer(f(6, 3, padding=1, groups=6), IMAGES, conv(padding=1, groups=6)),
    ],
    "depthwise_conv2d": lambda f: [
        layer(f(3, padding=1), IMAGES, conv(padding=1, groups=6)),
        layer(
            f((3, 2), 2, ((2, 2), (0, 0)), dilation=(2, 1)),
            IMAGES,
            conv(padding=(2, 0), stride=2, dilation=(2, 1), groups=6),
        ),
        layer(f(3, padding=1, multiplier=2), IMAGES, conv(padding=1, groups=6)),
    ],
    "conv2d_transpose": lambda f: [
        layer(f(4, 2, 2), IMAGES, transposed(F.conv_transpose2d, stride=2)),
        layer(
            f(4, 3, 2, ((1, 0), (1, 0)), groups=2, bias=False),
            IMAGES,
            transposed(F.conv_transpose2d, stride=2, padding=1, output_padding=1, groups=2),
        ),
        layer(f(4, 3, 1, 1, dilation=2), IMAGES, transposed(F.conv_transpose2d, padding=1, dilation=2)),
    ],
    "conv1d": lambda f: [
        layer(f(4, 3, padding=1), LINES, conv1d(padding=1)),
        layer(f(4, 3, 2, 2, dilation=2, groups=2), LINES, conv1d(padding=2, stride=2, dilation=2, groups=2)),
    ],
    "conv1d_transpose": lambda f: [
        layer(f(4, 3, 2, (1, 0)), LINES, transposed(F.conv_transpose1d, stride=2, padding=1, output_padding=1)),
        layer(f(4, 3, padding=1, groups=2), LINES, transposed(F.conv_transpose1d, padding=1, groups=2)),
    ],
    "batch_norm": lambda f: [
        layer(f(), IMAGES, batch_norm(True)),
        layer(f(), (40, 7), batch_norm(True), lambda shape: normal(shape, 2, 5)),
        layer(f(), IMAGES, batch_norm(False), train=False),
    ],
    "layer_norm": lambda f: [
        layer(f(), ROWS, normalised(F.layer_norm)),
        layer(f((-2, -1)), IMAGES, normalised(F.layer_norm), lambda shape: normal(shape, 2, 5)),
    ],
    "rms_norm": lambda f: [
        layer(f(), ROWS, lambda x, p: F.rms_norm(x, p["scale"].shape, p["scale"], 1e-5)),
        layer(f((-2, -1)), IMAGES, lambda x, p: F.rms_norm(x, p["scale"].shape, p["scale"], 1e-5)),
    ],
    "group_norm": lambda f: [
        layer(f(3), IMAGES, lambda x, p: channels_last(F.group_norm(channels_first(x), 3, p["scale"], p["bias"]))),
    ],
    "instance_norm": lambda f: [
        layer(
            f(),
            IMAGES,
            lambda x, p: channels_last(F.instance_norm(channels_first(x), None, None, p["scale"], p["bias"])),
        ),
    ],
    "max_pool": lambda f: [
        layer(f(2), IMAGES, plain(lambda x: F.max_pool2d(x, 2))),
        layer(f(3, 2, 1), IMAGES, plain(lambda x: F.max_pool2d(x, 3, 2, 1))),
    ],
    "avg_pool": lambda f: [
        layer(f(2), IMAGES, plain(lambda x: F.avg_pool2d(x, 2))),
        layer(f(3, 2), IMAGES, plain(lambda x: F.avg_pool2d(x, 3, 2))),
        layer(f(3, 2, 1), IMAGES, plain(lambda x: F.avg_pool2d(x, 3, 2, 1))),
        layer(f(3, 2, 1, False), IMAGES, plain(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))),
    ],
    "max_pool1d": lambda f: [layer(f(3, 2, 1), LINES, plain(lambda x: F.max_pool1d(x, 3, 2, 1)))],
    "avg_pool1d": lambda f: [
        layer(f(3, 2, 1), LINES, plain(lambda x: F.avg_pool1d(x, 3, 2, 1))),
        layer(f(3, 2, 1, False), LINES, plain(lambda x: F.avg_pool1d(x, 3, 2, 1, count_include_pad=False))),
    ],
    "global_max_pool": lambda f: [layer(f(), IMAGES, lambda x, p: x.amax((1, 2)))],
    "upsample": lambda f: [
        layer(f(2), IMAGES, plain(lambda x: F.interpolate(x, scale_factor=2, mode="nearest"))),
        layer(f((2, 3), "bilinear"), IMAGES, plain(lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear"))),
    ],
    "global_avg_pool": lambda f: [layer(f(), IMAGES, lambda x, p: x.mean((1, 2)))],
    "flatten": lambda f: [layer(f(), IMAGES, lambda x, p: x.flatten(1))],
    "dropout": lambda f: [layer(f(0.5), ROWS, lambda x, p: x, train=False)],
    "embedding": lambda f: [
        layer(f(11, 5), (4, 6), lambda x, p: F.embedding(x.long(), p["w"]), integers(0, 11), dtype="int32"),
    ],
    "tied_embedding": lambda f: [layer(f(11, 5, nn.linear(5)), (4, 6), tied, integers(0, 11), dtype="int32")],
    "position_embedding": lambda f: [layer(f(9), SEQUENCES, lambda x, p: x + p["w"][: x.shape[1]])],
    "multi_head_attention": lambda f: [
        # no biases: the gradient of that of keys is 0, and what either finds there is rounding
        layer(f(2, bias=False), (3, 7, 8), lambda x, p: attention(x, p, 2, False, 2)),
        layer(f(4, True, False, key_heads=2), (3, 70, 8), lambda x, p: attention(x, p, 4, True, 2)),
    ],
    "transformer_block": lambda f: [layer(f(2, causal=True, bias=False), (3, 7, 8), transformer_block)],
    "rnn_cell": lambda f: cell(f(5), torch.nn.RNN),
    "gru_cell": lambda f: cell(f(5), torch.nn.GRU),
    "lstm_cell": lambda f: cell(f(5), torch.nn.LSTM),
    "unroll": lambda f: cell(nn.lstm_cell(5), torch.nn.LSTM),
    "recurrent": lambda f: [layer(f(nn.rnn_cell(5)), SEQUENCES, results(recurrent(torch.nn.RNN, 5)))],
    "gru": lambda f: [layer(f(5), SEQUENCES, results(recurrent(torch.nn.GRU, 5)))],
    "lstm": lambda f: [layer(f(5), SEQUENCES, results(recurrent(torch.nn.LSTM, 5)))],
    "serial": lambda f: [layer(f(nn.linear(4), nn.tanh(), head=nn.linear(3)), ROWS, serial)],
    "residual": lambda f: [layer(f(nn.serial(nn.linear(7))), ROWS, residual)],
    "skip": lambda f: [
        layer(f(nn.linear(4)), ROWS, lambda x, p: torch.cat([x, x @ p["w"] + p["b"]], -1)),
    ],
    "stateless": lambda f: [layer(f(lambda x: x * x), ROWS, lambda x, p: x * x)],
    "relu": activation(torch.relu),
    "relu6": activation(F.relu6),
    "tanh": activation(torch.tanh),
    "sigmoid": activation(torch.sigmoid),
    "silu": activation(F.silu),
    "swish": activation(F.silu),
    "softplus": activation(F.softplus),
    "elu": activation(F.elu),
    "leaky_relu": activation(F.leaky_relu),
    "erf": activation(torch.erf),
    "gelu": lambda f: [
        layer(f(), ROWS, lambda x, p: F.gelu(x, approximate="tanh"), wide_to_30),
        layer(f(approximate=False), ROWS, lambda x, p: F.gelu(x), wide_to_30),
    ],
    "softmax": lambda f: [layer(f(), ROWS, lambda x, p: F.softmax(x, -1), wide_to_30)],
    "log_softmax": lambda f: [layer(f(), ROWS, lambda x, p: F.log_softmax(x, -1), wide_to_30)],
}

REASONS = {
    "Cell": "a type",
    "Layer": "a type",
    "initializers": "random numbers: their distributions are tested",
}
