"""How much of the time GPUs compute: as their driver says, or nothing where there is none."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from internvl_ops.engines import device_load
from internvl_ops.engines.device_load import DeviceLoad


class Driver(ModuleType):
    """NVML's Python module as far as it is used, with two devices that have always computed half of
    the time."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__("pynvml")
        self.breaks, self.asked = breaks, []
        self.enough = threading.Event()

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> SimpleNamespace:
        self.asked.append(handle)
        if len(self.asked) > 20:
            self.enough.set()
        if self.breaks:
            self.enough.set()
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(gpu=50)


def started(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> DeviceLoad:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(device_load, "EVERY_S", 0.001)
    load = DeviceLoad()
    assert driver.enough.wait(20)
    return load


def test_without_a_driver_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if not installed
    assert DeviceLoad().busy_s is None


@pytest.mark.parametrize(
    ("visible", "asked"), [(None, {0, 1}), ("1", {1}), ("GPU-ab,GPU-cd", {"GPU-ab", "GPU-cd"})]
)
def test_of_the_devices_that_may_be_used(
    visible: str | None, asked: set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    driver = Driver()
    load = started(driver, monkeypatch)
    assert set(driver.asked) == asked
    assert load.busy_s is not None
    assert load.busy_s > 0


def test_no_devices_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert DeviceLoad().busy_s is None
