"""The twenty tasks of MVBench, as in its published evaluation."""

from __future__ import annotations

from typing import NamedTuple


class MVBenchTask(NamedTuple):
    """The path of a task's videos below the folder of all videos, and whether it asks about parts
    of them."""

    folder: str
    has_bounds: bool = False


_PERCEPTION, _CLEVRER, _STAR = (
    "perception/videos",
    "clevrer/video_validation",
    "star/Charades_v1_480",
)
MVBENCH_TASKS = {
    "action_sequence": MVBenchTask(_STAR, has_bounds=True),
    "action_prediction": MVBenchTask(_STAR, has_bounds=True),
    "action_antonym": MVBenchTask("ssv2_video"),
    "fine_grained_action": MVBenchTask("Moments_in_Time_Raw/videos"),
    "unexpected_action": MVBenchTask("FunQA_test/test"),
    "object_existence": MVBenchTask(_CLEVRER),
    "object_interaction": MVBenchTask(_STAR, has_bounds=True),
    "object_shuffle": MVBenchTask(_PERCEPTION),
    "moving_direction": MVBenchTask(_CLEVRER),
    "action_localization": MVBenchTask("sta/sta_video", has_bounds=True),
    "scene_transition": MVBenchTask("scene_qa/video"),
    "action_count": MVBenchTask(_PERCEPTION),
    "moving_count": MVBenchTask(_CLEVRER),
    "moving_attribute": MVBenchTask(_CLEVRER),
    "state_change": MVBenchTask(_PERCEPTION),
    "fine_grained_pose": MVBenchTask("nturgbd"),
    "character_order": MVBenchTask(_PERCEPTION),
    "egocentric_navigation": MVBenchTask("vlnqa"),
    # Folders of frames, three per second; the first has number 1.
    "episodic_reasoning": MVBenchTask("tvqa/frames_fps3_hq", has_bounds=True),
    "counterfactual_inference": MVBenchTask(_CLEVRER),
}
FOLDERS = tuple(dict.fromkeys(task.folder for task in MVBENCH_TASKS.values()))


def task_of(category: str) -> MVBenchTask | None:
    """The task that a row's ``task_type`` or its file names; None if it is not one of them."""
    return MVBENCH_TASKS.get(category.strip().lower().replace(" ", "_").replace("-", "_"))


def video_path(video: str, category: str) -> str:
    """A video's path below the folder of all videos; a name that already includes its folder is
    unchanged."""
    task = task_of(category)
    return video if task is None or "/" in video.rstrip("/") else f"{task.folder}/{video}"
