"""Ends an engine process when the process that started it is gone."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

LOOK_EVERY_S = 1.0
_watching = False


def end_with_parent() -> None:
    """Ends this process soon after its parent is gone; does nothing in a process that was not
    spawned.

    vLLM's processes end when their parent asks them to. A parent that is killed cannot ask: its
    engine would keep the device's memory, and the next engine would find none. Safe to call again.
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
