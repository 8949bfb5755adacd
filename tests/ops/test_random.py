import statistics

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lwps
from lwps import testing
from lwps.ops import random
from lwps.ops.threefry import random_bits_p

words = st.integers(0, 2**32 - 1)
keys = st.builds(lambda x, y: np.array((x, y), np.uint32), words, words)
on_each_processor = pytest.mark.parametrize("processor", testing.PROCESSORS)
# the last counters of a word pair, where sums of key and counter wrap
ALL_CASES = np.arange(1 << 24, dtype=np.uint32) << 8


@on_each_processor
def test_uniforms_are_the_top_24_bits_exactly(processor):
    edges = np.array((0, 255, 256, 2**31, 2**32 - 257, 2**32 - 256, 2**32 - 1), np.uint32)
    bits = np.concatenate((edges, random.bits(random.key(3), (5000,))))
    (u,) = testing.run_primitive(random.bits_to_uniform_p, bits, processor=processor)
    np.testing.assert_array_equal(u, (bits >> 8) / 2.0**24)
    assert u.dtype == np.float32
    assert u.min() == 0
    assert u.max() == 1 - 2**-24


@given(low=st.floats(-100, 100), width=st.floats(0.125, 100))
def test_uniforms_lie_between_their_limits(low, width):
    u = random.uniform(random.key(4), (1000,), low, low + width)
    assert u.dtype == np.float32
    assert np.float32(low) - 1e-4 <= u.min()
    assert u.max() <= np.float32(low + width) + 1e-4
    np.testing.assert_allclose(u.mean(), low + width / 2, atol=0.05 * width)


def normals(processor, bits):
    (v,) = testing.run_primitive(random.bits_to_symmetric_p, bits, processor=processor)
    (w,) = testing.run_primitive(random.tail_log_p, v, processor=processor)
    return v, testing.run_primitive(random.normal_quantile_p, v, w, processor=processor)[0]


@on_each_processor
def test_normals_are_quantiles_of_the_normal_distribution(processor):
    # both ends of the range, the middle, and 1/200 of what lies between
    bits = np.concatenate(
        (ALL_CASES[:2000], ALL_CASES[-2000:], ALL_CASES[(1 << 23) - 500 :][:1000], ALL_CASES[::12007])
    )
    v, z = normals(processor, bits)
    np.testing.assert_array_equal(v, (2.0 * (bits >> 8) + 1) / 2**24 - 1)
    # the smaller tail, so that no digits are lost in 1 - p
    quantile = statistics.NormalDist().inv_cdf
    expected = np.array([-np.sign(x) * quantile(float((1 - abs(x)) / 2)) for x in v.astype(np.float64)])
    ulps = np.abs(z - expected) / np.spacing(np.abs(expected).astype(np.float32))
    assert ulps.max() <= 8


@on_each_processor
def test_normals_agree_within_8_ulp_are_odd_and_increase(processor):
    bits = ALL_CASES[::61]
    (_, z), (_, reference) = normals(processor, bits), normals("cpu", bits)
    assert (np.abs(z - reference) <= 8 * np.spacing(np.abs(reference))).all()
    assert (np.diff(z) > 0).all()
    _, mirrored = normals(processor, ~bits)
    np.testing.assert_array_equal(mirrored, -z)


def test_normals_have_mean_0_and_variance_1():
    z = random.normal(random.key(5), (200, 500))
    assert z.dtype == np.float32
    assert z.shape == (200, 500)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)


@given(p=st.floats(0, 1), seed=st.integers(0, 2**64 - 1))
def test_bernoulli_is_true_with_its_probability(p, seed):
    drawn = random.bernoulli(random.key(seed), p, (20000,))
    assert drawn.dtype == np.bool_
    assert abs(drawn.mean() - p) <= 6 * np.sqrt(p * (1 - p) / drawn.size) + 1e-6


