"""The published checkpoints of the family: their parts, and the memory and devices that they need.

No job depends on this list: jobs read a checkpoint's own config.json. The list helps to choose a
checkpoint.

Names and backbones come from the model cards and from the model lists of VLMEvalKit and ms-swift.
Sizes come from the backbones' published configs, with the vocabulary that includes the family's
nine tokens. Contexts are the backbones'; a checkpoint's own config.json may differ. Totals were
compared with the cards' where they give one. Rows with `checked` false (InternVL 3.5, Chat V1.1 and
V1.2) rely on the backbone that the card names; their configs were not available.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from internvl_ops.models.checkpoints.architecture import Architecture, LanguageModel, VisionTower

INTERNVIT_300M = VisionTower(hidden=1024, layers=24, heads=16, intermediate=4096)
INTERNVIT_6B = VisionTower(
    hidden=3200, layers=45, heads=25, intermediate=12800, qkv_bias=False, qk_norm=True
)
VISION_NAMES = {INTERNVIT_300M: "InternViT-300M", INTERNVIT_6B: "InternViT-6B"}


def _model(kind: str, hidden: int, layers: int, heads: int, kv: int, mlp: int, vocabulary: int,
           context: int, head_dim: int = 0, experts: int = 0,
           active: int = 0) -> LanguageModel:  # fmt: skip
    sizes = (hidden, layers, heads, kv, mlp, vocabulary, context, head_dim)
    return LanguageModel(kind, *sizes, experts=experts, active_experts=active)


BACKBONES = {
    "InternLM2-1.8B": _model("internlm2", 2048, 24, 16, 8, 8192, 92553, 32768),
    "InternLM2.5-1.8B": _model("internlm2", 2048, 24, 16, 8, 8192, 92553, 32768),
    "InternLM2.5-7B": _model("internlm2", 4096, 32, 32, 8, 14336, 92553, 32768),
    "InternLM2-20B": _model("internlm2", 6144, 48, 48, 8, 16384, 92553, 32768),
    "InternLM2.5-20B": _model("internlm2", 6144, 48, 48, 8, 16384, 92553, 32768),
    "InternLM3-8B": _model("internlm3", 4096, 48, 32, 2, 10240, 128521, 32768, head_dim=128),
    "Phi-3-mini-128k": _model("phi3", 3072, 32, 32, 32, 8192, 32020, 131072),
    "Yi-34B": _model("llama", 7168, 60, 56, 8, 20480, 64007, 4096),
    "LLaMA2-13B": _model("llama", 5120, 40, 40, 40, 13824, 32009, 4096),
    "Llama-3-70B": _model("llama", 8192, 80, 64, 8, 28672, 128265, 8192),
    "Qwen2-0.5B": _model("qwen2", 896, 24, 14, 2, 4864, 151655, 32768),
    "Qwen2.5-0.5B": _model("qwen2", 896, 24, 14, 2, 4864, 151674, 32768),
    "Qwen2.5-1.5B": _model("qwen2", 1536, 28, 12, 2, 8960, 151674, 32768),
    "Qwen2.5-3B": _model("qwen2", 2048, 36, 16, 2, 11008, 151674, 32768),
    "Qwen2.5-7B": _model("qwen2", 3584, 28, 28, 4, 18944, 151674, 32768),
    "Qwen2.5-14B": _model("qwen2", 5120, 48, 40, 8, 13824, 151674, 32768),
    "Qwen2.5-32B": _model("qwen2", 5120, 64, 40, 8, 27648, 151674, 32768),
    "Qwen2.5-72B": _model("qwen2", 8192, 80, 64, 8, 29568, 151674, 32768),
    "Qwen3-0.6B": _model("qwen3", 1024, 28, 16, 8, 3072, 151936, 40960, head_dim=128),
    "Qwen3-1.7B": _model("qwen3", 2048, 28, 16, 8, 6144, 151936, 40960, head_dim=128),
    "Qwen3-4B": _model("qwen3", 2560, 36, 32, 8, 9728, 151936, 40960, head_dim=128),
    "Qwen3-8B": _model("qwen3", 4096, 36, 32, 8, 12288, 151936, 40960, head_dim=128),
    "Qwen3-14B": _model("qwen3", 5120, 40, 40, 8, 17408, 151936, 40960, head_dim=128),
    "Qwen3-32B": _model("qwen3", 5120, 64, 64, 8, 25600, 151936, 40960, head_dim=128),
    "Qwen3-30B-A3B": _model(
        "qwen3_moe", 2048, 48, 32, 4, 768, 151936, 40960, head_dim=128, experts=128, active=8
    ),
    "Qwen3-235B-A22B": _model(
        "qwen3_moe", 4096, 94, 64, 4, 1536, 151936, 40960, head_dim=128, experts=128, active=8
    ),
    "GPT-OSS-20B": _model(
        "gpt_oss", 2880, 24, 64, 8, 2880, 201088, 131072, head_dim=64, experts=32, active=4
    ),
}


@dataclass(frozen=True)
class Entry:
    """One size in one generation.

    Attributes:
        name: Its name on the hub, without OpenGVLab/.
        backbone: A key of `BACKBONES`.
        vision: Its InternViT.
        template: The conversation template that its config names.
        variants: Suffixes of further checkpoints of the same architecture; ``-AWQ`` is the 4-bit
            one.
        checked: Whether the sizes were compared with a config or a card of the checkpoint.
    """

    name: str
    backbone: str
    vision: VisionTower
    template: str
    variants: tuple[str, ...] = ()
    checked: bool = True
    architecture: Architecture = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "architecture", Architecture(self.vision, BACKBONES[self.backbone])
        )

    @property
    def names(self) -> list[str]:
        """The name of every checkpoint in the row."""
        return [self.name, *(self.name + variant for variant in self.variants)]


def _entries(
    prefix: str,
    template: str,
    rows: dict[str, tuple[str, str, tuple[str, ...]]],
    *,
    checked: bool = True,
) -> list[Entry]:
    """Rows of one generation: size → backbone, ``S`` for the 300M tower or ``L`` for the 6B,
    variants."""
    towers = {"S": INTERNVIT_300M, "L": INTERNVIT_6B}
    return [
        Entry(prefix + size, backbone, towers[tower], template, variants, checked)
        for size, (backbone, tower, variants) in rows.items()
    ]


_MPO, _AWQ, _BOTH = ("-MPO",), ("-AWQ",), ("-MPO", "-AWQ")
_V3 = ("-Instruct", "-Pretrained", "-AWQ")
_V3_5 = ("-Instruct", "-Pretrained", "-MPO")

REGISTRY = [
    Entry("InternVL-Chat-V1-1", "LLaMA2-13B", INTERNVIT_6B, "internvl_zh", checked=False),
    Entry("InternVL-Chat-V1-2", "Yi-34B", INTERNVIT_6B, "Hermes-2", ("-Plus",), checked=False),
    Entry("InternVL-Chat-V1-5", "InternLM2-20B", INTERNVIT_6B, "internlm2-chat", ("-Int8", "-AWQ")),
    Entry("Mini-InternVL-Chat-2B-V1-5", "InternLM2-1.8B", INTERNVIT_300M, "internlm2-chat"),
    Entry("Mini-InternVL-Chat-4B-V1-5", "Phi-3-mini-128k", INTERNVIT_300M, "phi3-chat"),
    *_entries("InternVL2-", "Hermes-2", {"1B": ("Qwen2-0.5B", "S", ())}),
    *_entries("InternVL2-", "internlm2-chat", {"2B": ("InternLM2-1.8B", "S", _AWQ)}),
    *_entries("InternVL2-", "phi3-chat", {"4B": ("Phi-3-mini-128k", "S", ())}),
    *_entries(
        "InternVL2-",
        "internlm2-chat",
        {"8B": ("InternLM2.5-7B", "S", _BOTH), "26B": ("InternLM2-20B", "L", _AWQ)},
    ),
    *_entries("InternVL2-", "Hermes-2", {"40B": ("Yi-34B", "L", _AWQ)}),
    *_entries("InternVL2-", "internlm2-chat", {"Llama3-76B": ("Llama-3-70B", "L", _AWQ)}),
    *_entries(
        "InternVL2_5-",
        "internvl2_5",
        {
            "1B": ("Qwen2.5-0.5B", "S", _MPO),
            "2B": ("InternLM2.5-1.8B", "S", _MPO),
            "4B": ("Qwen2.5-3B", "S", _BOTH),
            "8B": ("InternLM2.5-7B", "S", _BOTH),
            "26B": ("InternLM2.5-20B", "L", _BOTH),
            "38B": ("Qwen2.5-32B", "L", _BOTH),
            "78B": ("Qwen2.5-72B", "L", (*_BOTH, "-MPO-AWQ")),
        },
    ),
    *_entries(
        "InternVL3-",
        "internvl2_5",
        {
            "1B": ("Qwen2.5-0.5B", "S", _V3),
            "2B": ("Qwen2.5-1.5B", "S", _V3),
            "8B": ("Qwen2.5-7B", "S", _V3),
            "9B": ("InternLM3-8B", "S", _V3),
            "14B": ("Qwen2.5-14B", "S", _V3),
            "38B": ("Qwen2.5-32B", "L", _V3),
            "78B": ("Qwen2.5-72B", "L", _V3),
        },
    ),
    *_entries(
        "InternVL3_5-",
        "internvl2_5",
        {
            "1B": ("Qwen3-0.6B", "S", _V3_5),
            "2B": ("Qwen3-1.7B", "S", _V3_5),
            "4B": ("Qwen3-4B", "S", _V3_5),
            "8B": ("Qwen3-8B", "S", _V3_5),
            "14B": ("Qwen3-14B", "S", _V3_5),
            "38B": ("Qwen3-32B", "L", _V3_5),
            "30B-A3B": ("Qwen3-30B-A3B", "S", _V3_5),
            "241B-A28B": ("Qwen3-235B-A22B", "L", _V3_5),
        },
        checked=False,
    ),
    Entry(
        "InternVL3_5-GPT-OSS-20B-A4B-Preview",
        "GPT-OSS-20B",
        INTERNVIT_300M,
        "internvl3_5_gpt_oss",
        checked=False,
    ),
]
