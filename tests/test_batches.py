"""fit on an iterable of batches: the bits of train_on_batch, read ahead in a thread that always ends, nothing lost."""

import itertools
import signal
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

import fastmlp as fm
from fastmlp._iterables import is_batches
from fastmlp.training import reader as reader_module

ROWS = [20, 7, 20, 1, 33, 20]


def batch(i, rows=20):
    rng = np.random.default_rng(i)
    return rng.standard_normal((rows, 6)).astype(np.float32), rng.integers(0, 3, rows)


LIST = [batch(i, rows) for i, rows in enumerate(ROWS)]


def endless(first=0):
    for i in itertools.count(first):
        yield batch(i)


def classifier(optimizer="adam", **options):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", optimizer, **options)


def bits(model):
    """Weights and optimizer states, as bytes."""
    state = model._core.__getstate__()
    arrays = [
        array for kind in (state["weights"], *state["training"]["states"].values()) for pair in kind for array in pair
    ]
    return [array.tobytes() for array in arrays], state["training"]["step"]


def stepped(all_batches, **options):
    """A model trained batch by batch, and its losses."""
    model = classifier(**options)
    return model, [model.train_on_batch(X, y) for X, y in all_batches]


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "fastmlp batches"]


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    for thread in readers():
        thread.join(5)
    assert readers() == []