def test_bernoulli_of_0_and_1_is_certain_and_p_may_be_an_array():
    p = np.array((0, 1, 0.5), np.float32)
    drawn = random.bernoulli(random.key(2), p, (4000, 3))
    assert not drawn[:, 0].any()
    assert drawn[:, 1].all()
    assert 1800 < drawn[:, 2].sum() < 2200


@given(rate=st.floats(0, 0.95), dtype=st.sampled_from((np.float32, np.float64)))
def test_dropout_drops_at_its_rate_and_scales_the_rest(rate, dtype):
    x = np.full((100, 100), 3, dtype)
    y = random.dropout(x, rate, random.key(6))
    kept = y != 0
    assert y.dtype == dtype
    np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 0.03


def test_dropout_hides_a_nan_that_it_drops():
    y = random.dropout(np.full(1000, np.nan, np.float32), 0.5, random.key(1))
    assert 400 < (y == 0).sum() < 600
    assert np.isnan(y[y != 0]).all()


def test_random_ops_have_no_cotangent():
    key = random.key(0)
    u = random.uniform(key, (3,))
    primitives = ((random_bits_p, key), (random.bits_to_uniform_p, key), (random.normal_quantile_p, u, u))
    for primitive, *ins in primitives:
        assert primitive.vjp((u,), ins, (None,), (True,) * len(ins)) == (None,) * len(ins)


# --- other distributions ----------------------------------------------------------------------------


@on_each_processor
@given(high=words, low=words, span=words)
@example(high=2**32 - 1, low=2**32 - 1, span=2**32 - 1)  # the carry of the low word
@example(high=2**31, low=0, span=2**32 - 1)
def test_a_range_is_the_high_part_of_a_product_of_96_bits(processor, high, low, span):
    ins = [np.full(3, x, np.uint32) for x in (high, low)] + [np.array(span, np.uint32)]
    (k,) = testing.run_primitive(random.bits_to_range_p, *ins, processor=processor)
    np.testing.assert_array_equal(k, np.uint32(span * (high * 2**32 + low) >> 64))


@given(low=st.integers(-(2**31), 2**31 - 1), span=st.sampled_from((1, 2, 3, 1000, 2**31, 2**32 - 1)), key=keys)
def test_integers_lie_between_their_limits(low, span, key):
    high = min(low + span, 2**31)
    drawn = random.randint(key, (50, 3), low, high)
    assert (drawn.dtype, drawn.shape) == (np.int32, (50, 3))
    assert low <= drawn.min()
    assert drawn.max() < high


def test_integers_are_equally_likely_and_limits_may_be_arrays():
    counts = np.bincount(random.randint(random.key(0), (60000,), 0, 6), minlength=6)
    assert np.abs(counts - 10000).max() < 5 * np.sqrt(10000 * 5 / 6)
    drawn = random.randint(random.key(1), (1000, 2), np.int32([-5, 7]), np.int32([-3, 8]))
    assert set(drawn[:, 0].tolist()) == {-5, -4}
    assert set(drawn[:, 1].tolist()) == {7}


@given(lower=st.floats(-4, 3), width=st.floats(0.01, 6), key=keys)
def test_truncated_normals_lie_between_their_limits(lower, width, key):
    z = random.truncated_normal(key, lower, lower + width, (500,))
    assert z.dtype == np.float32
    assert np.float32(lower) <= z.min()
    assert z.max() <= np.float32(lower + width)


@on_each_processor
@pytest.mark.parametrize(("lower", "upper"), [(-2, 2), (0, np.inf), (-np.inf, np.inf), (3, 4)])
def test_truncated_normals_are_quantiles_and_agree_within_8_ulp(processor, lower, upper):
    def draw(key):
        return random.truncated_normal(key, lower, upper, (20000,))

    z = np.sort(np.asarray(lwps.jit(draw, placement=processor)(random.key(3))))
    assert (np.abs(z - np.sort(draw(random.key(3)))) <= 8 * np.spacing(np.abs(z))).all()
    cdf = statistics.NormalDist().cdf
    below, above = cdf(lower), cdf(upper)
    shares = [(cdf(x) - below) / (above - below) for x in z.astype(float)]
    # Kolmogorov's distance: 1.95 / sqrt(n) is passed once in a thousand
    assert np.abs(np.array(shares) - (np.arange(z.size) + 0.5) / z.size).max() < 1.95 / np.sqrt(z.size)


