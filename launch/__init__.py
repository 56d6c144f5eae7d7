"""Training, evaluation and the command line.

One thread per process: results depend on it to the bit, and workers share the cores better. The variables must stand
before NumPy is imported, and workers inherit them.
"""

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
