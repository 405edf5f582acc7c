"""Scores of answers against what is right, as the family's authors compute them."""

from internvl_ops.metrics.grounding import iou, precision_at_05

__all__ = ["iou", "precision_at_05"]
