"""Callbacks and the reasons for which training ends."""

import csv
import inspect
import math
import pickle
import re
import types

import numpy as np
import pytest

import fastmlp as fm


def data(n=60, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6)).astype(np.float32), rng.integers(0, 3, n)


def classifier(optimizer="adam", **options):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", optimizer, **options)


def bits(model):
    return [array.tobytes() for arrays in model.weights for array in arrays]


def fit(callbacks, epochs=1, optimizer="adam", validation=True, **options):
    X, y = data()
    model = classifier(optimizer)
    validation_data = data(20, 2) if validation else None
    return model, model.fit(
        X, y, epochs=epochs, validation_data=validation_data, callbacks=callbacks, verbose=0, **options
    )


class Says(fm.Callback):
    """Puts numbers of the test's own into the logs, and keeps what it saw."""

    def __init__(self, name, values):
        self.name, self.values, self.weights = name, values, []

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch]
        self.weights.append(bits(self.model))


# ---- hooks ----


def test_hooks_take_keras_arguments_or_fewer():
    seen = []

    class All(fm.Callback):
        def on_train_begin(self, logs):
            seen.append(("train begin", dict(logs)))

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(("epoch begin", epoch, dict(logs)))

        def on_epoch_end(self, *arguments):
            seen.append(("epoch end", *arguments))

        def on_train_end(self, logs=None):
            seen.append(("train end", logs))

    class Few(fm.Callback):
        def on_epoch_end(self, epoch):
            seen.append(("few", epoch))

    _, history = fit([All(), Few()])
    logs = {name: values[0] for name, values in history.history.items()}
    assert seen == [
        ("train begin", {}), ("epoch begin", 0, {}), ("epoch end", 0, logs), ("few", 0), ("train end", logs)
    ]  # fmt: skip


def test_params_name_what_the_logs_hold():
    callback = fm.Callback()
    _, history = fit([callback])
    assert callback.params == {"epochs": 1, "initial_epoch": 0, "steps": 2, "metrics": list(history.history)}
    fit([callback], validation=False)
    assert callback.params["metrics"] == ["loss", "accuracy"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("on_epoch_ends", "on_epoch_end"),
        ("on_train_batch_ends", "on_train_batch_end"),
        ("on_training_begin", "on_train_begin"),
    ],
)
def test_a_misspelt_hook_is_named_before_anything_changed(name, nearest):
    callback = type("Mine", (fm.Callback,), {name: lambda self, *_: None})()
    X, y = data()
    model = classifier()
    with pytest.raises(TypeError, match=rf"Mine.{name} is no hook .* did you mean {nearest}\?"):
        model.fit(X, y, callbacks=[callback], verbose=0)
    assert not model.built
    callback = fm.Callback()
    callback.on_time = 3  # no method
    fit([callback])


@pytest.mark.parametrize(("name", "remedy"), [
    ("on_batch_end", "use on_train_batch_end"), ("on_test_batch_end", "use on_test_end"),
])  # fmt: skip
def test_hooks_that_keras_has_beside_have_a_remedy(name, remedy):
    callback = type("Mine", (fm.Callback,), {name: lambda self, *_: None})()
    with pytest.raises(TypeError, match=f"Mine.{name} is no hook .*{remedy}"):
        fit([callback])


def test_hooks_of_batches_and_validation():
    class Told(fm.Callback):
        def __init__(self):
            self.calls = []

        def on_steps_begin(self, batch):
            self.calls.append(("steps", batch))

        def on_test_begin(self):
            self.calls.append("test")

        def on_test_end(self, logs):
            self.calls.append(logs)

        def on_predict_end(self):
            raise AssertionError("fit predicts nothing")

    told = Told()
    _, history = fit([told])
    logs = {name: history[f"val_{name}"][0] for name in ("loss", "accuracy")}
    assert told.calls == [("steps", 0), "test", logs]
    told = Told()
    fit([told], validation=False)
    assert told.calls == [("steps", 0)]


class Hears(fm.Callback):
    """Notes all that it hears between two epochs."""

    def __init__(self):
        self.pages = []

    def on_train_batch_begin(self, batch, logs):
        self.pages.append(("begin", batch, logs))

    def on_train_batch_end(self, batch, logs):
        self.pages.append(("end", batch, logs))


def batches_of(X, y, size):
    return [(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)]