def test_exponentials_and_gumbels_have_their_mean_and_variance():
    for draw, mean, variance in ((random.exponential, 1, 1), (random.gumbel, np.euler_gamma, np.pi**2 / 6)):
        x = draw(random.key(1), (300, 300)).astype(np.float64)
        assert np.isfinite(x).all()
        assert abs(x.mean() - mean) < 4 * np.sqrt(variance / x.size)
        assert abs(x.var() - variance) < 0.05 * variance


def test_the_ends_of_the_uniforms_give_finite_exponentials_and_gumbels(monkeypatch):
    ends = np.float32([0, 1 - 2**-24])
    monkeypatch.setattr(random, "uniform", lambda key, shape: ends)
    np.testing.assert_allclose(random.exponential(None, (2,)), [0, 16.635532], rtol=1e-6)
    np.testing.assert_allclose(random.gumbel(None, (2,)), [-2.8525, 16.635532], rtol=1e-4)


def test_classes_are_drawn_with_the_softmax_of_their_logits():
    shares = np.array([0.1, 0.2, 0, 0.7])
    with np.errstate(divide="ignore"):
        logits = np.log(shares).astype(np.float32) + 50
    drawn = random.categorical(random.key(2), np.stack([logits, logits[::-1]], 1), axis=0, shape=(20000, 2))
    assert drawn.dtype == np.int32
    for k, want in enumerate((shares, shares[::-1])):
        got = np.bincount(drawn[:, k], minlength=4) / 20000
        assert (np.abs(got - want) <= 5 * np.sqrt(want * (1 - want) / 20000)).all()
    assert random.categorical(random.key(0), np.zeros((3, 5))).shape == (3,)


def test_choice_draws_elements_of_the_first_axis():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    drawn = random.choice(random.key(0), rows, (4, 100))
    assert drawn.shape == (4, 100, 2)
    assert set(drawn[..., 0].reshape(-1).tolist()) == {0, 2, 4}
    np.testing.assert_array_equal(drawn[..., 1], drawn[..., 0] + 1)
    numbers = random.choice(random.key(0), 3, (1000,), p=np.float32([0.5, 0, 0.5]))
    assert 400 < (numbers == 0).sum() < 600
    assert set(numbers.tolist()) == {0, 2}


def test_permutations_hold_every_element_once_and_reach_every_order():
    assert sorted(random.permutation(random.key(0), 5000).tolist()) == list(range(5000))
    seen = {}
    for k in range(2400):
        order = tuple(random.permutation(random.fold_in(random.key(1), k), 4).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 24
    assert max(abs(n - 100) for n in seen.values()) < 5 * np.sqrt(100)
    rows = np.arange(12).reshape(3, 4)
    columns = random.permutation(random.key(2), rows, axis=-1)
    np.testing.assert_array_equal(columns - columns[:1], 4 * np.arange(3)[:, None] + np.zeros((1, 4), int))


@on_each_processor
def test_permutations_are_the_same_on_every_processor(processor):
    x = np.arange(3000, dtype=np.float32)
    got = lwps.jit(lambda key, x: random.permutation(key, x), placement=processor)(random.key(3), x)
    np.testing.assert_array_equal(got, random.permutation(random.key(3), x))


def test_choice_without_replacement_draws_none_twice_and_by_its_weights():
    drawn = np.array([random.choice(random.fold_in(random.key(0), k), 5, (2, 2), replace=False) for k in range(300)])
    assert all(len(set(d.reshape(-1).tolist())) == 4 for d in drawn)
    p = np.float32([0.5, 0.3, 0.2, 0])
    rows = np.array([random.choice(random.fold_in(random.key(1), k), 4, (2,), False, p) for k in range(1500)])
    first = np.bincount(rows[:, 0], minlength=4) / 1500
    assert np.abs(first - p).max() < 0.06
    both = np.mean((rows[:, 0] == 0) & (rows[:, 1] == 1))  # 0.5 then 0.3 of what is left
    assert abs(both - 0.5 * 0.3 / 0.5) < 0.06
    assert not (rows == 3).any()


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=r"bernoulli: p must be from 0 to 1, got"):
        random.bernoulli(random.key(0), p, (3,))


