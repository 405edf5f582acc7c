"""A local page over outputs, for looking at units and marking them."""
