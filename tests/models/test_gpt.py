"""The GPT: its parameters, that it does not look ahead, that it learns."""

import functools

import numpy as np
import pytest

import lwps
from lwps import models, optim, tracing, tree
from lwps.core import ShapedArray
from lwps.ops import random

TOKENS = ShapedArray((2, 8), "int32")


def gpt(**settings):
    return models.gpt(vocab=11, length=8, width=12, depth=2, heads=3, **settings)


@functools.cache
def initial(**settings):
    return gpt(**settings).init(random.key(0), TOKENS)


def tokens(seed=0):
    return np.random.default_rng(seed).integers(0, 11, TOKENS.shape, np.int32)


@pytest.mark.parametrize(("sizes", "count"), [((768, 12, 12), 124_439_808), ((1024, 24, 16), 354_823_168)])
def test_gpt2_has_its_parameters(sizes, count):
    width, depth, heads = sizes
    model = models.gpt(50257, 1024, width, depth, heads)
    program = tracing.trace(lambda key: model.init(key, ShapedArray((1, 4), "int32"))[0], random.key(0))
    assert sum(v.aval.size for v in program.outputs) == count


def test_logits_have_a_number_for_each_token_of_the_vocabulary_tied_or_not():
    tied, untied = (initial(tied=t)[0] for t in (True, False))
    assert sum(p.size for p in tree.leaves(untied)) - sum(p.size for p in tree.leaves(tied)) == 11 * 12
    for settings in ({"tied": True}, {"tied": False}):
        params, state, out = initial(**settings)
        logits, _ = gpt(**settings).apply(params, state, tokens(), train=False)
        assert logits.shape == out.shape == (2, 8, 11)
        shorter, _ = gpt(**settings).apply(params, state, tokens()[:, :5], train=False)
        np.testing.assert_allclose(shorter, logits[:, :5], rtol=1e-4, atol=1e-6)


def test_logits_do_not_depend_on_later_tokens():
    params, state, _ = initial()
    first, other = tokens(), tokens()
    other[:, 5:] = (other[:, 5:] + 1) % 11
    a, b = (gpt().apply(params, state, x, train=False)[0] for x in (first, other))
    np.testing.assert_allclose(a[:, :5], b[:, :5], rtol=1e-5, atol=1e-7)
    assert not np.allclose(a[:, 5:], b[:, 5:])


def test_weights_at_the_end_of_a_branch_begin_smaller():
    model = models.gpt(vocab=11, length=8, width=64, depth=2, heads=4)
    params, _, _ = model.init(random.key(0), TOKENS)
    block = params["body"]["blocks"]["1"]
    for part, std in (
        (block["mlp"]["up"], 0.02),
        (block["mlp"]["down"], 0.01),
        (block["attention"]["attend"]["out"], 0.01),
    ):
        assert np.std(part["w"]) == pytest.approx(std, rel=0.1)
        assert not part["b"].any()


def losses_on(placement, steps=30):
    """Losses of steps on two texts that repeat themselves."""
    model, opt = gpt(), optim.adam(1e-2)
    params, state, _ = initial()

    def train_step(params, opt_state, x):
        def loss_fn(params):
            logits, _ = model.apply(params, state, x, train=True, key=random.key(1))
            return optim.losses.next_token_loss(logits, x)

        loss, grads = lwps.value_and_grad(loss_fn)(params)
        updates, opt_state = opt.update(grads, opt_state, params)
        return optim.apply_updates(params, updates), opt_state, loss

    step = lwps.jit(train_step, placement=placement)
    opt_state, losses, x = opt.init(params), [], np.arange(16, dtype=np.int32).reshape(2, 8) % 11
    for _ in range(steps):
        params, opt_state, loss = step(params, opt_state, x)
        losses.append(float(loss))
    return losses


def test_it_learns_the_same_on_each_processor():
    first, *others = (losses_on(name) for name in lwps.default_machine().names)
    np.testing.assert_allclose(first[0], np.log(11), rtol=0.02)
    assert first[-1] < 0.2 * first[0]
    for losses in others:
        np.testing.assert_allclose(losses, first, rtol=1e-2)


def test_a_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match="gpt: depth must be at least 1, got 0"):
        models.gpt(11, 8, 12, 0, 3)
