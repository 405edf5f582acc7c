"""vLLM plugin of the rivals: the config class of ``internvl_chat``, and nothing else of this
project.

Model class and processor stay vLLM's own. Without it vLLM runs the checkpoint's remote code to read
its config.
"""

from transformers import AutoConfig


def register() -> None:
    from internvl_ops.models.vllm_plugin.hf_config import InternVLChatConfig

    AutoConfig.register("internvl_chat", InternVLChatConfig, exist_ok=True)
