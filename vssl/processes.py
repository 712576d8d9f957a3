"""Worker processes that do not outlive their parent."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Initializer of a worker: ends it when its parent is gone, killed parents included.

    Without it the workers of a killed parent go on, or wait for work for ever.
    """

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
