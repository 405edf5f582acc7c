"""The twenty tasks of MVBench, as its published evaluation reads them."""

from __future__ import annotations

from typing import NamedTuple


class MVBenchTask(NamedTuple):
    """Where the videos of a task lie below the folder of all videos, and whether it asks about a part of them."""

    folder: str
    has_bounds: bool = False


_PERCEPTION, _CLEVRER, _STAR = "perception/videos", "clevrer/video_validation", "star/Charades_v1_480"
TASKS = {
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
    # Folders of frames, three a second, the first of them number 1.
    "episodic_reasoning": MVBenchTask("tvqa/frames_fps3_hq", has_bounds=True),
    "counterfactual_inference": MVBenchTask(_CLEVRER),
}
FOLDERS = tuple(dict.fromkeys(task.folder for task in TASKS.values()))


def task_of(category: str) -> MVBenchTask | None:
    """The task that a row's ``task_type`` or its file names; None if it names none."""
    return TASKS.get(category.strip().lower().replace(" ", "_").replace("-", "_"))


def place_of(video: str, category: str) -> str:
    """A video's place below the folder of all videos; one that says its folder itself stays as it is."""
    task = task_of(category)
    return video if task is None or "/" in video.rstrip("/") else f"{task.folder}/{video}"
