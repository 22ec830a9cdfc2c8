"""What a model keeps from call to call to spare allocations, and how much of it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmlp.model import Model

# Bytes. Single calls on small batches find their buffers again; what a pass over a whole data set needed is given back:
# beside its work an allocation is little.
MOST_BYTES = 1 << 26


def trim(model: "Model", after_training: bool = False) -> None:
    """Give back the buffers of passes beyond the limit, the oldest first; after a training, and within its turn, also
    its copy of the weights where that is larger.

    Parameters
    ----------
    model : Model
    after_training : bool, default False
    """
    left = MOST_BYTES
    for key, run in reversed(list(model._runs.items())):  # a copy in one go: another thread may predict meanwhile
        if run.n_bytes > left:
            model._runs.pop(key, None)
        else:
            left -= run.n_bytes
    if after_training and model._network is not None:
        model._network.forget(MOST_BYTES)
