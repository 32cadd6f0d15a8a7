"""The objects that the model knows: their artwork, their other names, how large they are.

The artwork is Microsoft's Fluent Emoji (MIT), by code point in training/artwork/. Squares,
circles, cubes and balls in nine colours, and the chess board, are painted.
"""

from __future__ import annotations

ARTWORK = {
    # heads, to which figures.py gives a body
    "cat": "1f431", "dog": "1f436", "fox": "1f98a", "lion": "1f981", "tiger": "1f42f",
    "bear": "1f43b", "panda": "1f43c", "rabbit": "1f430", "pig": "1f437", "monkey": "1f435",
    "frog": "1f438", "koala": "1f428", "wolf": "1f43a", "mouse": "1f42d", "polar bear": "1f43b-200d-2744-fe0f",
    "border collie": "1f436", "robot": "1f916", "old man": "1f474", "old woman": "1f475",
    "man": "1f468", "woman": "1f469", "boy": "1f466", "girl": "1f467",
    # people to the waist
    "astronaut": "1f9d1-200d-1f680", "pilot": "1f9d1-200d-2708-fe0f", "king": "1f934",
    "princess": "1f478", "wizard": "1f9d9", "ninja": "1f977",
    # animals
    "horse": "1f40e", "cow": "1f404", "elephant": "1f418", "penguin": "1f427", "owl": "1f989",
    "duck": "1f986", "fish": "1f41f", "whale": "1f433", "octopus": "1f419", "turtle": "1f422",
    "snake": "1f40d", "butterfly": "1f98b", "chicken": "1f414", "snail": "1f40c", "crab": "1f980",
    "camel": "1f42b", "unicorn": "1f984", "dragon": "1f409", "dinosaur": "1f996", "shark": "1f988",
    "dolphin": "1f42c", "parrot": "1f99c", "flamingo": "1f9a9", "swan": "1f9a2", "hedgehog": "1f994",
    "giraffe": "1f992", "zebra": "1f993", "gorilla": "1f98d", "sheep": "1f411", "deer": "1f98c",
    "squirrel": "1f43f-fe0f", "bee": "1f41d", "ladybug": "1f41e", "crocodile": "1f40a",
    # food
    "banana": "1f34c", "grapes": "1f347", "strawberry": "1f353", "lemon": "1f34b",
    "watermelon": "1f349", "carrot": "1f955", "mushroom": "1f344", "apple": "1f34e",
    "cherries": "1f352", "pineapple": "1f34d", "pizza": "1f355", "hamburger": "1f354",
    "doughnut": "1f369", "bread": "1f35e", "cake": "1f382", "ice cream": "1f366", "pumpkin": "1f383",
    # plants and weather
    "rose": "1f339", "tulip": "1f337", "cactus": "1f335", "sunflower": "1f33b", "tree": "1f333",
    "palm tree": "1f334", "rainbow": "1f308", "sun": "1f31e", "moon": "1f319", "star": "2b50",
    "cloud": "2601-fe0f", "snowman": "26c4", "fire": "1f525", "umbrella": "2602-fe0f",
    # vehicles
    "rocket": "1f680", "bicycle": "1f6b2", "bus": "1f68c", "automobile": "1f697", "tractor": "1f69c",
    "airplane": "2708-fe0f", "sailboat": "26f5", "helicopter": "1f681", "locomotive": "1f682",
    "motorcycle": "1f3cd-fe0f", "fire engine": "1f692", "ship": "1f6a2", "flying saucer": "1f6f8",
    # music
    "guitar": "1f3b8", "violin": "1f3bb", "trumpet": "1f3ba", "drum": "1f941", "bell": "1f514",
    "saxophone": "1f3b7",
    # things
    "crown": "1f451", "top hat": "1f3a9", "helmet": "1fa96", "sunglasses": "1f576-fe0f",
    "goggles": "1f97d", "key": "1f511", "balloon": "1f388", "anchor": "2693", "camera": "1f4f7",
    "gift": "1f381", "house": "1f3e0", "castle": "1f3f0", "mountain": "1f3d4-fe0f", "tent": "26fa",
    "chair": "1fa91", "heart": "2764-fe0f", "chess piece": "265f-fe0f", "teddy bear": "1f9f8",
    "book": "1f4d6", "clock": "23f0", "teapot": "1fad6", "candle": "1f56f-fe0f", "telescope": "1f52d",
    "ghost": "1f47b", "alien": "1f47d",
}  # fmt: skip
COLORS = {
    "red": (226, 52, 56), "orange": (246, 140, 44), "yellow": (250, 208, 58), "green": (58, 172, 78),
    "blue": (48, 116, 230), "purple": (146, 82, 210), "brown": (142, 92, 62), "black": (44, 44, 50),
    "white": (246, 246, 250),
}  # fmt: skip
FORMS = ("square", "circle", "cube", "ball")
SHAPES = {f"{color} {form}": (color, form) for form in FORMS for color in COLORS}
PAINTED = ("chess board", "aviator cap")
OBJECTS = [*ARTWORK, *PAINTED]
NAMES = [*OBJECTS, *SHAPES]

