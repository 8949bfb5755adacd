import statistics
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import testing
from lwps.core import Device, ShapedArray
from lwps.ops import random
from lwps.testing import processors
from lwps.tracing import record

on_each_processor = pytest.mark.parametrize("processor", testing.PROCESSORS)
words = st.integers(0, 2**32 - 1)
keys = st.builds(lambda x, y: np.array((x, y), np.uint32), words, words)
# around the 16 words of a vector, an odd last word, and the 8192 words of a CPU work-item
sizes = st.one_of(st.integers(0, 70), st.sampled_from((8191, 8192, 8193, 20001)))
# the last counters of a word pair, where sums of key and counter wrap
ALL_CASES = np.arange(1 << 24, dtype=np.uint32) << 8

# Random123's known answers for threefry2x32 with 20 rounds: key, counter, result
KNOWN = (
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
)


@pytest.fixture
def as_gpu(monkeypatch):
    """Runs a primitive's kernels for GPUs, in groups of 32, on every OpenCL device."""
    described = {
        name: (*found[:3], Device("gpu", max_work_group_size=32)) for name, found in processors._opencl().items()
    }
    monkeypatch.setattr(processors, "_opencl", lambda: described)


def threefry(key, counter):
    """The paper's algorithm on Python ints."""
    mask, rotations = 0xFFFFFFFF, (13, 15, 26, 6, 17, 29, 16, 24)
    ks = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + ks[0]) & mask, (counter[1] + ks[1]) & mask
    for r in range(20):
        x = (x + y) & mask
        y = ((y << rotations[r % 8] | y >> (32 - rotations[r % 8])) & mask) ^ x
        if r % 4 == 3:
            s = r // 4 + 1
            x, y = (x + ks[s % 3]) & mask, (y + ks[(s + 1) % 3] + s) & mask
    return x, y


def draw(processor, key, n, stream=0):
    (out,) = testing.run_primitive(random.random_bits_p, key, processor=processor, shape=(n,), stream=stream)
    return out


@pytest.mark.parametrize(("key", "counter", "result"), KNOWN)
@on_each_processor
def test_known_answers(processor, key, counter, result):
    assert threefry(key, counter) == result
    key, number = np.array(key, np.uint32), np.array(counter[0], np.uint32)
    (got,) = testing.run_primitive(random.random_block_p, key, number, processor=processor, stream=counter[1])
    assert tuple(got) == result


@on_each_processor
@given(key=keys, n=sizes, stream=words)
def test_bits_are_the_blocks_of_their_counters(processor, key, n, stream):
    got = draw(processor, key, n, stream)
    for i in {0, n // 2 - 1, n // 4, (n - 1) // 2} if n > 1 else range(n):
        expected = threefry(tuple(map(int, key)), (i, stream))
        assert tuple(got[2 * i : 2 * i + 2]) == expected[: n - 2 * i]


@on_each_processor
@given(key=keys, n=sizes, more=st.integers(0, 40))
def test_every_processor_draws_the_same_bits_and_fewer_are_the_beginning_of_more(processor, key, n, more):
    np.testing.assert_array_equal(draw(processor, key, n), random.bits(key, (n + more,))[:n])


@on_each_processor
@pytest.mark.parametrize("n", [1, 16, 511, 513, 5000])
def test_kernels_for_gpus_draw_the_same_bits(as_gpu, processor, n):
    np.testing.assert_array_equal(draw(processor, random.key(7), n), random.bits(random.key(7), (n,)))


def test_bits_have_the_shape_asked_for_and_are_used_in_row_order():
    np.testing.assert_array_equal(random.bits(random.key(1), (3, 5)).reshape(-1), random.bits(random.key(1), (15,)))
    assert random.bits(random.key(1), ()).shape == ()


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


def test_keys_are_the_words_of_their_seeds():
    np.testing.assert_array_equal(random.key(0x0123456789ABCDEF), np.array((0x01234567, 0x89ABCDEF), np.uint32))
    assert random.key(0).dtype == np.uint32


@given(key=keys, n=st.integers(1, 50))
def test_derived_keys_differ_from_one_another_and_from_the_bits(key, n):
    made = [*random.split(key, n), *(random.fold_in(key, k) for k in range(n)), *random.bits(key, (n, 2)), key]
    assert len({tuple(k) for k in made}) == len(made)


@given(key=keys, n=st.integers(0, 2**31 - 1))
def test_a_number_folds_in_alike_as_python_int_and_as_array(key, n):
    np.testing.assert_array_equal(random.fold_in(key, n), random.fold_in(key, np.array(n, np.int32)))


def test_random_ops_have_no_cotangent():
    key = random.key(0)
    u = random.uniform(key, (3,))
    primitives = ((random.random_bits_p, key), (random.bits_to_uniform_p, key), (random.normal_quantile_p, u, u))
    for primitive, *ins in primitives:
        assert primitive.vjp((u,), ins, (None,), (True,) * len(ins)) == (None,) * len(ins)


def test_bits_allocate_little():
    out, key = np.empty(1 << 20, np.uint32), random.key(0)
    (aval,) = random.random_bits_p.numpy.scratch(ShapedArray((2,), "uint32"), shape=out.shape, stream=0)
    work = np.empty(aval.shape, aval.dtype)
    tracemalloc.start()
    random.random_bits_p.numpy.run(out, key, work, shape=out.shape, stream=0)
    random.bits_to_uniform_p.numpy.run(out.view(np.float32), out)
    assert tracemalloc.get_traced_memory()[1] < out.nbytes / 8
    tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1.0, True, np.int32(3), "1", None])
def test_a_seed_that_is_no_python_int_is_refused(seed):
    with pytest.raises(TypeError, match=r"key: the seed must be a Python int, got .*; use fold_in"):
        random.key(seed)


def test_a_traced_seed_is_refused():
    with pytest.raises(TypeError, match=r"key: the seed must be a Python int, got int32\[\]; use fold_in"):
        record(lambda n: [random.key(n)], [ShapedArray((), "int32")])


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=r"key: the seed must be from 0 to 2\*\*64 - 1, got"):
        random.key(seed)


@pytest.mark.parametrize("key", [np.zeros(3, np.uint32), np.zeros(2, np.int32), np.zeros((1, 2), np.uint32)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(TypeError, match=r"random_bits: the key must be uint32\[2\], got"):
        random.bits(key, (3,))
    with pytest.raises(TypeError, match=r"random_block: the key must be uint32\[2\], got"):
        random.fold_in(key, 3)


def test_more_bits_than_kernels_count_are_refused():
    with pytest.raises(ValueError, match=r"random_bits: shape must have fewer than 2\*\*31 elements, got"):
        random.bits(random.key(0), (1 << 16, 1 << 15))


@pytest.mark.parametrize("n", [-1, 2**32])
def test_a_number_to_fold_in_out_of_range_is_refused(n):
    with pytest.raises(ValueError, match=r"fold_in: the number must be from 0 to 2\*\*32 - 1, got"):
        random.fold_in(random.key(0), n)


def test_a_number_to_fold_in_that_is_no_integer_scalar_is_refused():
    with pytest.raises(TypeError, match=r"fold_in: the number must be an integer, got float32\[\]"):
        random.fold_in(random.key(0), np.float32(1))
    with pytest.raises(TypeError, match=r"random_block: the counter must be a uint32 scalar, got uint32\[2\]"):
        random.fold_in(random.key(0), np.zeros(2, np.int32))


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
