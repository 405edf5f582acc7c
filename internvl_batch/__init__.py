"""Captions, text, boxes and answers for images, pages and video clips, with the InternVL family."""
