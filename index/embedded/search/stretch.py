"""What one thread searches before it looks at what others have found."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.embedded.search.row_block import RowBlock


class Stretch(NamedTuple):
    """Rows of a block that are searched together.

    Attributes:
        number: of the block, as `Nearest` knows it.
        searched: (stop - start,) bool, which of the rows are searched. Nobody changes it meanwhile.
    """

    block: RowBlock
    number: int
    start: int
    stop: int
    searched: NDArray[np.bool_]
