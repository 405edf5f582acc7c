"""The command `internvl-batch compact` as a script; `pipelines.commands.registry` describes it."""

from pipelines.commands.registry import main

if __name__ == "__main__":
    main("compact")
