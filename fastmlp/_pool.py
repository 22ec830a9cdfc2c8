"""What a model keeps from call to call to spare allocations, and how much of it."""

from typing import Any

# Bytes. Single calls on small batches find their buffers again; what a pass over a whole data set needed is given back:
# beside its work an allocation is little.
MOST_BYTES = 1 << 26


def trim(runs: dict[Any, Any]) -> None:
    """Give back the buffers of passes beyond the limit, the oldest first.

    Parameters
    ----------
    runs : dict of _engine.Run
        From the oldest to the newest.
    """
    left = MOST_BYTES
    for key, run in reversed(list(runs.items())):  # a copy in one go: another thread may predict meanwhile
        if run.n_bytes > left:
            runs.pop(key, None)
        else:
            left -= run.n_bytes
