"""What the model cards' `chat()` gives to the tokenizer, written out, for every template and kind
of prompt.

``[7]`` stands for one image of seven tiles: ``<img>``, its context tokens, ``</img>``. The texts
follow `conversation.py` and `modeling_internvl_chat.py` of the published checkpoints and the
examples of their cards.
"""

GOLDEN: dict[tuple[str, str], str] = {
    ("Hermes-2", "text"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Hello, who are you?<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("Hermes-2", "one image"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("Hermes-2", "combined images"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[10]\n"
        "Describe the two images in detail.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("Hermes-2", "separate images"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Image-1: [7]\n"
        "Image-2: [3]\n"
        "Describe the two images in detail.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("Hermes-2", "video"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Frame1: [1]\n"
        "Frame2: [1]\n"
        "Frame3: [1]\n"
        "What is the red panda doing?<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("Hermes-2", "second turn"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image in detail.<|im_end|>"
        "<|im_start|>assistant\n"
        "A red panda.<|im_end|>"
        "<|im_start|>user\n"
        "Please write a poem according to the image.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "text"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Hello, who are you?<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "one image"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "combined images"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[10]\n"
        "Describe the two images in detail.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "separate images"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Image-1: [7]\n"
        "Image-2: [3]\n"
        "Describe the two images in detail.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "video"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "Frame1: [1]\n"
        "Frame2: [1]\n"
        "Frame3: [1]\n"
        "What is the red panda doing?<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("internlm2-chat", "second turn"): (
        "<|im_start|>system\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image in detail.<|im_end|>"
        "<|im_start|>assistant\n"
        "A red panda.<|im_end|>"
        "<|im_start|>user\n"
        "Please write a poem according to the image.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    ("phi3-chat", "text"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "Hello, who are you?<|end|>"
        "<|assistant|>\n"
    ),
    ("phi3-chat", "one image"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "[7]\n"
        "Please describe the image shortly.<|end|>"
        "<|assistant|>\n"
    ),
    ("phi3-chat", "combined images"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "[10]\n"
        "Describe the two images in detail.<|end|>"
        "<|assistant|>\n"
    ),
    ("phi3-chat", "separate images"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "Image-1: [7]\n"
        "Image-2: [3]\n"
        "Describe the two images in detail.<|end|>"
        "<|assistant|>\n"
    ),
    ("phi3-chat", "video"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "Frame1: [1]\n"
        "Frame2: [1]\n"
        "Frame3: [1]\n"
        "What is the red panda doing?<|end|>"
        "<|assistant|>\n"
    ),
    ("phi3-chat", "second turn"): (
        "<|system|>\n"
        "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL,"
        " 是一个有用无害的人工智能助手。"
        "<|end|>"
        "<|user|>\n"
        "[7]\n"
        "Please describe the image in detail.<|end|>"
        "<|assistant|>\n"
        "A red panda.<|end|>"
        "<|user|>\n"
        "Please write a poem according to the image.<|end|>"
        "<|assistant|>\n"
    ),
    ("internvl2_5", "text"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "Hello, who are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl2_5", "one image"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl2_5", "combined images"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "[10]\n"
        "Describe the two images in detail.<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl2_5", "separate images"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "Image-1: [7]\n"
        "Image-2: [3]\n"
        "Describe the two images in detail.<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl2_5", "video"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "Frame1: [1]\n"
        "Frame2: [1]\n"
        "Frame3: [1]\n"
        "What is the red panda doing?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl2_5", "second turn"): (
        "<|im_start|>system\n"
        "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、"
        "清华大学及多家合作单位联合开发的多模态大语言模型。<|im_end|>\n"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image in detail.<|im_end|>\n"
        "<|im_start|>assistant\n"
        "A red panda.<|im_end|>\n"
        "<|im_start|>user\n"
        "Please write a poem according to the image.<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    ("internvl_zh", "text"): " <human>: Hello, who are you? <bot>:",
    ("internvl_zh", "one image"): " <human>: [7]\nPlease describe the image shortly. <bot>:",
    ("internvl_zh", "combined images"): " <human>: [10]\nDescribe the two images in detail. <bot>:",
    (
        "internvl_zh",
        "separate images",
    ): " <human>: Image-1: [7]\nImage-2: [3]\nDescribe the two images in detail. <bot>:",
    (
        "internvl_zh",
        "video",
    ): " <human>: Frame1: [1]\nFrame2: [1]\nFrame3: [1]\nWhat is the red panda doing? <bot>:",
    ("internvl_zh", "second turn"): (
        " "
        "<human>: [7]\n"
        "Please describe the image in detail. "
        "<bot>: A red panda.</s>"
        "<human>: Please write a poem according to the image. "
        "<bot>:"
    ),
    ("internvl3_5_gpt_oss", "text"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>Hello, who are you?<|end|>"
        "<|start|>assistant"
    ),
    ("internvl3_5_gpt_oss", "one image"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>[7]\n"
        "Please describe the image shortly.<|end|>"
        "<|start|>assistant"
    ),
    ("internvl3_5_gpt_oss", "combined images"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>[10]\n"
        "Describe the two images in detail.<|end|>"
        "<|start|>assistant"
    ),
    ("internvl3_5_gpt_oss", "separate images"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>Image-1: [7]\n"
        "Image-2: [3]\n"
        "Describe the two images in detail.<|end|>"
        "<|start|>assistant"
    ),
    ("internvl3_5_gpt_oss", "video"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>Frame1: [1]\n"
        "Frame2: [1]\n"
        "Frame3: [1]\n"
        "What is the red panda doing?<|end|>"
        "<|start|>assistant"
    ),
    ("internvl3_5_gpt_oss", "second turn"): (
        "<|start|>system<|message|>You are InternVL, a large language model trained by Shanghai "
        "AI Laboratory.\n"
        "Knowledge cutoff: 2024-06\n"
        "Current date: 2025-08-06\n"
        "\n"
        "Reasoning: low\n"
        "\n"
        "# Valid channels: final. Channel must be included for every message.<|end|>"
        "<|start|>user<|message|>[7]\n"
        "Please describe the image in detail.<|end|>"
        "<|start|>assistantA red panda.<|end|>"
        "<|start|>user<|message|>Please write a poem according to the image.<|end|>"
        "<|start|>assistant"
    ),
}

# The same with `system_message` in config.json.
OWN_SYSTEM: dict[str, str] = {
    "Hermes-2": (
        "<|im_start|>system\n"
        "You answer in one word.<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    "internlm2-chat": (
        "<|im_start|>system\n"
        "You answer in one word.<|im_end|>"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>"
        "<|im_start|>assistant\n"
    ),
    "phi3-chat": (
        "<|system|>\n"
        "You answer in one word.<|end|>"
        "<|user|>\n"
        "[7]\n"
        "Please describe the image shortly.<|end|>"
        "<|assistant|>\n"
    ),
    "internvl2_5": (
        "<|im_start|>system\n"
        "You answer in one word.<|im_end|>\n"
        "<|im_start|>user\n"
        "[7]\n"
        "Please describe the image shortly.<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "internvl_zh": (
        "You answer in one word. <human>: [7]\nPlease describe the image shortly. <bot>:"
    ),
    "internvl3_5_gpt_oss": (
        "<|start|>system<|message|>You answer in one word.<|end|>"
        "<|start|>user<|message|>[7]\n"
        "Please describe the image shortly.<|end|>"
        "<|start|>assistant"
    ),
}
