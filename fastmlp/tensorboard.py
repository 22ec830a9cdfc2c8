"""The logs of a training for TensorBoard, by the event writer of the package tensorboard (extra "tensorboard")."""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fastmlp._callback import Callback, Logs
from fastmlp._validation import file_path
from fastmlp._writing import check_folder


class TensorBoard(Callback):
    """Write the logs of each epoch as scalars for TensorBoard: ``tensorboard --logdir logs`` shows them.

    Folders and names are Keras's: "epoch_loss", "epoch_accuracy" and "epoch_learning_rate" in the folder "train", the
    same of the validation data in the folder "validation", and epochs from 0. Needs the package tensorboard, neither
    TensorFlow nor torch.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
        One for each training that is to be a curve of its own, "logs/wide" for example. Files of a training before stay
        there. Where `fit` goes on from an ``initial_epoch`` above 0, TensorBoard forgets what they tell of this epoch
        or later ones.

    Raises
    ------
    ImportError
        In `fit`, before anything changes: the package is missing.

    Examples
    --------
    >>> import fastmlp as fm
    >>> callbacks = [fm.TensorBoard("logs/wide"), fm.EarlyStopping(patience=5)]
    """

    _other_names: ClassVar[dict[str, str]] = {
        "logdir": "log_dir", "path": "log_dir", "histogram_freq": "it writes the scalars of each epoch alone",
        "write_graph": "it writes the scalars of each epoch alone", "update_freq": "it writes after each epoch",
        "profile_batch": "it writes the scalars of each epoch alone",
    }  # fmt: skip

    def __init__(self, log_dir: str | os.PathLike[str] = "logs") -> None:
        self.log_dir = file_path("log_dir", log_dir)
        self.writers: dict[str, Any] = {}

    def check(self, companions: Sequence[Callback]) -> None:
        """Whether the package is there, and the folder can be."""
        _events()
        if "://" in self.log_dir:  # not of this machine's files: the package writes there, or says why not
            return
        folder = Path(os.path.abspath(self.log_dir))
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "log_dir must be a folder", str(there))
        check_folder(there)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Nothing is written yet."""
        self.writers = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the scalars, so that they are seen at once."""
        _, event, _, summary = _events()
        by_folder: dict[str, list[Any]] = {}
        for name, value in logs.items():
            folder = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            by_folder.setdefault(folder, []).append(summary.Value(tag=tag, simple_value=value))
        for folder, values in by_folder.items():
            writer = self._writer(folder)
            writer.add_event(event(step=epoch, wall_time=time.time(), summary=summary(value=values)))
            writer.flush()

    def _writer(self, folder: str) -> Any:
        """The writer of a folder, opened when it has something to write."""
        if folder not in self.writers:
            writer, event, session_log, _ = _events()
            self.writers[folder] = writer(os.path.join(self.log_dir, folder))
            first = self.params["initial_epoch"]
            if first > 0:
                start = session_log(status=session_log.START)
                self.writers[folder].add_event(event(step=first, wall_time=time.time(), session_log=start))
        return self.writers[folder]

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        writers, self.writers = self.writers, {}
        for writer in writers.values():
            writer.close()


def _events() -> tuple[Any, Any, Any, Any]:
    """The writer and the messages of the package tensorboard."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise ImportError("TensorBoard needs its package: pip install 'fastmlp[tensorboard]'") from error
    return EventFileWriter, Event, SessionLog, Summary
