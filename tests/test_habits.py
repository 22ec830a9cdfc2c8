"""Habits of Keras and scikit-learn that can mean one thing: arguments, a single callback, batches to evaluate."""

import numpy as np
import pytest

import fastmlp as fm

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 6)), RNG.integers(0, 3, 50)
W = RNG.random(50)


def classifier(**options):
    return fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], "softmax_cross_entropy", "adam", n_inputs=6, **options)


def cut(*arrays, at=(7, 20, 33)):
    """Batches of several sizes."""
    return list(zip(*(np.split(array, at) for array in arrays), strict=True))


class Sequence:
    """As Keras's: a length and items by number."""

    def __init__(self, batches):
        self.batches, self.passes = batches, 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        self.passes += i == 0
        return self.batches[i]


class Loader:
    """As PyTorch's: every iter begins anew."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


FORMS = {"list": list, "sequence": Sequence, "loader": Loader}


def test_arguments_of_keras_change_nothing():
    model = classifier()
    expected, evaluated = model.predict(X), model.evaluate(X, Y)
    for verbose in (0, 1, 2, "auto"):
        assert np.array_equal(model.predict(X, batch_size=7, verbose=verbose), expected)
        assert model.evaluate(X, Y, batch_size=np.int64(7), verbose=verbose) == evaluated
    assert np.array_equal(model.predict(X, 7), expected)
    assert np.array_equal(model(X), expected)
    for call in (lambda **options: model.predict(X, **options), lambda **options: model.evaluate(X, Y, **options)):
        with pytest.raises(ValueError, match="verbose must be 0, 1, 2 or 'auto', not 3"):
            call(verbose=3)
        with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
            call(batch_size=0)


def test_nothing_is_shown(capsys):
    model = classifier()
    model.predict(X, verbose=1)
    model.evaluate(X, Y, verbose=1)
    assert capsys.readouterr() == ("", "")


def test_a_single_callback_is_a_list_of_one():
    stop = fm.EarlyStopping("loss", target=100.0)
    assert classifier().fit(X, Y, epochs=5, callbacks=stop, verbose=0).stopped == "target reached"
    with pytest.raises(TypeError, match="callbacks must be a list of fastmlp"):
        classifier().fit(X, Y, callbacks=fm.EarlyStopping, verbose=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_are_evaluated_as_the_whole(form, weighted):
    model = classifier(metrics=["f1", "roc_auc"], dtype="float64")
    arrays = (X, Y, W) if weighted else (X, Y)
    expected = model.evaluate(*arrays)
    found = model.evaluate(FORMS[form](cut(*arrays)), verbose=0)
    assert list(found) == list(expected) == ["loss", "accuracy", "f1", "roc_auc"]
    assert found == pytest.approx(expected, rel=1e-12)
    assert all(type(value) is float for value in found.values())


def test_penalties_count_once():
    model = fm.Model([fm.Dense(3, l2=0.1)], "softmax_cross_entropy", n_inputs=6, dtype="float64")
    assert model.evaluate(cut(X, Y)) == pytest.approx(model.evaluate(X, Y), rel=1e-12)


def test_a_generator_is_evaluated_to_its_end_or_for_some_steps():
    model = classifier()
    assert model.evaluate(batch for batch in cut(X, Y)) == model.evaluate(cut(X, Y))
    endless = (batch for _ in iter(int, 1) for batch in cut(X, Y))
    assert model.evaluate(endless, steps=4) == model.evaluate(cut(X, Y))
    assert model.evaluate(cut(X, Y), steps=2) == pytest.approx(model.evaluate(X[:20], Y[:20]), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_validation_data_may_be_batches(form):
    histories = []
    for data in ((X, Y, W), FORMS[form](cut(X, Y, W))):
        model = classifier(metrics=["recall"], dtype="float64")
        histories.append(model.fit(X, Y, epochs=3, validation_data=data, verbose=0))
    assert list(histories[0]) == list(histories[1])
    for name in histories[0]:
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-12)


def test_validation_batches_with_batches_to_train_on_and_with_lbfgs():
    pytest.importorskip("scipy")
    for train, optimizer in (((cut(X, Y),), "adam"), ((X, Y), fm.LBFGS(max_iterations=3))):
        found = []
        for data in ((X, Y), cut(X, Y)):
            model = classifier(dtype="float64")
            model.optimizer = optimizer
            found.append(
                model.fit(*train, validation_data=data, callbacks=fm.EarlyStopping("val_loss", patience=9), verbose=0)
            )
        assert found[0]["val_loss"] == pytest.approx(found[1]["val_loss"], rel=1e-12)


def test_a_list_of_two_pairs_is_batches_and_a_pair_of_lists_arrays():
    model = classifier()
    batches = cut(X, Y, at=(25,))
    by_batches = model.fit(X, Y, validation_data=batches, verbose=0)["val_loss"]
    assert len(batches) == 2
    again = classifier().fit(X, Y, validation_data=(X.tolist(), Y.tolist()), verbose=0)["val_loss"]
    assert again == pytest.approx(by_batches, rel=1e-6)
    again = classifier().fit(X, Y, validation_data=[X.tolist(), Y.tolist()], verbose=0)["val_loss"]
    assert again == pytest.approx(by_batches, rel=1e-6)


ROWS, PARTS = [tuple(row) for row in X[:2].tolist()], cut(X, Y, at=(25,))


@pytest.mark.parametrize(("data", "expected"), [
    ([tuple(ROWS), (0, 1)], (X[:2], [0, 1])),
    ([tuple(ROWS), tuple(np.array([0, 1]))], (X[:2], [0, 1])),
    ([tuple(X[:2]), (0, 1)], (X[:2], [0, 1])),
    ((tuple(X[:2]), (0, 1)), (X[:2], [0, 1])),
    ([tuple(ROWS), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))], (X[:2], np.eye(3)[[1, 0]])),
    ([tuple(X[:2]), tuple(np.eye(3)[:2])], (X[:2], np.eye(3)[:2])),
    ([tuple(ROWS), (0, 1), (2.0, 3.0)], (X[:2], [0, 1], [2.0, 3.0])),
    (PARTS, (X, Y)), (tuple(PARTS), (X, Y)), (tuple(cut(X, Y)), (X, Y)), (cut(X, Y, W, at=(25,)), (X, Y, W)),
    ([(A.tolist(), b.tolist()) for A, b in PARTS], (X, Y)),
])  # fmt: skip
def test_validation_data_in_tuples_mean_what_they_can_mean(data, expected):
    found = classifier().fit(X, Y, validation_data=data, verbose=0)["val_loss"]
    assert found == pytest.approx(classifier().fit(X, Y, validation_data=expected, verbose=0)["val_loss"], rel=1e-5)


def test_arguments_of_keras_that_mean_one_thing():
    model = classifier()
    assert model.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y)
    assert model(X, training=False).tobytes() == model(X, training=None).tobytes() == model.predict(X).tobytes()
    for call, error, message in (
        (lambda: model.evaluate(X, Y, return_dict=False), ValueError, "leave out return_dict=False"),
        (lambda: model(X, training=True), ValueError, "training=True has no meaning; leave it out"),
        (lambda: model.evaluate(X, Y, 32), TypeError, "is sample_weight, not 32; .* batch_size=32"),
        (lambda: model.evaluate(PARTS, None, 32), TypeError, "batch_size=32"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_loss_of_ones_own_takes_batches():
    def loss(scores, targets):
        error = scores - np.eye(3)[targets]
        return (error**2).mean(), 2 * error / error.size

    model = fm.Model([fm.Dense(3)], loss, n_inputs=6, dtype="float64", metrics=["accuracy"])
    assert model.evaluate(cut(X, Y)) == pytest.approx(model.evaluate(X, Y), rel=1e-12)
    model.fit(X, Y, validation_data=cut(X, Y), verbose=0)


@pytest.mark.parametrize(("data", "error", "message"), [
    ([], ValueError, "holds no batch"), ([(X, Y), X, Y], TypeError, "batch 1 of .* must be a pair"),
    ([(X, Y), (X[:, :4], Y)], ValueError, "X of batch 1 of .* has 4 columns"),
    ([(X, Y + 5)], ValueError, "y of batch 0 of .* holds the label"),
    ([(X, Y, -W)], ValueError, "sample_weight of batch 0"),
    ([(X[0], 1)], ValueError, "batch 0 of .* is a single sample"),
])  # fmt: skip
def test_wrong_batches_are_named(data, error, message):
    model = classifier()
    with pytest.raises(error, match=message):
        model.evaluate(Loader(data))
    before = model.weights[0][0].tobytes()
    if len(data) < 2:  # of which the first is read before anything changes
        with pytest.raises(error, match=message):
            model.fit(X, Y, validation_data=Loader(data), verbose=0)
        assert model.weights[0][0].tobytes() == before


def test_what_cannot_be_evaluated_is_told():
    model = classifier()
    for call, error, message in (
        (lambda: model.evaluate(X), TypeError, "y is None; evaluate takes arrays X and y, or an iterable"),
        (lambda: model.evaluate((X, Y)), TypeError, r"did you mean evaluate\(X, y\)\?"),
        (lambda: model.evaluate(cut(X, Y), sample_weight=W), ValueError, "sample_weight is for arrays"),
        (lambda: model.evaluate(X, Y, steps=2), ValueError, "steps is for an iterable of batches"),
        (lambda: model.evaluate(cut(X, Y), steps=9), ValueError, "X ended after 4 of steps=9 batches"),
        (lambda: model.fit(X, Y, validation_data=iter(cut(X, Y)), verbose=0), TypeError, "would use up"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            call()
    assert model._core.network.step == 0