@pytest.mark.parametrize("p", [np.zeros(2, np.float32), np.zeros((2, 3), np.float32), np.zeros(3, np.int32)])
def test_probabilities_that_do_not_fit_the_shape_are_refused(p):
    with pytest.raises(TypeError, match=r"bernoulli: p must be floats that broadcast to \[3\], got"):
        random.bernoulli(random.key(0), p, (3,))


@pytest.mark.parametrize("rate", [1.0, -0.5, float("nan"), np.zeros(())])
def test_a_dropout_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"dropout: rate must be a Python number from 0 to below 1, got"):
        random.dropout(np.zeros(3, np.float32), rate, random.key(0))


def test_dropout_of_integers_is_refused():
    with pytest.raises(TypeError, match=r"dropout: x must be floats, got int32\[3\]; use astype"):
        random.dropout(np.zeros(3, np.int32), 0.5, random.key(0))


@pytest.mark.parametrize(("low", "high"), [(3, 3), (5, 4), (-(2**31) - 1, 0), (0, 2**31 + 1), (-(2**31), 2**31)])
def test_integer_limits_out_of_range_are_refused(low, high):
    with pytest.raises(ValueError, match=r"randint: minval must be below maxval, .*, got"):
        random.randint(random.key(0), (3,), low, high)


def test_integer_limits_that_do_not_fit_are_refused():
    for limit in (np.zeros(3, np.float32), np.zeros(2, np.int32)):
        with pytest.raises(TypeError, match=r"randint: limits must be int32 that broadcast to \[3\], got"):
            random.randint(random.key(0), (3,), 0, limit)


@pytest.mark.parametrize(("lower", "upper"), [(1, 1), (2, 1), (8, np.inf), (np.nan, 1), (0, 1e-9)])
def test_limits_without_normals_between_are_refused(lower, upper):
    with pytest.raises(ValueError, match=r"truncated_normal: at least 2\*\*-24 .* must lie between the limits, got"):
        random.truncated_normal(random.key(0), lower, upper, (3,))
    with pytest.raises(TypeError, match="truncated_normal: limits must be Python numbers, got ndarray"):
        random.truncated_normal(random.key(0), np.zeros(2), 1, (3,))


def test_what_cannot_be_chosen_from_is_refused():
    key = random.key(0)
    with pytest.raises(TypeError, match=r"categorical: logits must be floats with an axis -1, got int32\[3\]"):
        random.categorical(key, np.zeros(3, np.int32))
    with pytest.raises(TypeError, match=r"categorical: logits must be floats with an axis 1, got float64\[3\]"):
        random.categorical(key, np.zeros(3), axis=1)
    with pytest.raises(ValueError, match=r"categorical: shape must end with \[2\] .*, got \[3\]"):
        random.categorical(key, np.zeros((2, 5)), shape=(3,))
    with pytest.raises(ValueError, match="choice: a must have 1 elements to draw, got 0"):
        random.choice(key, 0)
    with pytest.raises(ValueError, match=r"choice: a must have 1 elements to draw, got float64\[0,2\]"):
        random.choice(key, np.zeros((0, 2)))
    with pytest.raises(TypeError, match=r"choice: p must be floats \[3\], one for each element, got float64\[2\]"):
        random.choice(key, 3, p=np.zeros(2))
    with pytest.raises(ValueError, match="choice: a must have 4 elements to draw, got 3"):
        random.choice(key, 3, (2, 2), replace=False)
    with pytest.raises(TypeError, match=r"permutation: x must be an int or have an axis 1, got float64\[2\]"):
        random.permutation(key, np.zeros(2), 1)
