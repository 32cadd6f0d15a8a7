"""The world that the embedded model knows: objects in places, in a light, in a style."""

from training.world.objects import COLORS, NAMES, OBJECTS, SHAPES
from training.world.picture import object_map, outline, render
from training.world.places import PLACES, PLAIN, SIZE
from training.world.scene import Item, Scene, held_out, is_held_out
from training.world.sentences import sentence, vocabulary
from training.world.skies import LIGHTS
from training.world.stream import MIX, draw, scenes
from training.world.styles import STYLES

__all__ = [
    "COLORS", "LIGHTS", "MIX", "NAMES", "OBJECTS", "PLACES", "PLAIN", "SHAPES", "SIZE", "STYLES",
    "Item", "Scene", "draw", "held_out", "is_held_out", "object_map", "outline", "render", "scenes", "sentence",
    "vocabulary",
]  # fmt: skip
