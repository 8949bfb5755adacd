import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "found"), [({}, "4"), ({"OPENBLAS_THREAD_TIMEOUT": "26"}, "26")])
def test_idle_blas_threads_are_told_to_sleep_before_numpy_is_imported(given, found):
    code = (
        "import sys, os, importlib.util as u; s = u.find_spec('lwps'); from importlib import import_module as m;"
        "seen = [];"
        "f = type('F', (), {'find_spec': lambda self, name, *a:"
        " seen.append(os.environ.get('OPENBLAS_THREAD_TIMEOUT')) if name == 'numpy' else None})();"
        "sys.meta_path.insert(0, f); m('lwps'); print(seen[0])"
    )
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"} | given
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
