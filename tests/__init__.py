"""Tests, and what is set before NumPy is imported, here and in the processes that they start."""

import os

# Other processes test on the other cores; threads that OpenBLAS starts, and the product never uses, take a sixth of the
# time in which a command starts.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
