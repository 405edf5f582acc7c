"""The command `internvl-batch search` as a script; `pipelines.commands.registry` describes it."""

from pipelines.commands.registry import main

if __name__ == "__main__":
    main("search")