HEADS = list(ARTWORK)[: list(ARTWORK).index("astronaut")]
BUSTS = ["astronaut", "pilot", "king", "princess", "wizard", "ninja"]
CHARACTERS = HEADS + BUSTS
PEOPLE = ["old man", "old woman", "man", "woman", "boy", "girl", *BUSTS]
MOUNTS = ["horse", "elephant", "cow", "camel", "turtle", "whale", "duck", "zebra", "giraffe",
          "sheep", "dinosaur", "snail", "bicycle", "motorcycle", "swan", "dolphin"]  # fmt: skip
HATS = ["crown", "top hat", "sunglasses", "goggles"]
INSTRUMENTS = ["guitar", "violin", "trumpet", "saxophone", "drum"]

# those that are in the air, those that are in the water, and what stands about in the open
FLYING = {"airplane", "helicopter", "rocket", "balloon", "butterfly", "bee", "sun", "moon", "star",
          "cloud", "rainbow", "flying saucer", "ghost", "parrot"}  # fmt: skip
SKY_ONLY = {"sun", "moon", "star", "cloud", "rainbow"}
SWIMMING = {"fish", "whale", "octopus", "shark", "dolphin", "turtle", "crab", "duck", "swan"}
AFLOAT = {"sailboat", "ship"} | SWIMMING
LARGE = {"castle": 1.35, "mountain": 1.4, "house": 1.2, "tree": 1.25, "palm tree": 1.25, "whale": 1.15,
         "elephant": 1.15, "giraffe": 1.25, "ship": 1.2, "rainbow": 1.3, "bus": 1.15, "dragon": 1.15,
         "dinosaur": 1.15, "locomotive": 1.15, "tent": 1.1, "horse": 1.1, "chess board": 1.2,
         "fire engine": 1.1, "rocket": 1.1}  # fmt: skip
SMALL = {"bee": 0.75, "ladybug": 0.75, "strawberry": 0.8, "cherries": 0.8, "lemon": 0.8, "key": 0.8,
         "mouse": 0.9, "snail": 0.8, "apple": 0.8, "banana": 0.85, "doughnut": 0.85, "bell": 0.85,
         "sunglasses": 0.8, "goggles": 0.8, "crown": 0.85, "candle": 0.8, "chess piece": 0.8,
         "butterfly": 0.85, "star": 0.8, "grapes": 0.85}  # fmt: skip
NEVER_MIRRORED = {"key"}  # nothing is read, but the key's bit is all that says its side

# Other words for the same thing, so that a person need not know ours.
ALIASES = {
    "cat": ["kitten"], "dog": ["puppy"], "horse": ["pony"], "rabbit": ["bunny"],
    "automobile": ["car"], "bicycle": ["bike"], "airplane": ["plane"], "sailboat": ["boat"],
    "locomotive": ["train"], "doughnut": ["donut"], "hamburger": ["burger"], "fire": ["flame"],
    "astronaut": ["spaceman"], "gift": ["present"], "monkey": ["ape"], "chicken": ["hen"],
    "old man": ["elderly man", "grandfather"], "old woman": ["elderly woman", "grandmother"],
    "dinosaur": ["t-rex"], "flying saucer": ["ufo"], "motorcycle": ["motorbike"],
    "chess piece": ["pawn"], "clock": ["alarm clock"], "boy": ["child"], "wizard": ["magician"],
    "teddy bear": ["teddy"], "sheep": ["lamb"], "chess board": ["chess set"], "ship": ["steamer"],
    "crocodile": ["alligator"], "king": ["prince"], "princess": ["queen"],
}  # fmt: skip
ALIASES |= {f"{c} cube": [f"{c} box"] for c in COLORS}
ALIASES |= {f"{c} ball": [f"{c} sphere"] for c in COLORS}
ALIASES |= {f"{c} circle": [f"{c} disc"] for c in COLORS}
PLURALS = {
    "fox": "foxes", "box": "boxes", "fish": "fish", "octopus": "octopuses", "butterfly": "butterflies",
    "grapes": "grapes", "strawberry": "strawberries", "cherries": "cherries", "bus": "buses",
    "cactus": "cacti", "bunny": "bunnies", "puppy": "puppies", "pony": "ponies",
    "snowman": "snowmen", "spaceman": "spacemen", "border collie": "border collies",
    "bread": "breads", "wolf": "wolves", "mouse": "mice", "old man": "old men",
    "elderly man": "elderly men", "old woman": "old women", "elderly woman": "elderly women",
    "man": "men", "woman": "women", "child": "children", "princess": "princesses", "sheep": "sheep",
    "deer": "deer", "sunglasses": "sunglasses", "goggles": "goggles", "ladybug": "ladybugs",
}  # fmt: skip
NO_ARTICLE = {"grapes", "cherries", "bread", "fire", "sunglasses", "goggles"}


def size_of(name: str) -> float:
    """How large a thing is beside others: 1 for most, 1.4 for a mountain, 0.75 for a bee."""
    return LARGE.get(name) or SMALL.get(name) or 1.0
