"""The command `internvl-batch`, or `python -m internvl_batch`."""

from pipelines.commands.registry import main

if __name__ == "__main__":
    main()
