"""A kernel that never ends is named, though nothing can end it."""

import os
import subprocess
import sys
import textwrap

import pytest

from lwps import testing

ENDLESS = """
kernel void endless(global float *out, volatile global const float *x, int n)
{
    while (x[0] == 0)  // until somebody else writes: nobody does
        ;
    out[0] = x[0];
}
"""

PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import lwps
from lwps.core import Cost, Launch, Primitive, Variant

def launch(device, outs, ins, scratch):
    return (Launch("endless", (1,), (1,), (*outs, *ins, np.int32(1))),)

endless_p = Primitive(
    "endless", aval=lambda x: (x,), vjp=None, cost=lambda x: Cost(1, 4), numpy=lambda out, x: None,
    opencl=(Variant("endless.cl", launch, package="endless"),), alias=None, split=None,
)

def f(x):
    with lwps.layer("waiting_room"):
        return endless_p.bind(x + 1.0)[0] * 2.0

lwps.jit(f, placement={processor!r})(np.full(4, -1, np.float32))
"""


@pytest.mark.parametrize("processor", [p for p in testing.PROCESSORS[1:] if p.startswith("cl-cpu")])
def test_a_kernel_that_never_ends_is_named(tmp_path, processor):
    package = tmp_path / "endless"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "endless.cl").write_text(ENDLESS)
    program = textwrap.dedent(PROGRAM).format(folder=str(tmp_path), processor=processor)
    environment = {**os.environ, "LWPS_HANG_S": "0.5"}
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        for line in child.stderr:
            if "has not ended" in line:
                break
        else:
            pytest.fail("the child ended without naming its kernel")
    finally:
        child.kill()
        child.communicate()
    assert line.startswith(f"lwps: waiting_room/forward/endless#0 on {processor}: endless(float32[4]) in waiting_room")
    assert "has not ended for 1 s" in line or "has not ended for 0 s" in line
