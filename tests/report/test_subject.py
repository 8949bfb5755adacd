"""What commands trace of a model that they are given by name."""

import numpy as np
import pytest

from lwps.core import ShapedArray
from lwps.report.subject import Subject


@pytest.mark.parametrize(("model", "draws"), [("mobilenet_v2", True), ("mlp", False)])
def test_a_model_that_draws_random_numbers_gets_a_key(model, draws):
    program, arrays = Subject(model, batch=2, image_size=8).trace()
    assert (program.inputs[-1].aval == ShapedArray((2,), "uint32")) == draws
    assert [a.shape for a in arrays] == [v.aval.shape for v in program.inputs]
    assert all(np.isfinite(a).all() for a in arrays)
