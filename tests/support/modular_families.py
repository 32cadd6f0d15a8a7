"""Every modular pipeline of diffusers that makes pictures from text, at toy size.

Its parts are those of the classic pipeline of the same model (tests/support/families.py).
"""

import diffusers

from tests.support import families

# modular class -> the classic toy whose parts it takes, and options of its own
TOYS = {
    "ErnieImageModularPipeline": ("ErnieImagePipeline", {}),
    "Flux2KleinBaseModularPipeline": ("Flux2KleinPipeline", {}),
    "Flux2KleinModularPipeline": ("Flux2KleinPipeline", {}),
    "Flux2ModularPipeline": ("Flux2Pipeline", {}),
    "FluxKontextModularPipeline": ("FluxKontextPipeline", {}),
    "FluxModularPipeline": ("FluxPipeline", {}),
    "Ideogram4ModularPipeline": ("Ideogram4Pipeline", {}),
    "Krea2ModularPipeline": ("Krea2Pipeline", {}),
    "Krea2TurboModularPipeline": ("Krea2Pipeline", {}),
    "QwenImageModularPipeline": ("QwenImagePipeline", {}),
    "StableDiffusion3ModularPipeline": ("StableDiffusion3Pipeline", {}),
    "StableDiffusionXLModularPipeline": ("StableDiffusionXLPipeline", {}),
    "ZImageModularPipeline": ("ZImagePipeline", {}),
}


def made(name):
    """A new toy pipeline of that modular class, always the same weights."""
    classic, options = TOYS[name]
    whole = families.made(classic)
    pipe = getattr(diffusers, name)()
    known = {spec.name for spec in pipe.blocks.expected_components}
    parts = {k: v for k, v in whole.components.items() if k in known and v is not None}
    pipe.update_components(**parts, **options)
    return pipe


__all__ = ["TOYS", "made"]
