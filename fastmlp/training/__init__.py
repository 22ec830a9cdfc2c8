"""Ways to train a core: `fit` from arguments to a `Session`, and single steps.

``fit.py`` checks and begins; ``session.py`` has the loop, ``lbfgs.py`` another one; ``batches.py`` and ``reader.py``
stand in for arrays where data come from an iterable. These use ``steps.py``, ``hooks.py`` and ``watch.py``.
"""
