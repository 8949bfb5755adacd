"""Text that a trained model writes."""

import attrs
import pytest

from lwps.train import sample
from tests.train.small import SHORT, characters, run, text

DATA = text("abcd" * 100, context=8)


@pytest.fixture(scope="module")
def trained():
    model = characters(4)
    end = run(model, DATA, attrs.evolve(SHORT, steps=60, lr=0.5))
    return model, end.params, end.state, DATA


def test_a_model_writes_what_it_has_learnt(trained):
    assert sample(*trained, 10, prompt="bcd", temperature=0) == "abcdabcdab"
    assert sample(*trained, 10, temperature=0) == "bcdabcdabc"  # behind the first character of the vocabulary


def test_what_is_drawn_depends_on_the_seed_and_nothing_else(trained):
    drawn = [sample(*trained, 40, temperature=20, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) == set("abcd")


def test_a_prompt_may_be_longer_than_what_is_seen(trained):
    assert sample(*trained, 3, prompt="abcd" * 10, temperature=0) == "abc"


def test_what_cannot_be_is_refused(trained):
    with pytest.raises(ValueError, match="encode: characters must be of the vocabulary, got 'x'"):
        sample(*trained, 1, prompt="ax")
    with pytest.raises(ValueError, match="sample: temperature must be at least 0, got -1"):
        sample(*trained, 1, temperature=-1)