@pytest.mark.parametrize("form", ["arrays", "batches", "iterator"])
def test_a_hook_of_batches_is_called_for_every_batch(form):
    """With the means so far, as Keras gives them: against models that are trained step by step."""
    X, y = data()
    model, single, hears = classifier(), classifier(), Hears()
    given = {"arrays": (X, y), "batches": (batches_of(X, y, 7),), "iterator": (iter(batches_of(X, y, 7) * 2),)}[form]
    options = {"batch_size": 7, "shuffle": False} if form == "arrays" else {}
    if form == "iterator":
        options["steps_per_epoch"] = 9
    history = model.fit(*given, epochs=2, callbacks=[hears], verbose=0, **options)
    assert [page[:2] for page in hears.pages] == [(what, i) for i in range(9) for what in ("begin", "end")] * 2
    ends = [logs for what, _, logs in hears.pages if what == "end"]
    assert all(logs == {} for what, _, logs in hears.pages if what == "begin")
    losses = [single.train_on_batch(*batch) for _ in range(2) for batch in batches_of(X, y, 7)]
    rows = [len(batch[0]) for batch in batches_of(X, y, 7)]
    for epoch in range(2):
        for i in range(9):
            mean = np.average(losses[9 * epoch :][: i + 1], weights=rows[: i + 1])
            assert ends[9 * epoch + i]["loss"] == pytest.approx(mean, rel=1e-12)
        assert list(ends[9 * epoch]) == ["loss", "accuracy"]
        assert ends[9 * epoch + 8]["accuracy"] == pytest.approx(history["accuracy"][epoch], rel=1e-12)


def test_a_hook_of_batches_leaves_the_bits():
    X, y = data()
    plain, heard = classifier(), classifier()
    expected = plain.fit(X, y, batch_size=7, epochs=3, verbose=0).history
    assert heard.fit(X, y, batch_size=7, epochs=3, callbacks=[Hears()], verbose=0).history == expected
    assert bits(heard) == bits(plain)


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
def test_a_rate_that_a_hook_of_batches_sets_counts_from_the_next_batch(hook):
    """What rates for every step are for: against single steps with these rates."""
    X, y = data()
    first, single = (0.5 if hook == "on_train_batch_end" else 0.1), classifier(fm.SGD(0.5))

    def sets(self, batch, logs=None):
        model.optimizer = fm.SGD(0.1 / (batch + 1))

    model = classifier(fm.SGD(0.5))
    model.fit(X, y, batch_size=20, shuffle=False, callbacks=[type("Sets", (fm.Callback,), {hook: sets})()], verbose=0)
    rates = [first, 0.1, 0.05] if hook == "on_train_batch_end" else [0.1, 0.05, 0.1 / 3]
    for rate, batch in zip(rates, batches_of(X, y, 20), strict=True):
        single.optimizer = fm.SGD(rate)
        single.train_on_batch(*batch)
    assert bits(model) == bits(single)


def test_callbacks_without_a_hook_of_batches_cost_no_visits(monkeypatch):
    """Those of fastmlp take the cheap hook, and the base class has none that counts."""
    from fastmlp import callbacks, checkpoints
    from fastmlp.training.hooks import Hooks

    ours = [value for module in (callbacks, checkpoints) for value in vars(module).values() if isinstance(value, type)]
    ours = [value for value in ours if issubclass(value, fm.Callback)]
    assert callbacks.ProgressBar in ours
    assert all("on_train_batch_begin" not in vars(kind) and "on_train_batch_end" not in vars(kind)
               for kind in ours if kind is not fm.Callback)  # fmt: skip
    assert not Hooks([fm.Callback(), callbacks.ProgressBar()]).by_batch
    assert Hooks([callbacks.ProgressBar(), Hears()]).by_batch
    callback = fm.Callback()
    callback.on_train_batch_end = lambda batch, logs: None
    assert Hooks([callback]).by_batch


def test_hooks_of_a_minimiser():
    """All samples are the one batch of each iteration."""
    pytest.importorskip("scipy")
    X, y = data()
    hears = Hears()
    history = classifier(fm.LBFGS(3)).fit(X, y, callbacks=[hears], verbose=0)
    assert [page[:2] for page in hears.pages] == [("begin", 0), ("end", 0)] * len(history.epoch)
    assert [page[2]["loss"] for page in hears.pages[1::2]] == history["loss"]


class Counted(np.ndarray):
    """An array that tells how many of its elements were read by a sum, a product or a copy."""

    touched = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        inputs = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        Counted.touched += max(np.size(x) for x in inputs)
        return getattr(ufunc, method)(*inputs, **options)

    def __array_function__(self, function, types, arguments, options):
        def plain(x):
            if isinstance(x, Counted):
                Counted.touched += x.size
                return x.view(np.ndarray)
            return [plain(item) for item in x] if isinstance(x, list | tuple) else x

        return function(*plain(arguments), **options)


