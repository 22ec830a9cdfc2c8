"""The verbs of a model that change its weights."""

from __future__ import annotations  # help() then shows npt.ArrayLike by name

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from fastmlp._validation import LayerArrays
from fastmlp.callbacks import Callback
from fastmlp.core import Core
from fastmlp.history import History
from fastmlp.training import single
from fastmlp.training.fit import Options, fit


class Trains:
    """What trains."""

    _core: Core

    def fit(
        self,
        X: npt.ArrayLike | Iterable[Any],
        y: npt.ArrayLike | None = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[npt.ArrayLike, npt.ArrayLike] | Iterable[Any] | None = None,
        shuffle: bool = True,
        callbacks: Sequence[Callback] | Callback | None = (),
        verbose: int | str = 1,
        *,
        validation_split: float = 0.0,
        steps_per_epoch: int | None = None,
        initial_epoch: int = 0,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> History:
        """Train for some epochs; a second call goes on where the first stopped.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...), or iterable of batches
            Flattened to (n_samples, n_inputs). float32, float64 and uint8 arrays, memory maps and strided views
            included, are read in place, other dtypes converted first. Without y: batches (X, y), see the notes.
        y : array_like
            Targets: see the loss. Integer labels of shape (n_samples,) for softmax_cross_entropy, for example.
        batch_size : int, default 32
            Samples of a step; the last step of an epoch takes what is left. More than n_samples means all. Not used
            with an iterable, whose batches are the steps, in their order.
        epochs : int, default 1
            Passes over the data.
        validation_data : tuple (X, y) or (X, y, sample_weight), iterable of such batches, or None, default None
            Evaluated after every epoch. An iterable must begin anew each time, as a list does; see `evaluate`.
        validation_split : float, default 0.0
            Share of the samples, in [0, 1), to hold out and evaluate after every epoch instead of validation_data;
            drawn from the model's seed, of each class its share where y holds classes. Nothing is copied. The order
            of time does not count: to hold out the end of a series give it as validation_data.
        shuffle : bool, default True
            Visit the samples in a new order in each epoch.
        callbacks : sequence of Callback, Callback or None, default ()
        verbose : {0, 1, 2, "auto"}, default 1
            0 silent, 1 or "auto" a line for each epoch on stdout, and on a terminal or in a notebook a bar over the
            whole training, 2 lines alone.
        steps_per_epoch : int or None, default None
            Batches of an epoch, for an iterable alone. None: all of a pass over it.
        initial_epoch : int, default 0
            Number of the first epoch, where a training goes on that was interrupted: `epochs` is then where it ends,
            and the history goes on from ``model.history``, which has those before. At most `epochs`, for which there
            is nothing to do. See `Checkpoint`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            At least 0, and not all 0 in the model's dtype; those of a batch of an iterable may be. The loss of a batch
            is ``sum(w_i * loss_i) / n_samples``, as in Keras: not divided by the sum of the weights. A sample
            of weight 0 takes no part in the loss, nor in the statistics of a preprocessing; batch normalisation and
            accuracies see it.
        class_weight : dict of int to float or None, default None
            Weights by class, multiplied with `sample_weight`; 1 for classes that it does not name. For
            softmax_cross_entropy, where the class of a row of probabilities is the most probable one, and for losses of
            a single output with the classes 0 and 1.

        Returns
        -------
        History
            Of this call: "loss" and for a classification "accuracy", means over the steps of an epoch while the
            weights moved; "val_loss", "val_accuracy" and the model's metrics, "val_f1" for example, at its end;
            "learning_rate" of its last step where that follows a schedule. Losses are weighted, "val_loss" by the
            weights in validation_data, or by the held-out part of sample_weight, and never by class_weight; accuracies
            and metrics are not. Why the training ended is in
            `History.stopped`: Ctrl-C ends it with the epochs so far, and the model stays as it is then.

        Raises
        ------
        ValueError, TypeError
            Before anything has changed; but after the first epoch for validation data that the preprocessing makes too
            large for the dtype, or whose batches have weights of 0 alone, and in the end where all batches had such.
        DivergedError
            The loss, a weight or a running statistic became NaN or infinite; the weights are those before the epoch in
            which it did, and the states of the optimizer start afresh. Schedules and masks of dropout go on.

        Notes
        -----
        A list of batches, any object whose ``__iter__`` begins anew, or one that has a length and items by number gives
        a whole epoch each time, or its first `steps_per_epoch` batches. A generator or another iterator goes on from
        one epoch, and from one `fit`, to the next: `steps_per_epoch` says where an epoch ends. Batches may differ in
        size. The weights get the bits that `train_on_batch` would give over the same batches.

        A thread reads ahead: at most 8 batches, or 64 MiB of them. Of an iterator it takes no more than
        ``epochs * steps_per_epoch`` batches; those that it has read when the training stops early are kept for the
        next `fit` with the same iterator. Each batch is checked and copied when it is read, so that the iterable may
        write into its arrays again. What it raises comes out of `fit`, with its traceback.

        After its first epoch the first training of a regression warns where targets are far from the scale of the
        outputs; by `LBFGS` it does not, as that chooses the length of its steps itself.

        Examples
        --------
        >>> import numpy as np
        >>> import fastmlp as fm
        >>> X, y = fm.datasets.load_digits()
        >>> def noisy(rng):
        ...     while True:
        ...         rows = rng.integers(0, len(X), 64)
        ...         yield X[rows] / 16 + rng.normal(0, 0.1, (64, 64)), y[rows]
        >>> model = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], "softmax_cross_entropy", "adam")
        >>> history = model.fit(noisy(np.random.default_rng(0)), steps_per_epoch=100, epochs=3, verbose=0)
        >>> len(history["loss"])
        3
        """
        options = Options(
            batch_size, epochs, validation_data, shuffle, callbacks, verbose, validation_split, steps_per_epoch,
            initial_epoch, sample_weight, class_weight,
        )  # fmt: skip
        return fit(self._core, self, X, y, options)

    def train_on_batch(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """One step of the optimizer on one batch.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`.

        Returns
        -------
        float
            The mean loss of the batch before the step.

        Raises
        ------
        ValueError, TypeError
            Before anything has changed.
        DivergedError
            The loss is NaN or infinite; the weights are as before.
        """
        return single.train_on_batch(self._core, X, y, sample_weight)

    def loss_and_gradients(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> tuple[float, LayerArrays]:
        """The mean loss over all samples, and its gradients.

        As in training: dropout draws the masks of the step that `apply_gradients` will end, and batch normalisation
        uses the statistics of these samples, which its running ones then follow.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`.

        Returns
        -------
        loss : float
        gradients : list of tuples
            One for each entry of `weights`: (dW, db) of `Dense`, (dgamma, dbeta) of `LayerNorm` and `BatchNorm`,
            (dalpha,) of `PReLU`. The gradient of a bias that a layer does not use is zero.

        Raises
        ------
        ValueError, TypeError
            X, y or the weights do not suit the model; nothing has changed, but running statistics where X holds what
            the preprocessing makes too large for the dtype.
        """
        return single.loss_and_gradients(self._core, X, y, sample_weight)

    def apply_gradients(self, gradients: Sequence[Sequence[npt.ArrayLike]]) -> None:
        """One step of the optimizer with given gradients.

        Nobody looks whether the weights overflow in it: the next loss is then NaN.

        Parameters
        ----------
        gradients : list of tuples
            As of `loss_and_gradients`.

        Raises
        ------
        ValueError, TypeError
            The gradients are not finite, or have other shapes than `weights`; nothing has changed.
        """
        single.apply_gradients(self._core, gradients)
