import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import testing
from lwps.core import Device, ShapedArray
from lwps.ops import random
from lwps.ops.threefry import random_bits_p, random_block_p
from lwps.testing import processors
from lwps.tracing import record

on_each_processor = pytest.mark.parametrize("processor", testing.PROCESSORS)
words = st.integers(0, 2**32 - 1)
keys = st.builds(lambda x, y: np.array((x, y), np.uint32), words, words)
# around the 16 words of a vector, an odd last word, and the 8192 words of a CPU work-item
sizes = st.one_of(st.integers(0, 70), st.sampled_from((8191, 8192, 8193, 20001)))


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
    (out,) = testing.run_primitive(random_bits_p, key, processor=processor, shape=(n,), stream=stream)
    return out


@pytest.mark.parametrize(("key", "counter", "result"), KNOWN)
@on_each_processor
def test_known_answers(processor, key, counter, result):
    assert threefry(key, counter) == result
    key, number = np.array(key, np.uint32), np.array(counter[0], np.uint32)
    (got,) = testing.run_primitive(random_block_p, key, number, processor=processor, stream=counter[1])
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


def test_bits_allocate_little():
    out, key = np.empty(1 << 20, np.uint32), random.key(0)
    (aval,) = random_bits_p.numpy.scratch(ShapedArray((2,), "uint32"), shape=out.shape, stream=0)
    work = np.empty(aval.shape, aval.dtype)
    tracemalloc.start()
    random_bits_p.numpy.run(out, key, work, shape=out.shape, stream=0)
    random.bits_to_uniform_p.numpy.run(out.view(np.float32), out)
    assert tracemalloc.get_traced_memory()[1] < out.nbytes / 8
    tracemalloc.stop()


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