def test_what_callbacks_see_costs_no_look_back():
    """Of n chunks each is summed once, and once more at the end of the epoch; not all of them for every chunk."""
    from fastmlp.training.steps import Steps

    rng = np.random.default_rng(0)
    chunks, length, last = 400, 25, 3
    core, steps = classifier()._core, Steps((chunks * length - 1) * 10 + last, 10)
    losses, right = rng.random(chunks * length), rng.integers(0, 10, chunks * length)
    Counted.touched = 0
    for i in range(chunks):
        part = slice(i * length, (i + 1) * length)
        steps.add(losses[part].view(Counted), right[part].view(Counted))
        found = steps.so_far(core)
        rows = steps.rows[: (i + 1) * length]
        assert found["loss"] == pytest.approx(np.average(losses[: (i + 1) * length], weights=rows), rel=1e-12)
        assert found["accuracy"] == pytest.approx(right[: (i + 1) * length].sum() / rows.sum(), rel=1e-12)
    assert found == {name: values[0] for name, values in steps.logs(core, chunks * length).items()}
    assert chunks * length <= Counted.touched <= 10 * chunks * length
    # The exact mean: one pairwise sum over all steps.
    assert found["loss"] == (losses * steps.rows).sum() / int(steps.rows.sum())


def test_means_so_far_are_of_the_rows_of_each_step():
    """Also where several chunks, of batches that are not of one size, came since the last look."""
    from fastmlp.training.batches import BatchSteps

    run = types.SimpleNamespace(steps_per_epoch=None, rows=[], waited=0.0)
    core, steps = classifier()._core, BatchSteps(run)
    losses, rows, right = [], [], []
    for chunks in ([(1.0, 5), (2.0, 1)], [(4.0, 7)]), ([(8.0, 2)], [(3.0, 9), (5.0, 4)], [(6.0, 30)]):
        for chunk in chunks:
            run.rows = [n for _, n in chunk]
            steps.add(np.array([loss for loss, _ in chunk]), np.array([n // 2 for _, n in chunk]))
            losses += [loss for loss, _ in chunk]
            rows += run.rows
            right += [n // 2 for n in run.rows]
        found = steps.so_far(core)
        assert found["loss"] == pytest.approx(np.average(losses, weights=rows), rel=1e-12)
        assert found["accuracy"] == pytest.approx(sum(right) / sum(rows), rel=1e-12)


def test_a_hook_that_wants_too_much_is_named():
    class Greedy(fm.Callback):
        def on_epoch_end(self, epoch, logs, model):
            pass

    with pytest.raises(TypeError, match=r"Greedy.on_epoch_end wants 3 arguments, but a hook on_epoch_end gets 2"):
        fit([Greedy()])


def test_what_callbacks_add_to_the_logs_is_recorded():
    seen = []

    class Looks(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(logs["mine"])

    _, history = fit([Says("mine", [3.0, 4.0]), Looks()], epochs=2)
    assert history["mine"] == seen == [3.0, 4.0]


def test_the_learning_rate_of_a_schedule_is_recorded():
    schedule = fm.schedules.Exponential(0.1, 5, 0.5)
    expected = [schedule(step) for step in (1, 3, 5)]
    for callbacks in ([], [fm.Callback()]):  # together, one by one
        _, history = fit(callbacks, epochs=3, optimizer=fm.SGD(schedule), validation=bool(callbacks))
        assert history["learning_rate"] == expected
    assert "learning_rate" not in fit([])[1].history


# ---- early stopping ----

MANY = [5.0, 4.0, 4.5, 3.9, 3.95, 3.95, 3.95, 1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "values", "epochs", "best"),
    [
        ({}, MANY, 3, 1),
        ({"patience": 1}, MANY, 3, 1),
        ({"patience": 2}, MANY, 6, 3),
        ({"patience": 3}, MANY, 7, 3),
        ({"patience": 4}, MANY, 9, 8),
        ({"patience": 2, "min_delta": 0.2}, MANY, 4, 1),
        ({"patience": 2, "start_from_epoch": 4}, MANY, 7, 4),
        ({"patience": 4, "baseline": 3.92}, MANY[:7] + [9.0] * 3, 8, 3),
        ({"patience": 2, "baseline": 1.5}, MANY, 3, 1),
        ({"patience": 3, "target": 4.0}, MANY, 2, 1),
        ({"patience": 3, "mode": "max"}, MANY, 4, 0),
        ({"patience": 3, "mode": "max", "target": 4.6}, [1.0, 4.6, 9.0], 2, 1),
        ({}, [math.nan, math.nan, 3.0], 2, None),
        ({"patience": 2}, [math.nan, 4.0, math.nan, 3.0, math.nan, math.nan, 1.0], 6, 3),
    ],
)
@pytest.mark.parametrize("restore", [False, True])
def test_early_stopping(options, values, epochs, best, restore):
    """Against Keras's rules, worked out by hand."""
    says = Says("mine", values)
    stop = fm.EarlyStopping("mine", **{"mode": "min"} | options, restore_best_weights=restore)
    for _ in range(2):  # a second training starts afresh
        says.weights.clear()
        model, history = fit([says, stop], epochs=len(values))
        assert len(history.epoch) == epochs
        assert stop.best_epoch == best
        assert stop.best == (None if best is None else values[best])
        reason = "target reached" if "target" in options else "patience" if epochs < len(values) else "epochs done"
        assert history.stopped == reason
        assert bits(model) == says.weights[best if restore and best is not None else -1]


def test_early_stopping_on_validation_data():
    X, y = data(200)
    model = classifier(fm.Adam(0.02))
    stop = fm.EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(X, y, epochs=500, validation_data=data(200, 2), callbacks=[stop], verbose=0)
    losses = history["val_loss"]
    assert history.stopped == "patience"
    assert losses[stop.best_epoch] == min(losses)
    assert len(losses) == stop.best_epoch + 4
    assert model.evaluate(*data(200, 2))["loss"] == min(losses)


def test_the_best_weights_are_those_that_were_evaluated():
    """With a moving average that is the average."""
    X, y = data(200)
    model = classifier(fm.Adam(0.02, use_ema=True, ema_momentum=0.9))
    stop = fm.EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(X, y, epochs=500, validation_data=data(200, 2), callbacks=[stop], verbose=0)
    assert 0 < stop.best_epoch == len(history.epoch) - 4
    assert model.evaluate(*data(200, 2))["loss"] == history["val_loss"][stop.best_epoch] == min(history["val_loss"])


def test_the_best_weights_come_back_however_the_training_ends():
    for ends in (KeyboardInterrupt, LookupError):

        class Ends(Says):
            def on_epoch_end(self, epoch, logs, ends=ends):
                super().on_epoch_end(epoch, logs)
                if epoch == 2:
                    raise ends

        says = Ends("mine", [2.0, 1.0, 3.0])
        stop = fm.EarlyStopping("mine", mode="min", patience=9, restore_best_weights=True)
        X, y = data()
        model = classifier()
        try:
            model.fit(X, y, epochs=9, callbacks=[says, stop], verbose=0)
        except LookupError:
            assert ends is LookupError
        assert bits(model) == says.weights[1]


def test_early_stopping_speaks_when_asked(capsys):
    fit([Says("mine", [1.0, 2.0, 3.0]), fm.EarlyStopping("mine", mode="min", verbose=1)], epochs=3)
    assert capsys.readouterr().out == "epoch 2: stopped (patience), mine was best with 1.0\n"


@pytest.mark.parametrize(
    ("name", "mode"),
    [("val_loss", "min"), ("loss", "min"), ("accuracy", "max"), ("val_accuracy", "max"), ("val_top_3_accuracy", "max"),
     ("val_f1_macro", "max"), ("roc_auc", "max"), ("val_rmse", "min"), ("my_loss", "min"), ("max_error", "min")],
)  # fmt: skip
def test_auto_knows_which_way_is_better(name, mode):
    assert fm.EarlyStopping(name).mode == mode


WATCHERS = {
    "EarlyStopping": lambda name, **options: fm.EarlyStopping(name, **options),
    "ReduceLROnPlateau": lambda name, **options: fm.ReduceLROnPlateau(name, **options),
    "ModelCheckpoint": lambda name, **options: fm.ModelCheckpoint("net", name, save_best_only=True, **options),
}


@pytest.mark.parametrize(("typed", "meant"), [("val_los", "val_loss"), ("val_acuracy", "val_accuracy")])
def test_a_monitor_that_is_misspelt_is_told_its_name(typed, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        fm.EarlyStopping(typed)


@pytest.mark.parametrize("watcher", WATCHERS)
def test_auto_refuses_a_name_that_says_both_or_nothing(watcher):
    make = WATCHERS[watcher]
    good, bad = ("accuracy", "precision", "recall", "f1", "roc_auc", "r2", "top_3_accuracy"), ("loss", "error", "rmse")
    both = [
        f"{prefix}{name}" for prefix in ("", "val_") for g in good for b in bad for name in (f"{g}_{b}", f"{b}_{g}")
    ]
    neither = [
        "mine",
        "val_inaccuracy",
        "f1_std",
        "accuracy_gap",
        "loss_improvement",
        "neg_mean_squared_error",
        "val_",
        "",
    ]
    for names, why in ((both, "fits both rules"), (neither, "fits no rule")):
        for name in names:
            with pytest.raises(ValueError, match=f"{name!r} is better: the name {why}; give mode='min' or mode='max'"):
                make(name)
            for mode in ("min", "max"):
                assert make(name, mode=mode).mode == mode
    assert not fm.ModelCheckpoint("net", "f1_loss").save_best_only  # where nothing is watched the name does not matter


def test_auto_knows_all_metrics_and_the_models_own_by_what_they_compute():
    X, y = data()
    for name in fm.metrics.BY_NAME:
        less = fm.metrics.BY_NAME[name]([0.0, 1.0], [0.0, 1.0]) == 0 if name in fm.metrics.OF_VALUES else False
        assert fm.EarlyStopping(f"val_{name}").mode == ("min" if less else "max")
    stop = fm.EarlyStopping("val_recall", patience=9, restore_best_weights=True)
    model = fm.Model(
        [fm.Dense(1)], metrics=[fm.metrics.Metric("mae", name="recall"), fm.metrics.Metric("r2", name="loss_r")]
    )
    history = model.fit(X, X[:, 0], epochs=5, validation_data=(X, X[:, 0]), callbacks=[stop], verbose=0)
    assert stop.mode == "min"
    assert stop.best == min(history["val_recall"]) < max(history["val_recall"])
    classifier(metrics=["recall"]).fit(X, y, epochs=1, validation_data=(X, y), callbacks=[stop], verbose=0)
    assert stop.mode == "max"  # of another model


# ---- reduce on plateau, scheduler ----


@pytest.mark.parametrize(
    ("options", "values", "halvings"),
    [
        ({"patience": 1}, [5, 4, 4, 4, 4], [0, 0, 0, 1, 2]),
        ({"patience": 2}, [5, 4, 4, 4, 4, 4], [0, 0, 0, 0, 1, 1]),
        ({"patience": 1, "cooldown": 2}, [5, 5, 5, 5, 5, 5, 5], [0, 0, 1, 1, 2, 2, 3]),
        ({"patience": 1, "min_delta": 1.0}, [5, 4, 3, 2], [0, 0, 1, 1]),
        ({"patience": 1, "mode": "max"}, [5, 4, 6, 7, 6], [0, 0, 1, 1, 1]),
        ({"patience": 1, "min_lr": 0.3}, [5, 5, 5, 5, 5], [0, 0, 1, math.log2(1 / 0.3), math.log2(1 / 0.3)]),
    ],
)
def test_reduce_on_plateau(options, values, halvings):
    """The rate of each epoch, against Keras's rules worked out by hand."""
    reduce = fm.ReduceLROnPlateau("mine", 0.5, **{"mode": "min"} | options)
    optimizer = fm.SGD(1.0, momentum=0.5)
    _, history = fit([Says("mine", values), reduce], epochs=len(values), optimizer=optimizer)
    assert history["learning_rate"] == pytest.approx([2.0**-h for h in halvings])


def test_a_reduced_rate_keeps_everything_else(capsys):
    reduce = fm.ReduceLROnPlateau("mine", 0.5, 1, 1, mode="min")
    model, _ = fit([Says("mine", [1.0, 1.0, 1.0]), reduce], epochs=3, optimizer=fm.SGD(1e-3, 0.5, nesterov=True))
    assert model.optimizer == fm.SGD(0.00025, 0.5, nesterov=True)
    assert model._core.network.step == 6
    assert capsys.readouterr().out == "".join(
        f"epoch {n}: the learning rate falls to {r}\n" for n, r in [(2, 0.0005), (3, 0.00025)]
    )


def test_learning_rate_scheduler():
    X, y = data()
    model, other = classifier(fm.Adam(0.01)), classifier(fm.Adam(0.01))
    halve = fm.LearningRateScheduler(lambda epoch, rate: rate if epoch == 0 else rate / 2)
    history = model.fit(X, y, epochs=3, callbacks=[halve], verbose=0)
    assert history["learning_rate"] == [0.01, 0.005, 0.0025]
    for rate in history["learning_rate"]:
        other.optimizer = fm.Adam(rate)
        other.fit(X, y, verbose=0)
    assert bits(model) == bits(other)


# ---- files ----


def test_checkpoints_go_on_with_the_same_bits(tmp_path):
    X, y = data()
    optimizer = fm.Adam(fm.schedules.StepDecay(0.01, 3))
    model = classifier(optimizer)
    path = tmp_path / "net-{epoch:02d}-{val_loss:.3f}"
    history = model.fit(
        X, y, epochs=3, validation_data=(X, y), callbacks=[fm.ModelCheckpoint(path)], verbose=0
    )  # fmt: skip
    names = [f"net-{epoch + 1:02d}-{loss:.3f}" for epoch, loss in enumerate(history["val_loss"])]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
    for done, name in enumerate(names, 1):
        loaded = fm.load(tmp_path / name)
        if done < 3:
            loaded.fit(X, y, epochs=3 - done, verbose=0)
        assert bits(loaded) == bits(model)


def test_a_checkpoint_of_the_best(tmp_path):
    says = Says("mine", MANY)
    path = tmp_path / "best"
    keep = fm.ModelCheckpoint(path, "mine", save_best_only=True, mode="min")
    for values, best in ((MANY[:7], 3), ([9.0] * 7, 3), ([3.9, 2.0, 3.0], 1)):
        before = bits(fm.load(path)) if path.exists() else None
        says.values, says.weights = values, []
        fit([says, keep], epochs=len(values))
        assert bits(fm.load(path)) == (before if values[0] == 9.0 else says.weights[best])
    high = fm.ModelCheckpoint(tmp_path / "none", "mine", True, "max", initial_value_threshold=100)
    fit([Says("mine", [1.0]), high])
    assert not (tmp_path / "none").exists()


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    model, history = fit([fm.CSVLogger(path)], epochs=3)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", *history.history]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    lines = path.read_text().splitlines()
    X, y = data()
    model.fit(X, y, epochs=2, callbacks=[fm.CSVLogger(path, append=True)], verbose=0)
    more = path.read_text().splitlines()
    assert more[:4] == lines
    assert [line.count(",") for line in more] == [4] * 6
    assert more[-1].endswith(",,")  # without validation
    path.write_text("")
    fit([fm.CSVLogger(path, ";")])
    assert path.read_text().startswith("epoch;loss;accuracy;val_loss;val_accuracy\n0;")
    assert len(path.read_text().splitlines()) == 2


def test_a_csv_file_that_is_there_is_not_replaced(tmp_path):
    path = tmp_path / "log.csv"
    logger = fm.CSVLogger(path)
    fit([logger], epochs=2)
    before = path.read_bytes()
    model, (X, y) = classifier(), data()
    for again in (logger, fm.CSVLogger(path)):
        with pytest.raises(FileExistsError, match="append=True adds to it") as caught:
            model.fit(X, y, callbacks=[again], verbose=0)
        assert caught.value.filename == str(path)
    assert not model.built
    assert path.read_bytes() == before


def test_a_csv_file_that_is_gone_on_with_has_every_epoch_once(tmp_path, monkeypatch):
    """Lines that were written after the checkpoint go, one that was cut off too; those of a training before stay."""
    path, net = tmp_path / "log.csv", tmp_path / "net"
    X, y = data()

    def log(model, **options):
        model.fit(X, y, callbacks=[fm.CSVLogger(path, append=True)], verbose=0, **options)

    model = classifier()
    log(model, epochs=3)
    log(model, epochs=2)
    model.save(net)
    log(model, epochs=5, initial_epoch=2)
    expected = path.read_text()
    assert [line[:2] for line in expected.splitlines()[1:]] == [f"{epoch}," for epoch in (0, 1, 2, 0, 1, 2, 3, 4)]
    for more in ("", "5,0.1", "5,0.1,0.2\n6,0", "1"):  # the last would have been 10
        path.write_text(expected + more)
        log(fm.load(net), epochs=5, initial_epoch=2)
        assert path.read_text() == expected
    for text in ("", "a,b\n1,2\n"):  # nothing, another's
        path.write_text(text)
        log(fm.load(net), epochs=5, initial_epoch=4)
        assert path.read_text().startswith(text or "epoch,")

    def fails(*_):
        raise OSError(28, "No space left on device")

    path.write_text(expected)
    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="No space"):
        log(fm.load(net), epochs=5, initial_epoch=2)
    assert path.read_text() == expected
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log.csv", "net"]


def test_csv_lines_are_there_at_once_and_the_file_is_closed(tmp_path):
    path = tmp_path / "log.csv"
    seen = []

    class Looks(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(len(path.read_text().splitlines()))
            if epoch == 1:
                raise LookupError

    logger = fm.CSVLogger(path)
    with pytest.raises(LookupError):
        fit([logger, Looks()], epochs=3)
    assert seen == [2, 3]
    assert logger.file is None


# ---- why training ended ----


def test_history_says_why_training_ended():
    assert fm.History().stopped == ""
    assert fit([])[1].stopped == "epochs done"

    class Stops(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                self.stop(*self.reason)

    class Sets(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 1

    for callback, reason, expected in ((Sets(), (), "callback"), (Stops(), (), "callback"), (Stops(), ("x",), "x")):
        callback.reason = reason
        _, history = fit([callback], epochs=4)
        assert history.stopped == expected
        assert len(history.epoch) == 2
        assert f"2 epochs ({expected}), loss=" in repr(history)
    assert fit([])[1].stopped == "epochs done"


@pytest.mark.parametrize("n", [20, 20_000])
def test_a_divergence_names_the_layer_with_the_largest_weight(n):
    X = np.random.default_rng(1).standard_normal((n, 6), np.float32)
    model = fm.Model([fm.Dense(4), fm.BatchNorm(), fm.Dense(4), fm.Dense(1)], optimizer=fm.SGD(0.0), n_inputs=6)
    weights = [tuple(array.copy() for array in arrays) for arrays in model.weights]
    weights[1][3][:] = 1e30  # a running variance is no weight
    weights[2][0][1, 2] = -1e20
    weights[3][0][:] = 1e19
    model.weights = weights
    before = bits(model)
    with pytest.raises(fm.DivergedError, match=r"largest weight was then 1e\+20, in layer 2") as caught:
        model.fit(X, X[:, :1], batch_size=10, verbose=0)
    error = caught.value
    assert (error.layer, error.step, error.history.stopped) == (2, 1, "diverged")
    assert error.largest_weight == pytest.approx(1e20)
    again = pickle.loads(pickle.dumps(error))
    assert (again.layer, again.largest_weight, again.history.stopped) == (2, error.largest_weight, "diverged")
    assert bits(model)[0] == before[0]
    with pytest.raises(fm.DivergedError, match="in layer 2"):
        model.train_on_batch(X, X[:, :1])


def test_a_weight_that_is_no_number_is_the_largest():
    X, _ = data()
    model = fm.Model([fm.Dense(4), fm.Dense(1)], optimizer=fm.SGD(1e38), n_inputs=6)
    with pytest.raises(fm.DivergedError) as caught:
        model.fit(1e3 * X, X[:, :1], batch_size=60, verbose=0)
    assert caught.value.largest_weight == math.inf
    assert caught.value.step == 1


# ---- wrong arguments ----


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fm.EarlyStopping(3), TypeError, "monitor must be the name of a logged quantity"),
        (
            lambda: fm.EarlyStopping("mine"),
            ValueError,
            "does not know whether less 'mine' is better: the name fits no rule; give mode=",
        ),
        (lambda: fm.EarlyStopping(mode="less"), ValueError, "mode must be one of 'auto', 'min', 'max', not 'less'"),
        (lambda: fm.EarlyStopping(patience=-1), ValueError, "patience must be at least 0, not -1"),
        (lambda: fm.EarlyStopping(patience=2.5), TypeError, "patience must be an integer"),
        (lambda: fm.EarlyStopping(min_delta=-1), ValueError, "min_delta must be a finite number at least 0"),
        (lambda: fm.EarlyStopping(target=math.nan), ValueError, "target must be a finite number"),
        (lambda: fm.ReduceLROnPlateau(factor=1.0), ValueError, "factor must be .* below 1"),
        (lambda: fm.ReduceLROnPlateau(cooldown=-1), ValueError, "cooldown must be at least 0"),
        (lambda: fm.LearningRateScheduler(0.1), TypeError, "schedule must be a function"),
        (lambda: fm.LearningRateScheduler(lambda lr: lr / 2), TypeError, "would get epoch as lr; give it"),
        (lambda: fm.LearningRateScheduler(lambda rate, epoch: rate), TypeError, r"give it \(epoch, rate\)"),
        (lambda: fm.ModelCheckpoint("net-{}"), ValueError, "must have fields with names"),
        (lambda: fm.ModelCheckpoint("net-{epoch.real}"), ValueError, "must have fields with names"),
        (lambda: fm.ModelCheckpoint("net-{epoch"), ValueError, "has a field that cannot be read"),
        (lambda: fm.ModelCheckpoint(3), TypeError, "str"),
        (lambda: fm.CSVLogger("x", ",,"), ValueError, "separator must be one character, not ',,'"),
    ],
)
def test_wrong_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (fm.EarlyStopping(), ValueError, "monitor='val_loss' needs validation_data"),
        (fm.EarlyStopping("val_r2", mode="max"), ValueError, "monitor='val_r2' needs validation_data"),
        (fm.EarlyStopping("r2", mode="max"), ValueError, "'r2' is known of validation data alone; take 'val_r2'"),
        (fm.EarlyStopping("val_f1"), ValueError, "monitor='val_f1' will not be in the logs; there are loss"),
        (fm.EarlyStopping("learning_rate", mode="min"), ValueError, "'learning_rate' will not be in the logs"),
        (fm.ModelCheckpoint("x", save_best_only=True), ValueError, "monitor='val_loss' needs validation_data"),
        (fm.ModelCheckpoint("no such folder/x"), FileNotFoundError, "no such folder"),
        (fm.ModelCheckpoint("x-{f1}"), ValueError, "path 'x-{f1}' names 'f1', which will not be in the logs"),
        (fm.Checkpoint("no such folder/x"), FileNotFoundError, "no such folder"),
        (fm.CSVLogger("no such folder/x"), FileNotFoundError, "no such folder"),
        (fm.ReduceLROnPlateau("loss"), TypeError, "ReduceLROnPlateau sets a learning rate, but the optimizer foll"),
        (fm.LearningRateScheduler(lambda *_: 1), TypeError, "LearningRateScheduler sets a learning rate, but"),
    ],
)
def test_what_cannot_be_is_said_before_anything_changes(callback, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = np.random.default_rng(0).random((20, 3)), np.zeros(20)
    (tmp_path / "old.csv").write_text("old\n")
    schedule = fm.SGD(fm.schedules.Constant(0.1)) if error is TypeError else "sgd"
    model = fm.Model([fm.Dense(1)], optimizer=schedule, metrics=["r2"], preprocessing="standardize")
    with pytest.raises(error, match=re.escape(message)):
        model.fit(X, y, epochs=3, callbacks=[fm.CSVLogger("old.csv", append=True), callback], verbose=0)
    assert not model.built
    assert [path.name for path in tmp_path.iterdir()] == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "old\n"
    model.fit(X, y, epochs=2, verbose=0)
    history = model.history
    with pytest.raises(error, match=re.escape(message)):
        model.fit(X, y, epochs=3, callbacks=[callback], verbose=0)
    assert model.history is history
    assert len(history.epoch) == 2


def test_a_callback_of_ones_own_may_add_what_another_watches():
    class Adds(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["mine"] = -epoch

    model = classifier()
    X, y = data()
    stop = fm.EarlyStopping("mine", mode="min", target=-2)
    assert model.fit(X, y, epochs=9, callbacks=[Adds(), stop], verbose=0).stopped == "target reached"
    assert len(model.history.epoch) == 3


@pytest.mark.parametrize("callback", [fm.ReduceLROnPlateau("loss"), fm.LearningRateScheduler(lambda _, rate: rate)])
def test_a_minimiser_without_a_rate_is_named(callback):
    model = classifier("lbfgs")
    X, y = data()
    with pytest.raises(TypeError, match="sets a learning rate, but LBFGS has none"):
        model.fit(X, y, callbacks=[callback], verbose=0)
    assert not model.built


def test_a_plateau_lowers_what_a_warm_up_rises_to():
    model = classifier(fm.SGD(fm.schedules.Warmup(3, 0.1)))
    X, y = data()
    reduce = fm.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=9.0)
    history = model.fit(X, y, batch_size=len(X), epochs=6, callbacks=[reduce], verbose=0)
    assert history["learning_rate"] == [0.1, 0.1, 0.05, 0.025, 0.0125, 0.00625]
    assert model.optimizer.learning_rate == fm.schedules.Warmup(3, 0.1 / 32)


def test_a_schedule_by_epochs_may_take_the_epoch_alone():
    model = classifier(fm.SGD(0.5))
    X, y = data()
    halved = fm.LearningRateScheduler(lambda epoch: 0.1 / 2**epoch)
    history = model.fit(X, y, epochs=3, callbacks=[halved], verbose=0)
    assert history["learning_rate"] == [0.1, 0.05, 0.025]
    with pytest.raises(TypeError, match="give it to the optimizer"):
        fm.LearningRateScheduler(fm.schedules.Constant(0.1))
    with pytest.raises(TypeError, match="wants 3 arguments, but schedule gets 2"):
        fm.LearningRateScheduler(lambda a, b, c: 0.1)


def test_a_scheduled_rate_is_checked():
    with pytest.raises(ValueError, match="for epoch 0 must be a finite number at least 0, not -1"):
        fit([fm.LearningRateScheduler(lambda epoch, rate: -1)])


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: fm.EarlyStopping(restore_best_weights="yes"), TypeError, "restore_best_weights must be True or False"),
    (lambda: fm.ModelCheckpoint("a", save_best_only="no"), TypeError, "save_best_only must be True or False, not 'no'"),
    (lambda: fm.CSVLogger("a", append="no"), TypeError, "append must be True or False, not 'no'"),
    (lambda: fm.EarlyStopping(verbose="loud"), ValueError, "verbose must be 0 or 1, not 'loud'"),
    (lambda: fm.ReduceLROnPlateau(verbose=None), ValueError, "verbose must be 0 or 1, not None"),
])  # fmt: skip
def test_flags_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
@pytest.mark.parametrize("turned", [False, True], ids=["alone", "turned"])
def test_a_hook_does_not_get_one_argument_under_the_name_of_another(hook, turned):
    names = [*inspect.signature(getattr(fm.Callback, hook)).parameters][1:]
    wrong = names[::-1] if turned else names[1:]
    namespace = {}
    exec(f"def method(self, {', '.join(wrong)}): pass", namespace)
    callback = type("Mine", (fm.Callback,), {hook: namespace["method"]})()
    model = fm.Model([fm.Dense(1)], "mean_squared_error")
    with pytest.raises(TypeError, match=f"would get {names[0]} as {wrong[0]}; give it"):
        model.fit(np.zeros((4, 2)), np.zeros((4, 1)), epochs=1, callbacks=[callback], verbose=0)


def test_csv_logger_does_not_append_to_a_file_that_lacks_columns(tmp_path):
    X, y = np.eye(4), np.arange(4) % 2
    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy")
    path = tmp_path / "log.csv"
    for _ in range(2):
        model.fit(X, y, epochs=1, callbacks=[fm.CSVLogger(path, append=True)], verbose=0)
    before, weights = path.read_bytes(), model.weights
    with pytest.raises(ValueError, match="no columns for val_loss"):
        model.fit(X, y, validation_data=(X, y), callbacks=[fm.CSVLogger(path, append=True)], verbose=0)
    assert path.read_bytes() == before
    np.testing.assert_array_equal(model.weights[0][0], weights[0][0])
