"""What is asked of the model, and how its answer becomes columns: one module a task."""

from internvl_ops.tasks.base import Task
from internvl_ops.tasks.caption import CAPTION

__all__ = ["CAPTION", "Task"]
