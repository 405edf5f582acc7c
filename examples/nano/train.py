"""Trains nano-InternVL from scratch on what draw.py draws, and writes it in the published file
layout.

    python -m examples.nano.train see --steps 3000             # the vision model alone
    python -m examples.nano.train tell --steps 4000 --freeze   # the language model on top of it
    python -m examples.nano.train tell --steps 12000           # both
    python -m examples.nano.train export --out examples/nano/checkpoint

Each command resumes from --state where there is one. The picture tells more than the answer does:
as the script draws it, it knows which letters and shapes lie in each visual token's cell, and from
which cells each token of the answer follows. The first is asked of the projected visual tokens by
linear heads that are not part of the checkpoint, the second of two attention heads of the language
model. Without both, a model of this size learns little in hours.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.nano.files import write_files
from examples.nano.lessons import MIXTURES, SLOTS, Asker, Batches
from examples.nano.model import (
    IGNORED,
    NanoInternVL,
)

# The model, with the published names of its parts.


# From a sample to what the model is asked and told.


# Losses.

_NEAR_BOX = torch.exp(-((torch.arange(101)[:, None] - torch.arange(101)) ** 2) / 2.0)
_NEAR_BOX = _NEAR_BOX / _NEAR_BOX.sum(1, keepdim=True)


def told_losses(model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the linear heads on visual tokens (tiles, TOKENS, width)."""
    letters = model.told["letters"](visual).float().unflatten(-1, (SLOTS, -1)).flatten(0, 2)
    things = batch["things"].flatten(0, 1)
    kind = model.told["kind"](visual).float().flatten(0, 1)
    colour = model.told["colour"](visual).float().flatten(0, 1)
    there = things[:, 2] != IGNORED
    boxes = (
        model.told["box"](visual.flatten(0, 1)[there])
        .float()
        .unflatten(-1, (4, -1))
        .log_softmax(-1)
    )
    box = -(boxes * _NEAR_BOX[things[there, 2:]]).sum(-1).mean() if there.any() else boxes.sum()
    target = batch["letters"].flatten()
    letter = F.cross_entropy(letters, target, ignore_index=IGNORED, reduction="none")
    written = target > 0
    # Most slots are empty: the mean over letters and the mean over empty slots count alike.
    return {
        "letters": letter[written].sum() / written.sum().clamp(min=1) + letter[target == 0].mean(),
        "kind": F.cross_entropy(kind, things[:, 0], ignore_index=IGNORED) * 4,
        "colour": F.cross_entropy(colour, things[:, 1], ignore_index=IGNORED) * 4,
        "box": box * 0.5,
    }


@torch.no_grad()
def told_right(model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor]) -> dict[str, float]:
    """Share of letters, kinds, colours and box sides (within 3 hundredths) told right where there
    are some."""
    letters = model.told["letters"](visual).unflatten(-1, (SLOTS, -1)).argmax(-1)
    things = batch["things"]
    right = {"letters": (letters == batch["letters"])[batch["letters"] > 0]}
    for at, name in enumerate(("kind", "colour")):
        right[name] = (model.told[name](visual).argmax(-1) == things[..., at])[things[..., at] > 0]
    there = things[..., 2] != IGNORED
    boxes = model.told["box"](visual[there]).unflatten(-1, (4, -1)).argmax(-1)
    right["box"] = (boxes - things[there][:, 2:]).abs() <= 3
    return {name: float(value.float().mean()) for name, value in right.items()}


def tell_losses(
    model: NanoInternVL, visual: Tensor, batch: dict[str, Tensor], near: tuple[Tensor, Tensor]
) -> tuple[dict[str, Tensor], float]:
    """Of the answers and the guided heads; and the share of answer tokens that are right."""
    ids = batch["ids"]
    hidden, guided = model.tell(ids, visual.flatten(0, 1), batch["visual_at"])
    logits = model.words(hidden.flatten(0, 1)[batch["asked"]]).float().log_softmax(-1)
    answers = batch["answers"]
    losses = {"answer": -(logits.gather(1, near[0][answers]) * near[1][answers]).sum(1).mean()}
    length = ids.shape[1]
    rows, position = batch["look_from"] // length, batch["look_from"] % length
    later = torch.arange(length) > position[:, None]
    look = []
    for q, k in guided:
        scores = (q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2))[rows, position].float()
        scores = scores.masked_fill(later, -torch.inf).log_softmax(-1)
        # Any of the cells will do.
        to = torch.full_like(scores, -torch.inf)
        at = (batch["look_row"], batch["look_to"])
        to = to.index_put(at, scores[at])
        look.append(-to.logsumexp(1).mean())
    losses["look"] = torch.stack(look).mean()
    return losses, float((logits.argmax(1) == answers).float().mean())


# Training.