class Stop(fm.Callback):
    """Ends training after some epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs):
        self.model.stop_training = epoch + 1 == self.epochs


# ---- which batches, which bits ----


@pytest.mark.parametrize("n_threads", [None, 1, 3])
def test_a_list_is_an_epoch(n_threads):
    expected, losses = stepped(LIST * 3, n_threads=n_threads)
    model = classifier(n_threads=n_threads)
    history = model.fit(LIST, epochs=3, verbose=0)
    assert bits(model) == bits(expected)
    means = [np.average(losses[i : i + 6], weights=ROWS) for i in (0, 6, 12)]
    np.testing.assert_allclose(history["loss"], means, rtol=1e-12)
    assert len(history["accuracy"]) == 3


def test_the_accuracy_is_that_of_the_samples():
    history = classifier(fm.SGD(0.0)).fit(LIST, verbose=0)
    X, y = (np.concatenate(parts) for parts in zip(*LIST, strict=True))
    found = classifier(fm.SGD(0.0)).build(6).evaluate(X, y)
    assert history["accuracy"][0] == pytest.approx(found["accuracy"], rel=1e-12)
    assert history["loss"][0] == pytest.approx(found["loss"], rel=1e-5)


@pytest.mark.parametrize("steps", [1, 5, 6])
def test_steps_of_an_epoch_of_a_list_begin_anew(steps):
    model = classifier()
    model.fit(LIST, epochs=2, steps_per_epoch=steps, verbose=0)
    assert bits(model) == bits(stepped(LIST[:steps] * 2)[0])


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_a_generator_goes_on_from_epoch_to_epoch(steps):
    model, source = classifier(), endless()
    model.fit(source, epochs=3, steps_per_epoch=steps, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(endless(), 3 * steps))[0])
    np.testing.assert_array_equal(next(source)[0], batch(3 * steps)[0])  # no batch more than was asked for


def test_a_generator_goes_on_from_fit_to_fit():
    model, other, source = classifier(), classifier(), endless()
    for _ in range(2):
        model.fit(source, epochs=5, steps_per_epoch=4, verbose=0)
    other.fit(endless(), epochs=10, steps_per_epoch=4, verbose=0)
    assert bits(model) == bits(other)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_what_was_read_and_not_used_comes_first_in_the_next_fit(epochs):
    model, source = classifier(), endless()
    model.fit(source, epochs=1000, steps_per_epoch=4, callbacks=[Stop(epochs)], verbose=0)
    model.fit(source, epochs=6, steps_per_epoch=3, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(endless(), 4 * epochs + 18))[0])
    assert model._core.reader is None


def test_another_generator_has_none_of_it():
    model = classifier()
    model.fit(endless(), epochs=1000, steps_per_epoch=4, callbacks=[Stop(1)], verbose=0)
    model.fit(endless(100), epochs=1, steps_per_epoch=4, verbose=0)
    expected = [*itertools.islice(endless(), 4), *itertools.islice(endless(100), 4)]
    assert bits(model) == bits(stepped(expected)[0])


class Passes:
    """An iterable that begins anew, and counts how often."""

    def __init__(self):
        self.begun = 0

    def __iter__(self):
        self.begun += 1
        yield from LIST


def test_an_epoch_begins_a_pass_and_nothing_else_does():
    source = Passes()
    model = classifier()
    model.fit(source, epochs=3, verbose=0)
    assert source.begun == 3
    assert bits(model) == bits(stepped(LIST * 3)[0])


def test_lists_images_and_bytes_are_batches():
    X, y = batch(0, 12)
    grey = (np.abs(X) * 50).astype(np.uint8)
    for given, same in [([X.tolist(), y.tolist()], (X, y)), ((grey.reshape(12, 2, 3), y), (grey, y)),
                        ((X[::-2], y[::-2]), (X[::-2].copy(), y[::-2].copy()))]:  # fmt: skip
        model = classifier()
        model.fit([given], verbose=0)
        assert bits(model) == bits(stepped([same])[0])


def test_a_generator_may_write_into_its_arrays_again():
    def same_arrays():
        X, y = np.empty((20, 6), np.float32), np.empty(20, np.int32)
        for i in itertools.count():
            X[...], y[...] = batch(i)
            yield X, y

    model = classifier()
    model.fit(same_arrays(), steps_per_epoch=30, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(endless(), 30))[0])


VIEWS = {
    "reshaped": lambda X: X.reshape(len(X), 2, 3), "its transpose": lambda X: X.T.T, "reversed": lambda X: X[:, ::-1],
    "columns of a larger one": lambda X: np.concatenate([X, X], axis=1)[:, :6], "a memory view": memoryview,
    "images": lambda X: X.reshape(-1, 3, 2, 1),
    "float64": lambda X: X.astype(np.float64).reshape(len(X), 3, 2),
    "bytes": lambda X: (np.abs(X) * 50).astype(np.uint8).reshape(len(X), 3, 2),
    "truth": lambda X: (X > 0).reshape(len(X), 3, 2),
}  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_generator_may_write_into_its_arrays_again_whatever_it_shows_of_them(view):
    """Batches that wait are copies, though X has to be reshaped first."""

    def same_arrays():
        X, y = np.array(VIEWS[view](batch(0)[0])), np.empty((20, 1), np.int32)
        for i in itertools.count():
            X[...], y[:, 0] = VIEWS[view](batch(i)[0]), batch(i)[1]
            yield (memoryview(X) if view == "a memory view" else X.view()), y[:, 0]

    other = ((np.array(VIEWS[view](X)), y) for X, y in endless())
    model = classifier()
    model.fit(same_arrays(), steps_per_epoch=30, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(other, 30))[0])


def test_validation_and_callbacks_are_those_of_arrays(capsys):
    seen = []

    class Looks(fm.Callback):
        def on_train_begin(self):
            seen.append((self.params["epochs"], self.params["steps"]))

        def on_epoch_end(self, epoch, logs):
            seen.append((epoch, list(logs)))

    options = {"validation_data": batch(99), "callbacks": [Looks()], "verbose": 2}
    classifier().fit(endless(), epochs=2, steps_per_epoch=3, **options)
    classifier().fit(LIST, epochs=1, **options)
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert seen == [(2, 3), (0, names), (1, names), (1, None), (0, names)]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_small_steps_come_in_chunks_of_a_long_epoch(monkeypatch):
    monkeypatch.setattr("fastmlp._pace.CHUNK_SECONDS", 1e-4)
    chunks = []

    class Counts(fm.Callback):
        def on_steps_end(self, batch, logs):
            chunks.append(batch)

    classifier().fit(LIST * 50, callbacks=[Counts()], verbose=0)
    assert chunks[-1] == 299
    assert chunks == sorted(set(chunks))


# ---- reading ahead ----


def test_reading_ahead_is_bounded():
    made = []

    def counts():
        for i in itertools.count():
            made.append(i)
            yield batch(i)

    class Waits(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            time.sleep(0.1)
            ahead.append(len(made) - 2 * (epoch + 1))

    ahead = []
    classifier().fit(counts(), epochs=3, steps_per_epoch=2, callbacks=[Waits()], verbose=0)
    assert ahead == [4, 2, 0]
    ahead.clear()
    made.clear()
    classifier().fit(counts(), epochs=2, steps_per_epoch=2, callbacks=[Waits()], verbose=0)
    assert ahead == [2, 0]


@pytest.mark.parametrize(("limit", "value", "most"), [("AHEAD_BATCHES", 3, 3), ("AHEAD_BYTES", 1, 1)])
def test_the_bound_is_of_batches_and_of_bytes(monkeypatch, limit, value, most):
    monkeypatch.setattr(reader_module, limit, value)
    reader = reader_module.Reader(iter(range(100)))
    reader.start(100, lambda i, given: (np.full(1000, given),))
    for i in range(100):
        found = reader.take()
        assert found[0][0] == i
        assert len(reader.waiting) <= most
        if i == 50:
            time.sleep(0.05)
            assert len(reader.waiting) == most
    reader.stop(5)


def test_it_is_read_in_another_thread_while_training():
    threads = []

    def source():
        while True:
            threads.append(threading.current_thread())
            yield batch(0)

    classifier().fit(source(), steps_per_epoch=5, verbose=0)
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


# ---- ends ----


def test_an_error_of_the_generator_comes_with_its_traceback():
    def fails():
        yield from LIST[:3]
        raise KeyError("the file is gone")

    model = classifier()
    with pytest.raises(KeyError, match="the file is gone") as caught:
        model.fit(fails(), steps_per_epoch=10, verbose=0)
    assert "in fails" in "".join(traceback.format_tb(caught.tb))
    assert bits(model) == bits(stepped(LIST[:3])[0])
    model.fit(LIST, verbose=0)
    assert bits(model) == bits(stepped(LIST[:3] + LIST)[0])


def test_an_error_of_a_callback_ends_the_thread_and_loses_nothing():
    class Fails(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            raise OSError("no space")

    model, source = classifier(), endless()
    with pytest.raises(OSError, match="no space"):
        model.fit(source, epochs=100, steps_per_epoch=2, callbacks=[Fails()], verbose=0)
    for thread in readers():
        thread.join(5)
    assert readers() == []
    model.fit(source, steps_per_epoch=5, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(endless(), 7))[0])


@pytest.mark.parametrize("in_generator", [False, True], ids=["a callback", "the generator"])
def test_ctrl_c_ends_the_thread_and_loses_nothing(in_generator):
    """Also while fit waits for a batch that takes long."""
    asked, slow_batch = threading.Event(), threading.Event()
    came = []

    def slow():
        for i in itertools.count():
            if in_generator and i == 5:
                asked.set()
                slow_batch.wait(20)
                came.append(i)
            yield batch(i)

    class Waits(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            if not in_generator and epoch == 1:
                signal.raise_signal(signal.SIGINT)

    def interrupt():
        if asked.wait(10):
            time.sleep(0.1)
            signal.raise_signal(signal.SIGINT)

    model, source = classifier(), slow()
    helper = threading.Thread(target=interrupt)
    if in_generator:
        helper.start()
    history = model.fit(source, epochs=100, steps_per_epoch=2, callbacks=[Waits()], verbose=0)
    assert history.stopped == "interrupted"
    assert history.epoch == [0, 1]
    if in_generator:
        assert came == []  # fit did not wait for it
        slow_batch.set()
        helper.join()
    done = model._core.network.step
    assert done == (5 if in_generator else 4)
    model.fit(source, steps_per_epoch=4, verbose=0)
    assert bits(model) == bits(stepped(itertools.islice(endless(), done + 4))[0])


def test_a_loss_that_diverges_ends_the_thread():
    def grows():
        for i in itertools.count():
            yield np.full((4, 1), 10.0 ** min(i, 30)), np.zeros((4, 1))

    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(1.0))
    with pytest.raises(fm.DivergedError) as caught:
        model.fit(grows(), epochs=100, steps_per_epoch=2, verbose=0)
    assert caught.value.step > 1
    assert np.isfinite(model.weights[0][0]).all()


def test_a_divergence_ends_at_its_batch():
    """The loss of the batches after it is finite again."""
    X, y = np.ones((4, 1)), np.zeros((4, 1))
    rate = fm.schedules.Exponential(0.1, 1, 0.5)
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(rate))
    with pytest.raises(fm.DivergedError) as caught:
        model.fit([(X, y)] * 3 + [(X, y + 1e30)] + [(X, y)] * 3, verbose=0)
    assert caught.value.step == 4
    assert caught.value.learning_rate == rate(3)


def test_the_data_are_let_go():
    class Source(list):
        pass

    source = Source(LIST)
    gone = weakref.ref(source)
    model = classifier()
    model.fit(source, verbose=0)
    del source
    assert gone() is None


# ---- mistakes ----


def later(*bad):
    return [*LIST[:2], *bad]


MISTAKES = {
    "no y": (lambda: np.zeros((3, 6)), {}, TypeError, "y is None"),
    "no data": (lambda: 3, {}, TypeError, "y is None.*int"),
    "an iterator without steps": (endless, {}, ValueError, "steps_per_epoch is missing: a generator"),
    "nothing in a list": (list, {}, ValueError, "the list holds no batch"),
    "nothing in an iterator": (lambda: iter(()), {"steps_per_epoch": 1}, ValueError, "holds no batch"),
    "no pair": (lambda: [LIST[0][0]], {}, TypeError, r"batch 0 must be a pair \(X, y\) or .* not ndarray"),
    "a single one": (lambda: later((1,)), {}, TypeError, r"batch 2 must be .*, not tuple of 1"),
    "steps below 1": (lambda: LIST, {"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be at least 1"),
    "steps no number": (lambda: LIST, {"steps_per_epoch": "2"}, TypeError, "steps_per_epoch must be an integer"),
    "too short a list": (lambda: LIST, {"steps_per_epoch": 7}, ValueError, "ended after 6 of steps_per_epoch=7"),
    "too short": (lambda: iter(LIST), {"steps_per_epoch": 4, "epochs": 2}, ValueError, "ended after 2 of .*=4"),
    "bad numbers": (lambda: later((np.full((2, 6), np.nan), [0, 1])), {}, ValueError, "X of batch 2 holds nan"),
    "bad labels": (lambda: later((LIST[0][0][:2], [0, 7])), {}, ValueError, "y of batch 2 holds the label 7"),
    "other columns": (lambda: later((np.zeros((2, 5)), [0, 1])), {}, ValueError, "X of batch 2 has 5 columns"),
    "validation": (lambda: LIST, {"validation_data": (np.zeros((2, 5)), [0, 1])}, ValueError, "has 5 columns"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake):
    source, options, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        classifier().fit(source(), verbose=0, **options)


def test_a_mistake_in_the_first_batch_changes_nothing():
    model = classifier()
    with pytest.raises(ValueError, match="batch 0"):
        model.fit([(np.full((2, 6), np.inf), [0, 1])], verbose=0)
    assert not model.built


def test_steps_per_epoch_is_not_for_arrays():
    with pytest.raises(ValueError, match="choose batch_size"):
        classifier().fit(*LIST[0], steps_per_epoch=2, verbose=0)


# ---- what is no iterable of batches ----


class ByNumber:
    """Batches as Keras's Sequence has them: a length and items, no end that an index would tell."""

    def __init__(self, many):
        self.many = many

    def __len__(self):
        return self.many

    def __getitem__(self, i):
        rng = np.random.default_rng(i % self.many)
        return rng.standard_normal((8, 3)), rng.standard_normal((8, 1))


