"""validation_split: each class keeps its share, drawn from the seed, and nothing is copied."""

import tracemalloc

import numpy as np
import pytest

import fastmlp as fm
from fastmlp._split import split


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("counts", [[100], [60, 30, 10], [5] * 20, [997, 2, 1], [1] * 50])
def test_each_class_keeps_its_share(counts, share):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    n = len(labels)
    if not 0 < int(share * n + 0.5) < n:
        with pytest.raises(ValueError, match="holds out"):
            split(labels, share, 7)
        return
    training, held = split(labels, share, 7)
    assert len(held) == int(share * n + 0.5)
    np.testing.assert_array_equal(np.sort(np.concatenate([training, held])), np.arange(n))
    assert np.all(np.diff(training) > 0)
    assert np.all(np.diff(held) > 0)
    for i, count in enumerate(counts):
        assert abs((labels[held] == 3 * i).sum() - share * count) <= 1


def test_the_seed_decides():
    labels = np.repeat([0, 1], 500)
    first = split(labels, 0.2, 1)[1]
    np.testing.assert_array_equal(first, split(labels, 0.2, 1)[1])
    assert len(np.intersect1d(first, split(labels, 0.2, 2)[1])) == pytest.approx(40, abs=25)
    assert (first[first < 500] + 500).tolist() != first[first >= 500].tolist()  # each class has its own order


def test_samples_of_a_class_are_as_likely_everywhere():
    found = np.concatenate([split(np.zeros(10), 0.3, seed)[1] for seed in range(400)])
    assert np.bincount(found).min() > 80  # of 120


def test_a_class_of_one_stays_in_training():
    for seed in range(20):
        training, _ = split(np.array([0] * 7 + [1] + [2] * 4), 0.25, seed)
        assert 7 in training


X = np.random.default_rng(1).standard_normal((301, 6)).astype(np.float32)
Y = np.random.default_rng(2).choice(3, 301, p=[0.7, 0.2, 0.1])


def classifier(n_threads=None):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", "adam", 5, n_threads=n_threads)


def bits(model):
    return [array.tobytes() for pair in model.weights for array in pair]


OPTIONS = {"epochs": 3, "batch_size": 16, "verbose": 0}


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_bits_are_those_of_two_copies(shuffle, n_threads):
    model, other = classifier(n_threads), classifier(n_threads)
    training, held = split(Y, 0.2, 5)
    expected = other.fit(X[training], Y[training], validation_data=(X[held], Y[held]), shuffle=shuffle, **OPTIONS)
    found = model.fit(X, Y, validation_split=0.2, shuffle=shuffle, **OPTIONS)
    assert bits(model) == bits(other)
    assert found.history == expected.history
    assert list(found.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_statistics_are_those_of_the_training_part():
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", preprocessing="standardize")
    model.fit(X, Y, validation_split=0.3, **OPTIONS)
    np.testing.assert_allclose(model.statistics["mean"], X[split(Y, 0.3, 0)[0]].mean(axis=0), rtol=1e-5)


def test_one_hot_and_binary_labels_are_classes():
    one_hot = np.eye(3)[Y]
    model, other = classifier(), classifier()
    model.fit(X, Y, validation_split=0.2, **OPTIONS)
    other.fit(X, one_hot, validation_split=0.2, **OPTIONS)
    np.testing.assert_allclose(model.weights[0][0], other.weights[0][0], atol=1e-5)
    binary = fm.losses.BinaryCrossEntropy()
    for labels in (np.array([0, 1, 1]), np.array([[0.0], [1.0], [1.0]])):
        assert binary.strata(binary.targets(labels, 3, 1, "float32")).tolist() == [0, 1, 1]
    assert binary.strata(np.array([[0.2], [0.9], [1.0]])).tolist() == [0, 0, 0]
    assert fm.losses.MeanSquaredError().strata(np.array([[1.0], [2.0]])).tolist() == [0, 0]


def test_weights_are_split_like_the_samples():
    weights = np.random.default_rng(3).uniform(0.5, 2, 301)
    model, other = classifier(), classifier()
    training, held = split(Y, 0.2, 5)
    found = model.fit(X, Y, validation_split=0.2, sample_weight=weights, **OPTIONS)
    held_out = X[held], Y[held], weights[held]
    expected = other.fit(X[training], Y[training], validation_data=held_out, sample_weight=weights[training], **OPTIONS)
    assert bits(model) == bits(other)
    assert found.history == expected.history


def test_the_held_out_part_knows_no_class_weight():
    found = []
    for class_weight in (None, {1: 3.0}):
        model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", fm.SGD(0.0), 5)
        found.append(model.fit(X, Y, validation_split=0.2, class_weight=class_weight, **OPTIONS))
    assert found[0]["val_loss"] == found[1]["val_loss"]
    assert found[0]["loss"] != found[1]["loss"]


def test_the_data_are_not_copied():
    data, labels = np.zeros((50_000, 200), np.float32), np.arange(50_000) % 3
    model = classifier().build(200)
    tracemalloc.start()
    model.fit(data, labels, validation_split=0.5, batch_size=5000, verbose=0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < data.nbytes / 2


def test_a_memory_map_and_images_can_be_split(tmp_path):
    np.save(tmp_path / "x.npy", X)
    model, other = classifier(), classifier()
    model.fit(np.load(tmp_path / "x.npy", mmap_mode="r").reshape(301, 2, 3), Y, validation_split=0.1, **OPTIONS)
    other.fit(X, Y, validation_split=0.1, **OPTIONS)
    assert bits(model) == bits(other)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [(1.0, ValueError, "below 1"), (-0.1, ValueError, "at least 0"), ("0.2", TypeError, "'0.2'"),
     (0.001, ValueError, "301 samples holds out 0"), (0.999, ValueError, "holds out 301")],
)  # fmt: skip
def test_mistakes_are_named(value, error, message):
    model = classifier()
    with pytest.raises(error, match=message):
        model.fit(X, Y, validation_split=value, verbose=0)
    assert not model.built


def test_one_kind_of_validation():
    with pytest.raises(ValueError, match="not both"):
        classifier().fit(X, Y, validation_split=0.2, validation_data=(X, Y), verbose=0)
    with pytest.raises(ValueError, match="give validation_data"):
        classifier().fit([(X, Y)], validation_split=0.2, verbose=0)
