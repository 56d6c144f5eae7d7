"""Settings that every test runs under; they must stand before NumPy or torch is imported."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings  # noqa: E402

# Without a deadline: the first example pays for imports and compilation. Derandomised: a failure comes back.
settings.register_profile("wormwood", deadline=None, derandomize=True)
settings.load_profile("wormwood")