def test_batches_by_number_give_an_epoch_each_time():
    batches = ByNumber(5)
    found, expected = (fm.Model([fm.Dense(1)]) for _ in range(2))
    history = found.fit(batches, epochs=3, verbose=0)
    expected.fit([batches[i] for i in range(5)], epochs=3, verbose=0)
    assert len(history["loss"]) == 3
    np.testing.assert_array_equal(found.weights[0][0], expected.weights[0][0])
    assert len(found.fit(batches, epochs=2, steps_per_epoch=2, verbose=0)["loss"]) == 2


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((iter([1]), np.ones(8)), TypeError, r"X is a list_iterator: an iterable gives batches \(X, y\), so leave out y"),
    ((ByNumber(2), np.ones(8)), TypeError, r"X is a ByNumber: an iterable gives batches \(X, y\), so leave out y"),
    (([np.ones((8, 3)), np.ones(8)],), TypeError, r"X is a list of 2 arrays and y is None; did you mean fit\(X, y\)?"),
    (((np.ones((8, 3)), np.ones(8)),), TypeError, r"X is a tuple of 2 arrays and y is None; did you mean fit\(X, y\)?"),
    (([(np.ones(3), 1.0)] * 8,), ValueError, r"batch 0 is a single sample, of y=1.0; give arrays X and y"),
    (([(np.ones(3), np.array(1.0))] * 8,), ValueError, r"batch 0 is a single sample"),
    (([(np.ones((8, 3)), None)],), TypeError, r"y of batch 0 is None"),
    ((3.0,), TypeError, r"fit takes arrays X and y, or an iterable of \(X, y\), not only float"),
])  # fmt: skip
def test_what_is_no_iterable_of_batches_is_told_of(arguments, error, message):
    model = fm.Model([fm.Dense(1)])
    with pytest.raises(error, match=message):
        model.fit(*arguments, verbose=0)
    assert not model.built


