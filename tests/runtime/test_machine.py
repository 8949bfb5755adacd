import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import lwps
from lwps import testing, tracing
from lwps.runtime import kernels
from lwps.runtime.machine import Machine, MachineError
from lwps.runtime.memory import Memory
from tests.steps import mlp_args, mlp_step

WITHOUT_DRIVERS = """
import warnings, numpy as np, lwps
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    machine = lwps.Machine.detect()
(warning,) = [w for w in caught if "lwps" in str(w.message)]
assert "pip install pyopencl[pocl]" in str(warning.message) and chr(10) not in str(warning.message)
assert machine.names == ("cpu",), machine.names
step = lwps.jit(lambda x: lwps.grad(lambda x: (x * x).sum())(x), machine=machine)
assert np.asarray(step(np.ones(3, np.float32))).tolist() == [2, 2, 2]
assert step.receipt.chosen == "cpu"
"""


def test_without_an_opencl_platform_everything_runs_on_cpu_and_one_line_says_what_to_install(tmp_path):
    # a folder without .icd files: the loader finds no platform; the variable must name it with a trailing slash
    empty = tmp_path / "vendors"
    empty.mkdir()
    code = (
        "import pyopencl as cl\ndef none(): raise cl.LogicError('clGetPlatformIDs', -1001)\ncl.get_platforms = none\n"
    )
    env = {**os.environ, "OCL_ICD_VENDORS": f"{empty}/", "LWPS_CACHE_DIR": ""}
    done = subprocess.run([sys.executable, "-c", code + WITHOUT_DRIVERS], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_processors_are_found_by_name_and_unknown_ones_refused():
    assert Machine.detect(["cpu"]).names == ("cpu",)
    with pytest.raises(MachineError, match=r"processors must be among cpu.*, got tpu"):
        Machine.detect(["cpu", "tpu"])
    with pytest.raises(MachineError, match=r"must be one of svm-fine, svm-coarse, host-ptr, copy, got 'telepathy'"):
        Machine.detect(memory="telepathy")


def test_cpu_is_always_there():
    assert Machine.detect(testing.PROCESSORS[1:2]).names == testing.PROCESSORS[:2]


@pytest.mark.skipif(len(testing.PROCESSORS) < 2, reason="needs an OpenCL device")
def test_a_kernel_that_does_not_build_shows_its_numbered_source(tmp_path, monkeypatch):
    machine = Machine.detect(testing.PROCESSORS[:2])
    with pytest.raises(kernels.KernelBuildError, match=r"(?s)-DN=3.*   1 kernel void f\(\) \{ nonsense; \}"):
        machine.kernels[machine.names[-1]].kernel("kernel void f() { nonsense; }", "-DN=3", "f")


def test_blocks_return_to_the_pool_when_their_last_holder_goes():
    memory = Memory(Machine.detect(["cpu"]))
    slot = memory.slot(1000)
    block = slot.block("shared")
    view = slot.valid.add("shared") or slot.export(lwps.ShapedArray((10,), "float32"))
    del slot
    assert memory.take("shared", 1000) is not block, "a view still holds it"
    del view
    assert memory.take("shared", 1000) is block


@pytest.mark.parametrize("mode", testing.MEMORY_MODES)
@pytest.mark.parametrize("processor", testing.PROCESSORS[:2])
def test_memory_does_not_grow_and_a_step_allocates_nothing_of_size(mode, processor):
    """Over 100 steps of a step whose values are 4 MB each."""
    machine = lwps.default_machine(testing.PROCESSORS[:2], mode)
    step = lwps.jit(mlp_step, donate_argnums=(0, 1), placement=processor, machine=machine)
    params, momenta, x, y, lr = mlp_args(batch=1024, sizes=(64, 1024, 8))
    for _ in range(3):
        params, momenta, loss = step(params, momenta, x, y, lr)
    pool = step.compiled.executable.memory
    before = pool.allocated
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        params, momenta, loss = step(params, momenta, x, y, lr)
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.isfinite(float(loss))
    assert pool.allocated == before
    assert current - start < 100_000
    assert peak - start < 1_000_000


def test_large_values_are_refused_by_name_where_one_allocation_cannot_hold_them(monkeypatch):
    monkeypatch.setattr(Machine, "largest_allocation", property(lambda self: 1024))
    program = lwps.optimize(tracing.trace(lambda x: (x @ x).sum(), np.ones((32, 32), np.float32)))
    machine = Machine.detect(["cpu"])
    with pytest.raises(MemoryError, match=r"must hold 4096 bytes for one value, got a limit of 1024"):
        lwps.compile(program, lwps.Placement.everywhere(program, "cpu"), machine)
