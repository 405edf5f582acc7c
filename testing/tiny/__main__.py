"""The command `python -m testing.tiny`."""

import argparse

from testing.tiny import LANGUAGES, VISIONS, make_tiny_checkpoint, make_tiny_native_checkpoint

parser = argparse.ArgumentParser(
    prog="python -m testing.tiny",
    description="Write a tiny InternVL checkpoint with random weights, for trials of the pipeline.",
)
parser.add_argument("out", help="folder to write into")
parser.add_argument(
    "--tile-size", type=int, default=112, help="side of a tile in pixels; published ones: 448"
)
parser.add_argument(
    "--layers", type=int, default=2, help="of the vision and of the language model, each"
)
parser.add_argument(
    "--hidden", type=int, default=128, help="width of both models, a multiple of 64"
)
parser.add_argument("--vision", choices=VISIONS, default="300m", help="type of InternViT")
parser.add_argument("--language", choices=LANGUAGES, default="qwen2", help="language model")
parser.add_argument(
    "--template", help="conversation template named in config.json; default: the language model's"
)
parser.add_argument("--seed", type=int, default=7)
parser.add_argument(
    "--native", action="store_true", help="in the layout of transformers' own InternVL class"
)
options = vars(parser.parse_args())
print((make_tiny_native_checkpoint if options.pop("native") else make_tiny_checkpoint)(**options))
