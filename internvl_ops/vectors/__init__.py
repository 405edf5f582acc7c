"""What vectors are for: nearest neighbours, exact and by an index, and how often retrieval is
right."""
