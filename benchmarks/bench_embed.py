"""Vectors: preparing pictures, a whole job, and what a linear probe reads from nano-InternVL's
tower.

Preparing is from the bytes of a JPEG to the middle of the picture, on one core, in CPU time,
against what the model cards do in a DataLoader's worker: Pillow, CLIPImageProcessor's resize and
crop, ToTensor and Normalize, restated in torch. The whole job embeds drawn pictures with
nano-InternVL's tower on the CPU; its rival is a plain loop over a DataLoader of one worker with the
same model, batch and threads, in the same run; both are timed from the first batch on. The probe is
logistic regression on vectors of drawn pictures with one shape; 2,000 to fit, 500 to test.

    python -m benchmarks.bench_embed
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset
import torch
from PIL import Image

from benchmarks.bench_media import is_close, normalise, to_tensor
from benchmarks.records import machine, record, write
from examples.nano import draw
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.models.encoders.config import load_encoder
from internvl_ops.models.encoders.tower import Tower, load_tower
from testing.cluster import ROOT
from testing.pictures import encoded, natural

NANO = str(ROOT / "examples" / "nano" / "checkpoint")
PICTURES, BATCH = 2000, 64
CARDS = "the cards' processor in a DataLoader's worker, restated in torch"
LOOP = "a plain torch loop over a DataLoader of one worker"


def cards_crop(data: bytes, side: int) -> torch.Tensor:
    """float32 (1, 3, side, side), as CLIPImageProcessor makes it."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    short = min(image.size)
    image = image.resize(
        (int(side * image.width / short), int(side * image.height / short)),
        Image.Resampling.BICUBIC,
    )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return normalise(to_tensor(image.crop((left, top, left + side, top + side))))[None]


def least(
    way: Callable[[], object], other: Callable[[], object], rounds: int = 7
) -> tuple[float, float]:
    """Least CPU seconds of each, taken in turn."""
    found = [float("inf"), float("inf")]
    for _ in range(rounds):
        for place, one in enumerate((way, other)):
            begun = time.process_time()
            one()
            found[place] = min(found[place], time.process_time() - begun)
    return found[0], found[1]


def bench_prepare(side: int, width: int, height: int) -> dict:
    files = [encoded(natural(width, height, seed=seed), "JPEG", quality=90) for seed in range(6)]
    options = ImageOptions(tile_size=side, fit="crop")
    right = sum(is_close(load_image(one, options).tiles, cards_crop(one, side)) for one in files)
    ours, cards = least(
        lambda: [load_image(one, options).tiles for one in files],
        lambda: [cards_crop(one, side) for one in files],
    )
    return record(
        f"prepare {width}x{height} for {side}",
        "images/s a core",
        len(files) / ours,
        rival_name=CARDS,
        rival=len(files) / cards,
        expected=len(files),
        got=right,
    )


def drawn(folder: Path, count: int) -> list[str]:
    """Writes pictures with one shape; returns what is on each."""
    names: list[str] = []
    seed = 700_000
    while len(names) < count:
        picture = draw.draw("caption", seed).pictures[0]
        seed += 1
        if len(picture.shapes) == 1:
            Image.fromarray(picture.pixels).save(folder / f"{len(names):05d}.png")
            names.append(picture.shapes[0].name)
    return names


class Files(torch.utils.data.Dataset):
    """What a DataLoader's worker does: from a file to a normalised picture, distorted to a
    square."""

    def __init__(self, paths: list[Path], side: int) -> None:
        self._paths, self._side = paths, side

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> torch.Tensor:
        image = Image.open(self._paths[place]).convert("RGB")
        return normalise(
            to_tensor(image.resize((self._side, self._side), Image.Resampling.BICUBIC))
        )


def plain_loop(tower: Tower, paths: list[Path], side: int) -> tuple[float, np.ndarray]:
    """Images a second from the first batch on, and the vectors."""
    loader = torch.utils.data.DataLoader(Files(paths, side), batch_size=BATCH, num_workers=1)
    found, begun = [], 0.0
    with torch.inference_mode():
        for pixels in loader:
            begun = begun or time.perf_counter()
            hidden = tower.vision(
                pixel_values=pixels.to(tower.vision.embeddings.cls_token.dtype)
            ).last_hidden_state
            found.append(
                torch.nn.functional.normalize(hidden[:, 1:].float().mean(1), dim=1).numpy()
            )
    return len(paths) / (time.perf_counter() - begun), np.concatenate(found)


def job(folder: Path, output: Path) -> tuple[dict, np.ndarray]:
    """The record of a whole job, and its vectors in the order of the files."""
    import internvl_batch

    result = internvl_batch.embed(
        str(folder),
        str(output),
        model=NANO,
        pooling="mean",
        resize="exact",
        engine_args={"batch": BATCH},
        quiet=True,
    )
    table = pyarrow.dataset.dataset(output / "results").to_table(["id", "vector"]).sort_by("id")
    assert len(table) == result.results
    (path,) = (output / "_runs").glob("*/run.json")
    return json.loads(path.read_text()), np.stack(
        [np.array(one, np.float32) for one in table["vector"].to_pylist()]
    )


def probe(vectors: np.ndarray, labels: list[str], train: int) -> float:
    """Accuracy of logistic regression, fitted on the first ``train`` vectors, on the others."""
    names = sorted(set(labels))
    targets = torch.tensor([names.index(one) for one in labels])
    known = torch.from_numpy(vectors)
    known = (known - known[:train].mean(0)) / known[:train].std(0)
    layer = torch.nn.Linear(known.shape[1], len(names))
    torch.manual_seed(0)
    layer.reset_parameters()
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=300)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(known[:train]), targets[:train])
        loss = loss + 1e-3 * layer.weight.pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.inference_mode():
        right = layer(known[train:]).argmax(1) == targets[train:]
    return float(right.float().mean())


def main() -> None:
    records = [
        bench_prepare(side, *size) for side in (224, 448) for size in ((640, 480), (1536, 1152))
    ]
    # what the engine's process takes beside prepare
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
    with tempfile.TemporaryDirectory() as place:
        folder, output = Path(place) / "pictures", Path(place) / "out"
        folder.mkdir()
        names = drawn(folder, PICTURES + 500)
        encoder = load_encoder(NANO)
        tower = load_tower(encoder, projected=False)
        rate, expected = plain_loop(tower, sorted(folder.iterdir()), encoder.tile_size)
        run, vectors = job(folder, output)
        same = int((np.sum(vectors * expected, 1) > 0.999).sum())
        records.append(
            record(
                "whole job, nano-InternVL's tower",
                "images/s",
                run["rates"]["units_per_second"],
                rival_name=LOOP,
                rival=rate,
                expected=len(names),
                got=same,
                engine_idle_share=run["device"]["engine_idle_share"],
            )
        )
        for what, labels in (
            ("colour", [one.split()[0] for one in names]),
            ("shape", [one.split()[1] for one in names]),
        ):
            accuracy = probe(vectors, labels, PICTURES)
            chance = max(labels[PICTURES:].count(one) for one in set(labels)) / 500
            records.append(
                record(
                    f"linear probe, {what} of one drawn shape",
                    f"of 500 right ({len(set(labels))} kinds)",
                    accuracy,
                    rival_name="the most frequent",
                    rival=chance,
                    expected=500,
                    got=500,
                )
            )
    write("embed", records)
    for one in records:
        print(json.dumps(one | {"machine": machine()}))


if __name__ == "__main__":
    main()