def test_what_was_read_ahead_takes_the_class_weights_of_its_fit():
    class Stop(fm.Callback):
        def on_epoch_end(self, epoch):
            time.sleep(0.05)  # the thread reads ahead
            self.model.stop_training = True

    rng = np.random.default_rng(0)
    every = [(rng.random((8, 4)), rng.integers(0, 2, 8)) for _ in range(99)]
    batches = iter(every)
    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy", fm.SGD(0.0))
    found = model.fit(batches, steps_per_epoch=1, epochs=50, callbacks=[Stop()], verbose=0)
    assert found["loss"] == pytest.approx([model.evaluate(*every[0])["loss"]])
    found = model.fit(batches, steps_per_epoch=1, epochs=12, class_weight={0: 0.25, 1: 0.25}, verbose=0)
    assert found["loss"] == pytest.approx([0.25 * model.evaluate(*batch)["loss"] for batch in every[1:13]])


@pytest.mark.parametrize("by_class", [False, True])
def test_batches_whose_weights_are_all_zero_are_refused_and_some_of_them_are_not(by_class):
    """Of arrays fit says so before it trains; of batches in the end, when it is known."""
    X, y = np.random.default_rng(0).random((8, 4)), np.arange(8) % 2
    nothing, something = (X, y, np.zeros(8)), (X, y, np.eye(8)[3])
    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy")
    options = {"class_weight": {0: 0.0, 1: 0.0}} if by_class else {}
    with pytest.raises(ValueError, match="sample_weight of all batches holds zeros alone"):
        model.fit([something if by_class else nothing] * 2, epochs=2, verbose=0, **options)
    for batches in ([nothing, something], [something, nothing], [nothing, nothing, something]):
        history = model.fit(iter(batches), steps_per_epoch=1, epochs=len(batches), verbose=0)
        assert len(history.epoch) == len(batches)