class Optimizer:
    """Muon for matrices, AdamW for the rest, on float32 copies of bfloat16 weights."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.model = model
        self.masters = {
            name: value.detach().float().clone() for name, value in model.named_parameters()
        }
        inner = [
            name
            for name, value in self.masters.items()
            if value.ndim == 2 and ("layers" in name or "mlp1" in name)
        ]
        others = [name for name in self.masters if name not in inner]
        self.parts = [
            torch.optim.Muon(
                [self.masters[name] for name in inner],
                lr=lr,
                weight_decay=0.02,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [self.masters[name] for name in others], lr=lr, betas=(0.9, 0.98), weight_decay=0.0
            ),
        ]
        self.inner = set(inner)

    def step(self, lr: float) -> None:
        parameters = dict(self.model.named_parameters())
        nn.utils.clip_grad_norm_(
            [value for value in parameters.values() if value.grad is not None], 1.0
        )
        for name, value in parameters.items():
            self.masters[name].grad = None if value.grad is None else value.grad.float()
            value.grad = None
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(self.masters[name])

    def state(self) -> dict[str, Any]:
        return {"masters": self.masters, "parts": [part.state_dict() for part in self.parts]}

    def load(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.masters[name].copy_(state["masters"][name])
                value.copy_(self.masters[name])
        for part, saved in zip(self.parts, state.get("parts", []), strict=False):
            part.load_state_dict(saved)


def train(stage: str, options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    folder = Path(options.state)
    files = folder / "files"
    write_files(files)
    # a checkpoint without weights is refused
    save_file({"none": torch.zeros(1)}, files / "model.safetensors")
    asker = Asker(files)
    model = NanoInternVL(asker.vocabulary).to(torch.bfloat16)
    near = asker.neighbours()
    optimizer = Optimizer(model, options.lr)
    steps = dict.fromkeys(MIXTURES, 0)
    if (folder / "state.pt").exists():
        state = torch.load(folder / "state.pt", weights_only=True)
        optimizer.load(state)
        steps |= state["steps"]
    elif options.start:
        optimizer.load(
            {"masters": optimizer.masters | load_file(Path(options.start) / "model.safetensors")}
        )
    first, last = steps[stage], options.steps
    print(
        f"{stage}: steps {first} to {last}, {sum(p.numel() for p in model.parameters()):,} weights",
        flush=True,
    )
    loader = DataLoader(
        Batches(stage, files, options.batch, options.seed),
        batch_size=None,
        sampler=range(first, last),  # type: ignore[arg-type]
        num_workers=1,
        prefetch_factor=6,
    )
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    sums: dict[str, float] = {}
    seen, begun, saved = 0, time.time(), time.time()
    for step, batch in enumerate(loader, first):
        with torch.set_grad_enabled(not options.freeze):
            visual = model.see(batch["tiles"])
        losses = {} if options.freeze else told_losses(model, visual, batch)
        right = {}
        if stage != "see":
            more, share = tell_losses(model, visual, batch, near)
            losses.update(more)
            right["answer tokens"] = share
        sum(losses.values()).backward()  # type: ignore[union-attr]
        rate = min(1.0, (step + 1) / 100, max(0.01, (last - step) / max(1, options.decay)))
        optimizer.step(options.lr * rate)
        seen += len(batch["tiles"])
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % 25 == 0:
            right.update(told_right(model, visual.detach(), batch))
            line = {name: round(value / 25, 3) for name, value in sums.items()}
            shares = {name: round(value, 3) for name, value in right.items()}
            speed = f"{seen / (time.time() - begun):.0f} tiles/s"
            print(
                time.strftime("%H:%M:%S"), stage, step + 1, speed, line, "right", shares, flush=True
            )
            sums, seen, begun = {}, 0, time.time()
        if step + 1 == last or stopped or time.time() - saved > options.save_every:
            steps[stage], saved = step + 1, time.time()
            torch.save({"steps": steps, **optimizer.state()}, folder / "state.tmp")
            (folder / "state.tmp").rename(folder / "state.pt")
        if stopped:
            break


def export(state: Path, out: Path) -> None:
    """The checkpoint as published: bfloat16, without the heads of training."""
    write_files(out)
    masters = torch.load(state / "state.pt", weights_only=True)["masters"]
    weights = {
        name: value.to(torch.bfloat16)
        for name, value in masters.items()
        if not name.startswith("told.")
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path) -> tuple[NanoInternVL, Asker]:
    """An exported checkpoint, to ask it in plain torch."""
    asker = Asker(folder)
    model = NanoInternVL(asker.vocabulary)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    return model.to(torch.bfloat16).eval(), asker


def main() -> None:
    parser = argparse.ArgumentParser(description="Train nano-InternVL.")
    parser.add_argument("stage", choices=(*MIXTURES, "export"))
    parser.add_argument(
        "--state", default="nano-state", help="folder of the training state, resumed from"
    )
    parser.add_argument(
        "--start", help="folder of a checkpoint to begin with where there is no state yet"
    )
    parser.add_argument(
        "--steps", type=int, default=3000, help="of this stage in all, earlier runs counted"
    )
    parser.add_argument(
        "--decay",
        type=int,
        default=0,
        help="last steps, in which the learning rate falls to nothing",
    )
    parser.add_argument("--batch", type=int, default=48, help="samples a step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--freeze", action="store_true", help="leave the vision model as it is, which is quicker"
    )
    parser.add_argument("--save-every", type=float, default=180, help="seconds")
    parser.add_argument("--out", default="checkpoint", help="folder to export to")
    options = parser.parse_args()
    if options.stage == "export":
        export(Path(options.state), Path(options.out))
    else:
        Path(options.state).mkdir(parents=True, exist_ok=True)
        train(options.stage, options)


if __name__ == "__main__":
    sys.exit(main())
