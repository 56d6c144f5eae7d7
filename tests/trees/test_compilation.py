import subprocess
import sys

SCRIPT = """
import time
from wormwood.trees import native_grower, predicting
from wormwood.trees.compilation import warm_up
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