def test_ctrl_c_before_the_first_batch_ends_fit():
    def late():
        raise KeyboardInterrupt
        yield

    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy")
    history = model.fit(late(), steps_per_epoch=1, verbose=0)
    assert history.stopped == "interrupted"
    assert history.epoch == []


def test_an_object_with_items_by_number_is_no_array():
    for use in (lambda model: model.predict(ByNumber(2)), lambda model: model.fit(np.ones((8, 3)), ByNumber(2))):
        with pytest.raises(TypeError, match=r"must be an array, not an object of type ByNumber with items by number"):
            use(fm.Model([fm.Dense(1)], n_inputs=3))


def test_a_reader_that_ends_before_its_time_is_told(monkeypatch):
    """Not as one that stayed behind at a fork."""
    monkeypatch.setattr(reader_module.Reader, "_read", lambda *arguments: None)
    with pytest.raises(RuntimeError, match="has ended before its time"):
        classifier().fit(LIST, verbose=0)


@pytest.mark.parametrize(("n_inputs", "batches"), [(1, True), (2, False)])
def test_rows_of_one_input_may_be_numbers(n_inputs, batches):
    """A pair of pairs of vectors is batches only where a number is a row."""
    pair = np.ones(3), np.ones(3)
    assert is_batches([pair, pair], n_inputs) == batches


def test_weights_of_zero_alone_are_refused_at_the_end():
    data, y = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    zeros, ones = np.zeros(4), np.ones(4)
    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy", n_inputs=4)
    with pytest.raises(ValueError, match="give at least one sample a weight above 0"):
        model.evaluate([(data, y, zeros)] * 2)
    model.fit([(data, y, zeros), (data, y, ones)], epochs=2, verbose=0)
    model.evaluate([(data, y, zeros), (data, y, ones)])


def test_inputs_that_are_scaled_too_far_are_named():
    data = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    far, y = data.copy(), data[:, :1]
    far[3, 0] = 3e38
    model = fm.Model([fm.Dense(4), fm.Dense(1)], preprocessing="standardize", metrics=["mae"])
    model.fit(1e-3 * data, y, verbose=0)
    for call in (
        lambda: model.evaluate(far, y), lambda: model.evaluate([(far, y)]),
        lambda: model.loss_and_gradients(far, y), lambda: model.input_gradients(far, y),
        lambda: model.jvp(far, far * 0),
        lambda: model.fit(1e-3 * data, y, validation_data=(far, y), verbose=0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"column 0 of X holds 3.*e\+38, which the preprocessing scales"):
            call()
