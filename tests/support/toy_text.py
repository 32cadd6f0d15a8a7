"""Text encoders of toy size with random weights, and a tokenizer that reads any text in bytes.

The configurations follow diffusers' own tests (Apache 2.0), which take theirs from the hub:
https://github.com/huggingface/diffusers/tree/main/tests/pipelines
"""

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.support.toys import TEXT, tokenizer

SPECIAL = [
    "<pad>", "</s>", "<s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
    "<bos>", "<eos>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]",
]  # fmt: skip
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% elif part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = 320  # of every vocabulary: bytes and special tokens, with some to spare


def byte_tokenizer(start="", **options):
    """Reads each byte as a token: templates and prompts keep their lengths, as real ones do.

    `start` is a token that it puts before each text, as GLM's does.
    """
    known = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    model = Tokenizer(models.BPE({token: i for i, token in enumerate(known)}, []))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    if start:
        model.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, known.index(start))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", eos_token="</s>", bos_token="<s>",
        unk_token="<unk>", additional_special_tokens=SPECIAL[4:],
        **{"model_max_length": 512, "padding_side": "right", **options},
    )  # fmt: skip
    fast.chat_template = CHAT
    return fast


def clip(width=32, projected=False, **changes):
    config = transformers.CLIPTextConfig(
        **{**TEXT, "hidden_size": width, "projection_dim": width, **changes}
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(config).eval()


def t5(width=32, kind="T5", **changes):
    config = getattr(transformers, f"{kind}Config")(
        **{
            "vocab_size": WORDS, "d_model": width, "d_kv": 8, "d_ff": 37, "num_layers": 2,
            "num_heads": 4, **changes,
        }
    )  # fmt: skip
    return getattr(transformers, f"{kind}EncoderModel")(config).eval()


def llm(kind, model="Model", width=16, **changes):
    """A language model, such as kind="Qwen3", model="ForCausalLM"."""
    config = getattr(transformers, f"{kind}Config")(
        **{
            "vocab_size": WORDS, "hidden_size": width, "intermediate_size": 32,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
            "head_dim": 8, "max_position_embeddings": 4096, "pad_token_id": 0, "bos_token_id": 2,
            "eos_token_id": 1, **changes,
        }
    )  # fmt: skip
    return getattr(transformers, f"{kind}{model}")(config).eval()


def qwen_vl(kind="Qwen2_5_VL", model="ForConditionalGeneration", width=16, layers=2):
    """Qwen's models that read pictures too: Qwen2_5_VL and Qwen3VL."""
    sections = [1, 1, 2] if width == 16 or "3" in kind else [2, 2, 4]
    text = {
        "vocab_size": WORDS, "hidden_size": width, "intermediate_size": width,
        "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 2,
        "rope_theta": 1000000.0, "pad_token_id": 0, "max_position_embeddings": 4096,
        "rope_scaling": {"mrope_section": sections, "rope_type": "default", "type": "default"},
    }  # fmt: skip
    if "3" in kind:
        text["head_dim"] = 8
    places = {
        "image_token_id": SPECIAL.index("<|image_pad|>"),
        "video_token_id": SPECIAL.index("<|video_pad|>"),
        "vision_start_token_id": SPECIAL.index("<|vision_start|>"),
        "vision_end_token_id": SPECIAL.index("<|vision_end|>"),
    }
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
        "out_hidden_size": width,
    }  # fmt: skip
    if "3" in kind:
        vision["deepstack_visual_indexes"] = [0]
    config = getattr(transformers, f"{kind}Config")(
        text_config=text, vision_config=vision, **places
    )
    return getattr(transformers, f"{kind}{model}")(config).eval()


__all__ = ["SPECIAL", "WORDS", "byte_tokenizer", "clip", "llm", "qwen_vl", "t5", "tokenizer"]
