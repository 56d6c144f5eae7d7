import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from wormwood import compilation

SCRIPT = """
import time
from wormwood.trees import native_grower, predicting
from wormwood.trees.warm_up import warm_up
began = time.perf_counter()
warm_up([2])
for kernel in (native_grower._grow_greedy, native_grower._grow_oblivious, predicting._subtract_by_groups):
    print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
print(time.perf_counter() - began)
"""


def test_a_second_process_loads_the_kernels_that_the_first_compiled():
    outputs = [
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout.split("\n")
        for _ in range(2)
    ]
    assert outputs[1][:3] == ["1 0"] * 3
    assert float(outputs[1][3]) < 5


STAMPED = """
import sys
import time
from wormwood import compilation
compilation._source_stamp = lambda folder: (sys.argv[1], 1)
import numpy as np
from wormwood.trees.binning import all_finite
assert all_finite(np.ones(3)) and not all_finite(np.array([1.0, np.nan]))
print(sum(all_finite.stats.cache_hits.values()))
"""


def test_another_state_of_the_sources_compiles_anew(tmp_path):
    hits = [
        subprocess.run(
            [sys.executable, "-c", STAMPED, stamp],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        ).stdout.strip()
        for stamp in ("one", "one", "two")
    ]
    assert hits == ["0", "1", "0"]


def test_without_numbas_private_stamp_nothing_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def compile_(function):
        cache = SimpleNamespace(_cache_file=SimpleNamespace())
        made.append(SimpleNamespace(kept=False, _cache=cache))
        made[-1].enable_caching = lambda own=made[-1]: setattr(own, "kept", True)
        return made[-1]

    monkeypatch.setattr(compilation.numba, "njit", lambda **options: compile_)
    kernel = compilation.kernel(abs)
    assert [one.kept for one in made] == [True, False]
    assert kernel is made[1]


def test_a_long_compilation_is_announced(capsys):
    for signatures, said in (((), "compiling a kernel, once on this machine: this takes some seconds\n"), ((1,), "")):
        with compilation.announced(SimpleNamespace(signatures=signatures), "a kernel", after=0.01):
            time.sleep(0.2)
        assert capsys.readouterr().err == said
    with compilation.announced(SimpleNamespace(), "a kernel", after=60.0):
        pass
    assert capsys.readouterr().err == ""
