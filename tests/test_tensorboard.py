"""fastmlp/tensorboard.py: what TensorBoard reads of a training."""

import sys

import numpy as np
import pytest

import fastmlp as fm

X = np.random.default_rng(0).standard_normal((40, 5))
Y = np.arange(40) % 3


def classifier(**options):
    return fm.Model([fm.Dense(3)], "softmax_cross_entropy", **options)


def scalars(folder):
    """Steps and values of each tag, as TensorBoard reads them."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed: pip install '.[tensorboard]'",
    )
    found = accumulator.EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: ([event.step for event in found.Scalars(tag)], [event.value for event in found.Scalars(tag)])
        for tag in found.Tags()["scalars"]
    }


def test_the_logs_are_read_back_with_keras_tags(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    rate = fm.SGD(fm.schedules.Exponential(0.1, 5, 0.5))
    history = classifier(optimizer=rate).fit(
        X, Y, epochs=3, validation_data=(X, Y), callbacks=[fm.TensorBoard(tmp_path)], verbose=0
    )
    for folder, prefix, names in (
        ("train", "", ["loss", "accuracy", "learning_rate"]),
        ("validation", "val_", ["loss", "accuracy"]),
    ):
        found = scalars(tmp_path / folder)
        assert sorted(found) == sorted(f"epoch_{name}" for name in names)
        for name in names:
            steps, values = found[f"epoch_{name}"]
            assert steps == [0, 1, 2]
            np.testing.assert_allclose(values, history[prefix + name], rtol=1e-6)


def test_a_training_that_goes_on_replaces_what_came_after(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    model = classifier()
    model.fit(X, Y, epochs=4, callbacks=[fm.TensorBoard(tmp_path)], verbose=0)
    history = model.fit(X, Y, epochs=3, initial_epoch=2, callbacks=[fm.TensorBoard(tmp_path)], verbose=0)
    steps, values = scalars(tmp_path / "train")["epoch_loss"]
    assert steps == [0, 1, 2]
    np.testing.assert_allclose(values, history["loss"], rtol=1e-6)


def test_files_are_closed_where_a_training_fails(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")

    class Fails(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            raise LookupError

    board = fm.TensorBoard(tmp_path)
    with pytest.raises(LookupError):
        classifier().fit(X, Y, callbacks=[board, Fails()], verbose=0)
    assert board.writers == {}
    assert scalars(tmp_path / "train")["epoch_loss"][0] == [0]


def test_without_the_package_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in list(sys.modules):
        if name.startswith("tensorboard."):
            monkeypatch.setitem(sys.modules, name, None)
    model = classifier()
    with pytest.raises(ImportError, match=r"pip install 'fastmlp\[tensorboard\]'"):
        model.fit(X, Y, callbacks=[fm.TensorBoard(tmp_path / "logs")], verbose=0)
    assert not model.built
    assert not (tmp_path / "logs").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    (tmp_path / "logs").write_text("")
    with pytest.raises(NotADirectoryError, match="log_dir must be a folder"):
        classifier().fit(X, Y, callbacks=[fm.TensorBoard(tmp_path / "logs")], verbose=0)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_changes(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    (tmp_path / "file").write_text("")
    model = classifier()
    with pytest.raises(NotADirectoryError, match="file"):
        model.fit(X, Y, callbacks=[fm.TensorBoard(tmp_path / "file" / "logs")], verbose=0)
    assert not model.built


def test_no_folder_is_made_where_another_callback_objects(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tensorboard]'")
    callbacks = [fm.TensorBoard(tmp_path / "logs"), fm.ModelCheckpoint(tmp_path / "nowhere" / "net.safetensors")]
    with pytest.raises(FileNotFoundError):
        classifier().fit(X, Y, callbacks=callbacks, verbose=0)
    assert not (tmp_path / "logs").exists()


def test_names_of_keras_are_answered():
    with pytest.raises(TypeError, match="TensorBoard has no histogram_freq: it writes the scalars of each epoch alone"):
        fm.TensorBoard("logs", histogram_freq=1)
