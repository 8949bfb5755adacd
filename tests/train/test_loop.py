"""The loop on images and on text: what a step is given, what an evaluation counts, what settings mean."""

import itertools

import attrs
import numpy as np
import pytest

import lwps
from lwps import optim
from lwps.data import Dataset
from lwps.models import mlp
from lwps.train import Settings, cosine, train
from lwps.train.state import key_of
from tests.train.small import SHORT, characters, drawing, images, run, text


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_a_character_model_learns_what_follows_what():
    data = text("abcd" * 200, context=16)
    end = run(characters(4), data, Settings(batch=4, steps=60, optimizer="adamw", lr=0.05, placement="cpu"))
    assert end.losses[0] == pytest.approx(np.log(4), abs=0.5)
    assert end.test.loss < 0.05
    assert end.test.accuracy == 1
    assert end.per_s > 0


def test_evaluation_is_the_mean_over_every_held_out_character():
    """The last window and the last batch are filled up; what fills them does not count."""
    data = text()
    end = run(characters(5), data, attrs.evolve(SHORT, batch=3))
    losses, right = [], []
    for tokens, labels, mask in data.test_batches(1):
        logits = np.asarray(characters(5).apply(end.params, end.state, tokens, train=False)[0], np.float64)
        losses += (-np.take_along_axis(log_softmax(logits), labels[..., None], -1)[..., 0][mask]).tolist()
        right += (logits.argmax(-1) == labels)[mask].tolist()
    assert len(losses) % 3 != 0
    assert end.test.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert end.test.accuracy == pytest.approx(np.mean(right))


def test_evaluation_of_images_leaves_out_what_fills_the_last_batch():
    data = images()
    end = run(mlp((4, 3)), data)  # 10 test images in batches of 8
    logits = np.asarray(mlp((4, 3)).apply(end.params, end.state, data.test_images, train=False)[0])
    assert end.test.accuracy == np.mean(logits.argmax(-1) == data.test_labels)
    assert end.test.loss == pytest.approx(-log_softmax(logits)[np.arange(10), data.test_labels].mean(), rel=1e-5)


def test_progress_counts_steps_epochs_and_right_answers():
    rows = []
    end = run(mlp((4, 3)), images(), report=rows.append)
    assert [r.step for r in rows] == list(range(1, 8))
    assert [r.epoch for r in rows] == [0] * 5 + [1] * 2
    assert {r.steps for r in rows} == {7}
    assert tuple(r.loss for r in rows) == end.losses
    assert all(r.accuracy * 8 == int(r.accuracy * 8) for r in rows)
    assert [r.lr for r in rows] == cosine(7, 0.05).tolist()
    assert all(a.time <= b.time for a, b in itertools.pairwise(rows))


def cosine_by_hand(step, steps, peak):
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))


@pytest.mark.parametrize("steps", [1, 2, 7, 40, 1000])
def test_the_learning_rate_rises_over_a_twentieth_and_falls_along_a_cosine(steps):
    expected = [cosine_by_hand(n, steps, 0.1) for n in range(steps)]
    np.testing.assert_allclose(cosine(steps, 0.1), expected, rtol=1e-5, atol=1e-7)


def test_layers_draw_other_numbers_in_each_step_and_for_each_seed():
    keys = [tuple(key_of(attrs.evolve(SHORT, seed=seed), step)) for seed in (0, 1) for step in range(5)]
    assert len(set(keys)) == 10
    by_init = {tuple(lwps.random.fold_in(lwps.random.key(0), n)) for n in range(20)}
    assert not by_init & set(keys)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    a, b, c = (run(drawing(), images(), attrs.evolve(SHORT, seed=seed)).losses for seed in (3, 3, 4))
    assert a == b
    assert a != c


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_compiled():
    with pytest.raises(ValueError, match="train: the batch must be at most the 40 training images, got 41"):
        train(mlp((4, 3)), images(), attrs.evolve(SHORT, batch=41))
    with pytest.raises(ValueError, match="at most the 21 training windows, got 99"):
        train(characters(5), text(), attrs.evolve(SHORT, batch=99))


# --- settings --------------------------------------------------------------------------------------


def one_update(optimizer, grads, params):
    return optimizer.update(grads, optimizer.init(params), params)[0]


W, G = {"a": {"w": np.float32([1, -2])}}, {"a": {"w": np.float32([30, 40])}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), optim.sgd(0.1, 0.9, 5e-4)),
        (Settings(momentum=0.0, weight_decay=0.0), optim.sgd(0.1)),
        (Settings(optimizer="adam"), optim.adam(0.1)),
        (Settings(optimizer="adam", weight_decay=0.5), optim.chain(optim.add_decayed_weights(0.5), optim.adam(0.1))),
        (Settings(optimizer="adamw"), optim.adamw(0.1, weight_decay=0.01)),
        (Settings(weight_decay=0.0, clip=5.0), optim.chain(optim.clip_by_global_norm(5.0), optim.sgd(0.1, 0.9))),
    ],
    ids=str,
)
def test_settings_name_optimizers(settings, expected):
    got = one_update(settings.optimizer_of(0.1), G, W)["a"]["w"]
    np.testing.assert_array_equal(got, one_update(expected, G, W)["a"]["w"])


def test_clipping_bounds_the_norm_of_all_gradients():
    update = one_update(Settings(momentum=0.0, weight_decay=0.0, clip=5.0).optimizer_of(1.0), G, W)["a"]["w"]
    np.testing.assert_allclose(update, [-3, -4], rtol=1e-6)


def test_defaults_depend_on_the_optimizer():
    assert (Settings().lr, Settings().weight_decay) == (0.05, 5e-4)
    assert (Settings(optimizer="adamw").lr, Settings(optimizer="adamw", lr=1.0).lr) == (1e-3, 1.0)
    with pytest.raises(ValueError, match="'optimizer' must be in"):
        Settings(optimizer="lion")


def test_images_and_text_say_what_a_rate_counts():
    assert (Dataset.unit, text().unit) == ("images", "characters")
