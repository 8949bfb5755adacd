import pytest

from lwps.plan import Copy, Flush, Range, Run, Wait
from lwps.transforms.hazards import HazardError, prove

NAMES = ("first", "second", "third")


def at(value, start=0, stop=64, space="arena0@shared"):
    return Range(space, start, stop, value)


def run(eqn, processor, reads=(), writes=()):
    return Run(eqn, processor, tuple(reads), tuple(writes))


GOOD = [
    run(0, "gpu", writes=[at(0)]),
    Wait("gpu", 0),
    run(1, "cpu", reads=[at(0)], writes=[at(1, 64, 128)]),
    run(2, "gpu", reads=[at(1, 64, 128)], writes=[at(2)]),
    Wait("gpu", 3),
]


def test_a_list_with_its_waits_is_accepted():
    prove(GOOD, NAMES)


def test_a_missing_wait_is_refused_by_both_names():
    with pytest.raises(HazardError, match=r"second on cpu and first on gpu must be ordered.*bytes 0 to 64"):
        prove([GOOD[0], *GOOD[2:3], run(2, "gpu", [at(1, 64, 128)], [at(2)]), Wait("gpu", 2)], NAMES)


def test_a_step_that_begins_before_the_last_one_has_ended_is_refused():
    late_host = [
        run(0, "cpu", writes=[at(0)]),
        run(1, "gpu", reads=[at(0)], writes=[at(1, 64, 128)]),
    ]
    with pytest.raises(HazardError, match=r"first on cpu and second on gpu must be ordered"):
        prove(late_host, NAMES)
    prove([*late_host, Wait("gpu", 1)], NAMES)


def test_bytes_reused_too_early_are_refused():
    early = [
        run(0, "gpu", writes=[at(0)]),
        run(1, "gpu", reads=[at(0)], writes=[at(1, 32, 96)]),
        run(2, "gpu", reads=[at(0)], writes=[at(2, 128, 192)]),
        Wait("gpu", 2),
    ]
    with pytest.raises(HazardError, match=r"third on gpu must find value 0 .* got value 1 in 32 to 96"):
        prove(early, NAMES)


def test_a_read_at_a_wrong_offset_is_refused():
    with pytest.raises(HazardError, match="must find value 0"):
        prove([run(0, "cpu", writes=[at(0)]), run(1, "cpu", reads=[at(0, 4, 68)], writes=[at(1, 128, 192)])], NAMES)


def test_a_missing_copy_is_refused():
    device = Range("arena0@gpu", 0, 64, 0)
    host = Range("arena0@cpu", 0, 64, 0)
    done = [
        run(0, "gpu", writes=[device]),
        Copy("gpu", (device,), (host,)),
        Wait("gpu", 1),
        run(1, "cpu", reads=[host]),
    ]
    prove(done, NAMES)
    with pytest.raises(HazardError, match="nothing written there"):
        prove([done[0], Wait("gpu", 0), done[3]], NAMES)


def test_queues_are_not_ordered_with_each_other():
    lists = [
        run(0, "gpu", writes=[at(0)]),
        run(1, "gpu1", reads=[at(0)], writes=[at(1, 64, 128)]),
        Wait("gpu", 0),
        Wait("gpu1", 1),
    ]
    with pytest.raises(HazardError, match="second on gpu1 and first on gpu"):
        prove(lists, NAMES)
    prove([lists[0], Wait("gpu", 0), lists[1], Wait("gpu1", 2)], NAMES)


def test_a_wait_for_something_later_is_refused():
    with pytest.raises(HazardError, match="a wait must be for an instruction before it"):
        prove([Wait("gpu", 1), run(0, "gpu", writes=[at(0)])], NAMES)


def test_an_input_that_does_not_arrive_there_is_refused():
    there, elsewhere = Range("in0@cpu", 0, 64, 0), Range("in0@gpu", 0, 64, 0)
    list_ = [Copy("gpu", (there,), (elsewhere,)), run(1, "gpu", [elsewhere], [at(1)]), Wait("gpu", 1)]
    prove(list_, NAMES, before=[there])
    with pytest.raises(HazardError, match=r"second on gpu must find value 0 .*in0@gpu, got nothing written there"):
        prove([list_[1], Wait("gpu", 0)], NAMES, before=[there])


def test_an_output_that_is_not_there_in_the_end_is_refused():
    out = Range("in0@cpu", 0, 64, 1)
    list_ = [run(0, "cpu", writes=[out]), run(1, "cpu", writes=[Range("in0@cpu", 0, 64, 2)])]
    prove(list_[:1], NAMES, after=[out])
    with pytest.raises(HazardError, match=r"must end with output value 1 in in0@cpu, got value 2 in 0 to 64"):
        prove(list_, NAMES, after=[out])


def test_a_step_that_ends_before_a_queue_has_is_refused():
    with pytest.raises(HazardError, match="must end after gpu has, got no wait"):
        prove([run(0, "gpu", writes=[at(0)])], NAMES)


def test_a_flush_orders_nothing():
    with pytest.raises(HazardError, match="must be ordered"):
        prove([run(0, "gpu", writes=[at(0)]), Flush("gpu"), run(1, "cpu", reads=[at(0)])], NAMES)
