"""What models of other libraries have, and where it is here: a name, or a remedy of several words."""

# Methods and attributes.
MEMBERS = {
    "compile": "give loss, optimizer and metrics to Model itself",
    "add": "give all layers to Model itself",
    "get_weights": "read model.weights",
    "set_weights": "assign model.weights",
    "save_weights": "use model.save",
    "load_weights": "use fastmlp.load",
    "test_on_batch": "use model.evaluate",
    "predict_on_batch": "use model.predict",
    "predict_proba": "use model.predict: its predictions are probabilities where the loss has any",
    "predict_classes": "use model.predict(X).argmax(axis=1)",
    "fit_generator": "use model.fit, which takes iterables of batches, too",
    "partial_fit": "use model.train_on_batch, or fit again",
    "forward": "use model.predict, or model.scores",
    "backward": "use model.loss_and_gradients",
    "score": "use model.evaluate",
    "state_dict": "read model.weights, or use model.save",
    "load_state_dict": "assign model.weights, or use fastmlp.load",
    **dict.fromkeys(("parameters", "get_params", "trainable_weights"), "read model.weights"),
    "count_params": "model.summary() prints it",
    **dict.fromkeys(("eval", "train"), "only fit trains, and there is no mode to change"),
    **dict.fromkeys(("learning_rate", "lr"), "it is in model.optimizer; assign fastmlp.Adam(1e-3), for example"),
    "coefs_": "read model.weights",
    **dict.fromkeys(("classes_", "n_classes"), "labels count from 0; there are model.n_outputs"),
}

# Arguments.
ARGUMENTS = {
    **dict.fromkeys(("criterion", "loss_fn", "loss_function", "objective"), "loss"),
    **dict.fromkeys(("optimiser", "solver"), "optimizer"), **dict.fromkeys(("random_state", "random_seed"), "seed"),
    **dict.fromkeys(("input_dim", "input_shape", "input_size", "in_features", "n_features"), "n_inputs"),
    **dict.fromkeys(("n_jobs", "num_threads", "threads"), "n_threads"), "precision": "dtype",
    **dict.fromkeys(("learning_rate", "lr", "learning_rate_init"), "give it to the optimizer: fastmlp.Adam(1e-3)"),
    **dict.fromkeys(("hidden_layer_sizes", "units", "activation"), "give layers: [fastmlp.Dense(64, 'relu'), ...]"),
    **dict.fromkeys(("alpha", "weight_decay"), "give l2 to each Dense, or weight_decay to fastmlp.AdamW"),
    **dict.fromkeys(("epochs", "max_iter", "n_epochs"), "give epochs to fit"), "batch_size": "give it to fit",
    "callbacks": "give them to fit", "verbose": "give it to fit", "device": "it computes on the processor's cores",
    "early_stopping": "give callbacks=[fastmlp.EarlyStopping()] to fit",
    "name": "leave it out, only its file has one",
}  # fmt: skip
