"""Keep, drop or review each unit of an output, by rules in one YAML file."""
