"""Captions of drawn pictures, some of them wrong, and a judge that sees the pictures: a server that
asks nano-InternVL what is on each, and compares."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from examples.nano import draw, evaluate, held_out, train
from testing.model_server import completion

CHECKPOINT = Path(__file__).parents[1] / "examples" / "nano" / "checkpoint"
THING = re.compile(r"\ban? (\w+ \w+)")
SOUND = "sound"


@dataclass(frozen=True)
class Captioned:
    """A picture and what is said of it.

    Args:
        fault: What is wrong with the caption; `SOUND` if nothing is.
        picture: uint8 (height, width, 3).
        caption: The text.
    """

    fault: str
    picture: np.ndarray
    caption: str


def captioned(each: int, *, sound: int, seed: int = 0) -> list[Captioned]:
    """Pictures of one to six shapes that no training had, sound ones first.

    Args:
        each: Number of units with each fault; even, since pictures are swapped between two.
        sound: Number of sound units.
        seed: Other seeds choose other faults.
    """
    rng, first = random.Random(seed), held_out.FIRST_SEED
    samples = [
        draw.draw("caption", first + number) for number in range(sound + each * (1 + len(WRONG)))
    ]
    units = [
        Captioned(SOUND, sample.pictures[0].pixels, sample.answer) for sample in samples[:sound]
    ]
    swapped = [
        Captioned("swapped picture", sample.pictures[0].pixels, sample.answer)
        for sample in samples[sound : sound + each]
    ]
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        units += [replace(one, picture=other.picture), replace(other, picture=one.picture)]
    rest = iter(samples[sound + each :])
    for fault, change in WRONG.items():
        for _ in range(each):
            sample = next(rest)
            units.append(Captioned(fault, sample.pictures[0].pixels, _caption(change(sample, rng))))
    return units


def _things(sample: draw.Sample) -> list[str]:
    return THING.findall(sample.answer)


def _caption(things: list[str]) -> str:
    named = [f"{'an' if thing.startswith('orange') else 'a'} {thing}" for thing in things]
    return f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]


def _other_colour(sample: draw.Sample, rng: random.Random) -> list[str]:
    things = _things(sample)
    place = rng.randrange(len(things))
    colour, kind = things[place].split()
    things[place] = f"{rng.choice([one for one in draw.COLOURS if one != colour])} {kind}"
    return things


def _other_kind(sample: draw.Sample, rng: random.Random) -> list[str]:
    things = _things(sample)
    place = rng.randrange(len(things))
    colour, kind = things[place].split()
    things[place] = f"{colour} {rng.choice([one for one in draw.KINDS if one != kind])}"
    return things


def _invented(sample: draw.Sample, rng: random.Random) -> list[str]:
    return [*_things(sample), f"{rng.choice(list(draw.COLOURS))} {rng.choice(draw.KINDS)}"]


WRONG: dict[str, Callable[[draw.Sample, random.Random], list[str]]] = {
    "wrong colour": _other_colour,
    "wrong shape": _other_kind,
    "invented shape": _invented,
}


class SeeingJudge:
    """Answers questions of ``score --judge agreement`` as a server: ten times the share of the
    things that both nano-InternVL's own caption of the picture and the text name, of all that one
    of them names; no more than 6 if they differ at all."""

    def __init__(self) -> None:
        self._model, self._asker = train.load(CHECKPOINT)
        self._known: dict[bytes, str] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        body = await request.json()
        picture, text = _asked(body["messages"])
        score = await asyncio.to_thread(self._score, picture, text)
        answer = completion(str(score))
        if body.get("logprobs"):
            shares = [
                (str(score), 0.8),
                (str(max(0, score - 1)), 0.1),
                (str(min(10, score + 1)), 0.1),
            ]
            likely = [{"token": token, "logprob": math.log(share)} for token, share in shares]
            answer["choices"][0]["logprobs"] = {"content": [likely[0] | {"top_logprobs": likely}]}
        return web.json_response(answer)

    def _score(self, picture: bytes, text: str) -> int:
        said, seen = Counter(THING.findall(text)), Counter(THING.findall(self._caption(picture)))
        if said == seen:
            return 10
        return min(6, math.floor(10 * (said & seen).total() / max(1, (said | seen).total())))

    def _caption(self, picture: bytes) -> str:
        if picture not in self._known:
            with Image.open(io.BytesIO(picture)) as image:
                pixels = np.asarray(image.convert("RGB"))
            asked = draw.Sample("caption", [draw.Picture(pixels)], draw.CAPTION, "", [])
            (self._known[picture],) = evaluate.ask(self._model, self._asker, [asked])
        return self._known[picture]


def _asked(messages: list[dict[str, Any]]) -> tuple[bytes, str]:
    """The picture and the text between the lines of equals signs."""
    parts = next(message["content"] for message in messages if message["role"] == "user")
    url = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    asked = "\n".join(part["text"] for part in parts if part["type"] == "text")
    found = re.search(r"^(=+)\n(.*)\n\1$", asked, re.DOTALL | re.MULTILINE)
    assert found is not None, json.dumps(asked)
    return base64.b64decode(url.partition(",")[2]), found[2]
