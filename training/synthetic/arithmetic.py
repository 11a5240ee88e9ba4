"""The same bits on every processor: NumPy and OpenBLAS choose their instructions by it, and round differently.

Found stage by stage: NumPy takes sines, powers and logarithms from other routines where there is AVX-512, and OpenBLAS
multiplies small matrices in another order on each family of processors. Mesa's drawing is the same with any width of
vectors, as long as the processor has fused multiply-add. So the processes that draw are held to what every x86-64-v3
processor (AVX2 and FMA, since 2013) has.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from training.environment import environment

_PINNED: Final = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "LP_NATIVE_VECTOR_WIDTH": "256",
}


@contextmanager
def pinned_arithmetic() -> Iterator[None]:
    """Processes started meanwhile calculate alike on all x86-64-v3 processors; this one goes on as it began.

    The libraries read these variables when they are loaded, so they bind new processes only.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        yield
        return
    with environment(_PINNED):
        yield
