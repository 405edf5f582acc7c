"""An engine process does not outlive the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

LOOK_EVERY_S = 1.0
_watching = False


def end_with_parent() -> None:
    """Ends this process soon after the one that started it is gone; does nothing in a process of no such kind.

    vLLM's processes are told to end by their parent. One that is killed tells nobody: its engine would keep the memory
    of the device, and the next engine would find none. Harmless to repeat.
    """
    global _watching
    if multiprocessing.parent_process() is None or _watching:
        return
    _watching = True
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
