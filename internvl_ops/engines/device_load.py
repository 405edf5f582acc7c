"""Measures how long the GPUs of this process compute, as their driver reports it."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

EVERY_S = 1.0


class DeviceLoad:
    """Reads the share of time in which a kernel ran from the driver, once a second, in its own
    thread.

    It uses NVML, which does not touch the devices: this process must not initialise CUDA.
    """

    def __init__(self) -> None:
        self._busy_s: float | None = None
        handles = _visible()
        if handles:
            self._busy_s = 0.0
            threading.Thread(
                target=self._follow, args=(handles,), daemon=True, name="device-load"
            ).start()

    @property
    def busy_s(self) -> float | None:
        """Seconds in which a device computed since the start, averaged over devices; None without
        an NVIDIA GPU."""
        return self._busy_s

    def _follow(self, handles: list[Any]) -> None:
        import pynvml

        last = time.monotonic()
        while True:
            time.sleep(EVERY_S)
            try:
                percent = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
            except pynvml.NVMLError:
                self._busy_s = None  # report no number rather than a wrong one
                return
            now = time.monotonic()
            self._busy_s = (self._busy_s or 0.0) + (now - last) * sum(percent) / (
                100 * len(percent)
            )
            last = now


def _visible() -> list[Any]:
    """NVML's handles of the devices that this process may use."""
    try:
        import pynvml
    except ImportError:  # NVML's bindings come with vLLM for GPUs
        return []
    try:
        pynvml.nvmlInit()
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        wanted = (
            range(pynvml.nvmlDeviceGetCount())
            if named is None
            else [name for name in named.split(",") if name]
        )
        return [
            pynvml.nvmlDeviceGetHandleByIndex(int(one))
            if str(one).isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(one)
            for one in wanted
        ]
    except pynvml.NVMLError:
        return []
