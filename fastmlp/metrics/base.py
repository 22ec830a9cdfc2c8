"""What all metrics have in common."""

from typing import Any

import numpy as np

from fastmlp._validation import (
    Array,
    numeric_array,
)


def checked_array(name: str, values: Any) -> Array:
    """Numbers of some samples, as an array."""
    array = numeric_array(name, values)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} of shape {array.shape} holds no samples")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; drop or mend such samples first")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
