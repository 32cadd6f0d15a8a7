"""The world that the embedded model knows: objects, scenes, their pictures and their sentences.

A scene lies on a grid of 8 x 8 cells of 16 pixels, the grid of the latents (16 x down), so that
an object moved by a cell is the same latents moved by one place: the denoiser learns each object
once a size and not once a pixel.

Artwork: Noto Color Emoji (SIL Open Font License 1.1), drawn by Pillow from the installed font.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from PIL import Image, ImageDraw, ImageFont, features

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"  # Debian's fonts-noto-color-emoji
CELLS, CELL = 8, 16  # cells a side, pixels a cell
SIZE = CELLS * CELL  # 128 pixels a side

OBJECTS = {
    # animals
    "cat": "🐱", "dog": "🐶", "horse": "🐎", "fox": "🦊", "lion": "🦁", "tiger": "🐯",
    "bear": "🐻", "panda": "🐼", "rabbit": "🐰", "pig": "🐷", "cow": "🐄", "elephant": "🐘",
    "monkey": "🐵", "penguin": "🐧", "owl": "🦉", "duck": "🦆", "fish": "🐟", "whale": "🐳",
    "octopus": "🐙", "turtle": "🐢", "snake": "🐍", "butterfly": "🦋", "frog": "🐸",
    "koala": "🐨", "chicken": "🐔", "snail": "🐌", "crab": "🦀", "camel": "🐫",
    # food
    "banana": "🍌", "grapes": "🍇", "strawberry": "🍓", "lemon": "🍋", "watermelon": "🍉",
    "carrot": "🥕", "mushroom": "🍄", "apple": "🍎", "cherries": "🍒", "pineapple": "🍍",
    "pizza": "🍕", "hamburger": "🍔", "doughnut": "🍩", "bread": "🍞",
    # plants and weather
    "rose": "🌹", "tulip": "🌷", "cactus": "🌵", "sunflower": "🌻", "tree": "🌳",
    "rainbow": "🌈", "sun": "🌞", "moon": "🌙", "star": "⭐", "cloud": "☁️", "snowman": "⛄",
    "fire": "🔥", "umbrella": "☂️",
    # vehicles
    "rocket": "🚀", "bicycle": "🚲", "bus": "🚌", "automobile": "🚗", "tractor": "🚜",
    "airplane": "✈️", "sailboat": "⛵", "helicopter": "🚁", "locomotive": "🚂",
    # music
    "guitar": "🎸", "violin": "🎻", "trumpet": "🎺", "drum": "🥁", "bell": "🔔",
    # things and people
    "crown": "👑", "key": "🔑", "robot": "🤖", "astronaut": "🧑‍🚀", "balloon": "🎈",
    "anchor": "⚓", "camera": "📷", "gift": "🎁", "house": "🏠", "chair": "🪑", "heart": "❤️",
}  # fmt: skip
SHAPE_COLORS = {
    "red": "🟥🔴", "orange": "🟧🟠", "yellow": "🟨🟡", "green": "🟩🟢", "blue": "🟦🔵",
    "purple": "🟪🟣", "brown": "🟫🟤", "black": "⬛⚫", "white": "⬜⚪",
}  # fmt: skip
SHAPES = {
    f"{color} {kind}": pair[i]
    for i, kind in enumerate(("square", "circle"))
    for color, pair in SHAPE_COLORS.items()
}
PICTURES = OBJECTS | SHAPES
NAMES = list(PICTURES)

# Other words for the same thing, so that a person need not know ours.
ALIASES = {
    "cat": ["kitten"], "dog": ["puppy", "border collie"], "horse": ["pony"], "rabbit": ["bunny"],
    "automobile": ["car"], "bicycle": ["bike"], "airplane": ["plane"], "sailboat": ["boat"],
    "locomotive": ["train"], "doughnut": ["donut"], "hamburger": ["burger"], "fire": ["flame"],
    "astronaut": ["spaceman"], "gift": ["present"], "monkey": ["ape"], "chicken": ["hen"],
}  # fmt: skip
ALIASES |= {f"{c} square": [f"{c} cube", f"{c} box"] for c in SHAPE_COLORS}
ALIASES |= {f"{c} circle": [f"{c} ball", f"{c} disc"] for c in SHAPE_COLORS}
PLURALS = {
    "fox": "foxes", "fish": "fish", "octopus": "octopuses", "butterfly": "butterflies",
    "grapes": "grapes", "strawberry": "strawberries", "cherries": "cherries", "bus": "buses",
    "cactus": "cacti", "bunny": "bunnies", "puppy": "puppies", "pony": "ponies",
    "snowman": "snowmen", "spaceman": "spacemen", "border collie": "border collies",
    "bread": "breads",
}  # fmt: skip

BACKGROUNDS = {
    "white": (255, 255, 255), "black": (16, 16, 16), "red": (222, 52, 52), "blue": (58, 112, 220),
    "green": (60, 168, 76), "yellow": (250, 216, 70), "pink": (250, 164, 196),
    "gray": (150, 150, 150),
}  # fmt: skip
UNNAMED = [(255, 255, 255)] * 4 + [
    (232, 240, 252),
    (252, 240, 226),
    (232, 246, 234),
    (242, 234, 250),
]

RIDERS = ["astronaut", "robot", "monkey", "cat", "dog", "bear", "panda", "fox", "lion", "tiger",
          "rabbit", "pig", "frog", "koala", "penguin", "snowman"]  # fmt: skip
MOUNTS = ["horse", "elephant", "cow", "camel", "turtle", "whale", "fish", "duck", "bicycle", "snail",
          "automobile", "tractor", "bus", "sailboat"]  # fmt: skip
COUNT_WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}
ARRANGEMENTS = ["single", "small", "count", "beside", "above", "riding", "rows", "columns"]


@dataclass(frozen=True)
class Item:
    """One object on the grid: its name, the cell of its upper left corner, its side in cells."""

    name: str
    x: int
    y: int
    side: int


@dataclass(frozen=True)
class Scene:
    """A picture to be: what stands where, and the sentence that says so.

    `kinds` is what the sentence means: ((name, count), …), the left or upper one first.
    """

    items: tuple[Item, ...]
    kinds: tuple[tuple[str, int], ...]
    arrangement: str  # one of ARRANGEMENTS
    background: str | None  # a key of BACKGROUNDS, or None where the sentence names none
    rgb: tuple[int, int, int]
    caption: str = ""


# ---------------------------------------------------------------- pictures


@cache
def sprite(name: str, pixels: int) -> Image.Image:
    """The object's artwork, cropped and fitted into a square of `pixels`, RGBA."""
    if not features.check("raqm"):
        raise RuntimeError(
            "Pillow draws joined emoji, such as the astronaut, only with Raqm: its wheels have it, "
            "and need the system's libfribidi (Debian's libfribidi0)."
        )
    font = ImageFont.truetype(FONT, 109)  # the only size of the font's bitmaps
    canvas = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((10, 10), PICTURES[name], font=font, embedded_color=True)
    glyph = canvas.crop(canvas.getbbox())
    room = pixels - 2  # a pixel of air on each side
    scale = room / max(glyph.size)
    glyph = glyph.resize(
        (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))),
        Image.Resampling.LANCZOS,
    )
    square = Image.new("RGBA", (pixels, pixels), (0, 0, 0, 0))
    square.paste(glyph, ((pixels - glyph.width) // 2, (pixels - glyph.height) // 2))
    return square


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 128 x 128; later items lie on top of earlier ones."""
    picture = Image.new("RGB", (SIZE, SIZE), scene.rgb)
    for item in scene.items:
        art = sprite(item.name, item.side * CELL)
        picture.paste(art, (item.x * CELL, item.y * CELL), art)
    return picture


# ---------------------------------------------------------------- what is held out


def held_out(*combination: object) -> bool:
    """Whether this combination is kept from training: 15 % of all, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, combination)).encode()).digest()
    return digest[0] < 0.15 * 256


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a combination that training never shows.

    "a cat to the left of a dog" and "a dog to the right of a cat" are one combination.
    """
    if scene.arrangement in ("beside", "above", "riding"):
        (a, _), (b, _) = scene.kinds
        return held_out(scene.arrangement, a, b)
    return any(held_out("count", name, n) for name, n in scene.kinds if n > 1)


# ---------------------------------------------------------------- layouts


# n > 2 objects of half the picture each: where they begin. One above two, and two above two: a
# number that always looks alike is easier to count, for people and for the denoiser.
CROWD = {3: ((2, 0), (0, 4), (4, 4)), 4: ((0, 0), (4, 0), (0, 4), (4, 4))}


def _halves(rng: Random, a: str, b: str, vertical: bool) -> tuple[Item, ...]:
    """Two objects of half the picture each, a left of (or above) b."""
    side = 4
    start = rng.randint(0, CELLS - side)
    across = [start, min(CELLS - side, max(0, start + rng.choice([0, 0, -1, 1])))]
    along = [0, CELLS - side]
    places = zip(across, along) if vertical else zip(along, across)
    return tuple(Item(name, x, y, side) for name, (x, y) in zip((a, b), places))


# n objects in a line of 8 cells: their side, and where each begins
LINE = {1: (3, (2,)), 2: (3, (1, 4)), 3: (2, (0, 3, 6)), 4: (2, (0, 2, 4, 6))}


def _lines(rng: Random, kinds: tuple[tuple[str, int], ...], vertical: bool) -> tuple[Item, ...]:
    """Two counted kinds, a line of up to four each: as large as their number allows."""
    items = []
    for half, (name, n) in enumerate(kinds):
        side, starts = LINE[n]
        line = half * 4 + rng.randint(0, 4 - side)
        shift = rng.randint(0, 1) if n <= 2 else 0
        for start in starts:
            x, y = (line, start + shift) if vertical else (start + shift, line)
            items.append(Item(name, x, y, side))
    return tuple(items)


def _color(rng: Random, avoid: tuple[str, ...]) -> tuple[str | None, tuple[int, int, int]]:
    """A background, named or not, that does not hide a shape of its own colour."""
    hidden = {name.split()[0] for name in avoid if name in SHAPES}
    if rng.random() < 0.45:
        name = rng.choice([c for c in BACKGROUNDS if c not in hidden])
        return name, BACKGROUNDS[name]
    return None, rng.choice(UNNAMED[4:] if "white" in hidden else UNNAMED)


def _pick(rng: Random) -> str:
    return rng.choice(list(SHAPES) if rng.random() < 0.2 else list(OBJECTS))


def _two(rng: Random) -> tuple[str, str]:
    a = _pick(rng)
    while (b := _pick(rng)) == a:
        pass
    return a, b


def draw(rng: Random, arrangement: str) -> Scene:
    """A random scene of one arrangement, with its sentence; held-out ones too."""
    if arrangement in ("single", "small"):
        kinds: tuple[tuple[str, int], ...] = ((_pick(rng), 1),)
        side = 6 if arrangement == "single" else 4
        room = CELLS - side
        items: tuple[Item, ...] = (
            Item(kinds[0][0], rng.randint(0, room), rng.randint(0, room), side),
        )
    elif arrangement == "count":
        kinds = ((_pick(rng), rng.choice([2, 3, 4])),)
        name, n = kinds[0]
        if n == 2:
            items = _halves(rng, name, name, vertical=rng.random() < 0.25)
        else:
            items = tuple(Item(name, x, y, 4) for x, y in CROWD[n])
    elif arrangement in ("beside", "above"):
        a, b = _two(rng)
        kinds = ((a, 1), (b, 1))
        items = _halves(rng, a, b, vertical=arrangement == "above")
    elif arrangement == "riding":
        a, b = rng.choice(RIDERS), rng.choice(MOUNTS)
        kinds = ((a, 1), (b, 1))
        x = rng.randint(0, 2)
        items = (Item(b, x, 2, 6), Item(a, x + rng.choice([1, 1, 1, 2]), 0, 4))
    else:
        a, b = _two(rng)
        n, m = rng.choice([(n, m) for n in COUNT_WORDS for m in COUNT_WORDS if n + m > 2])
        kinds = ((a, n), (b, m))
        items = _lines(rng, kinds, vertical=arrangement == "columns")
    background, rgb = _color(rng, tuple(name for name, _ in kinds))
    scene = Scene(items, kinds, arrangement, background, rgb)
    return replace(scene, caption=sentence(rng, scene))


MIX = {
    "single": 0.13, "small": 0.07, "count": 0.34, "beside": 0.09, "above": 0.08,
    "riding": 0.06, "rows": 0.13, "columns": 0.10,
}  # fmt: skip


def scenes(seed: int, mix: dict[str, float] = MIX, held: bool = False) -> Iterator[Scene]:
    """Endless scenes: training's (`held=False`), or only those that training never shows."""
    rng = Random(seed)
    while True:
        scene = draw(rng, rng.choices(list(mix), list(mix.values()))[0])
        if is_held_out(scene) is held:
            yield scene


def packed(seed: int) -> Iterator[Scene]:
    """Pictures crowded with objects of all sizes: more to see per pixel, for the autoencoder."""
    rng = Random(seed)
    while True:
        free = {(x, y) for x in range(CELLS) for y in range(CELLS)}
        items = []
        for side in rng.choice([(6, 2), (4, 4, 3, 2), (3, 3, 3, 2), (4, 2, 2), (3, 2, 2, 2)]):
            spots = [(x, y) for x in range(CELLS - side + 1) for y in range(CELLS - side + 1)]
            rng.shuffle(spots)
            for x, y in spots:
                box = {(x + i, y + j) for i in range(side) for j in range(side)}
                if box <= free:
                    free -= box
                    items.append(Item(rng.choice(NAMES), x, y, side))
        rgb = rng.choice(list(BACKGROUNDS.values()) + UNNAMED)
        yield Scene(tuple(items), (), "count", None, rgb)


# ---------------------------------------------------------------- sentences

PREFIXES = ["a photo of {}", "a picture of {}", "a photograph of {}", "an image of {}",
            "a drawing of {}", "an emoji of {}", "an illustration of {}", "a painting of {}"]  # fmt: skip
ON = ["{} on a {c} background", "{} on a {c} background", "{} with a {c} background",
      "{} on {c}", "{}, {c} background", "{} in front of a {c} background"]  # fmt: skip
BESIDE = ["{a} to the left of {b}", "{b} to the right of {a}", "{a} left of {b}", "{b} right of {a}",
          "{a} on the left and {b} on the right", "{b} on the right and {a} on the left",
          "{a} on the left of {b}", "{b} on the right of {a}", "{a} to the left of {b}",
          "{b} to the right of {a}", "{a} next to {b}", "{a} beside {b}", "{a} and {b}",
          "{a} together with {b}"]  # fmt: skip
ABOVE = ["{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}", "{a} on top of {b}",
         "{b} beneath {a}", "{a} at the top and {b} at the bottom", "{a} above {b}",
         "{b} below {a}"]  # fmt: skip
RIDING = [
    "{a} riding {b}",
    "{a} riding {b}",
    "{a} riding on {b}",
    "{a} on {b}",
    "{a} sitting on {b}",
]
ROWS = ["{a} and {b}", "{a} and {b}", "{a} above {b}", "{b} below {a}", "{a} together with {b}"]
COLUMNS = ["{a} to the left of {b}", "{b} to the right of {a}",
           "{a} on the left and {b} on the right", "{a} left of {b}",
           "{a} on the left together with {b} on the right"]  # fmt: skip
STYLE = [", highly detailed", ", 4k", " at sunset", ", oil on canvas", " in space",
         ", propaganda style", ", film still", " on the table", ", synthwave", " in the city",
         ", minimalist", " in the forest", " on the moon", ", studio light"]  # fmt: skip
PAIRS = ["a pair of {}", "two {}", "two {}", "2 {}", "a couple of {}"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _word(rng: Random, name: str) -> str:
    return rng.choice(ALIASES[name]) if name in ALIASES and rng.random() < 0.12 else name


def plural(word: str) -> str:
    """English plural: by the table, else with an s, or es after an x."""
    return PLURALS.get(word, word + ("es" if word.endswith("x") else "s"))


def phrase(rng: Random, name: str, n: int, plain: bool = False) -> str:
    """ "a fox", "two foxes", "a pair of foxes", "grapes", …"""
    word = name if plain else _word(rng, name)
    if n > 1:
        if plain:
            return f"{COUNT_WORDS[n]} {plural(word)}"
        number = rng.choice([COUNT_WORDS[n]] * 3 + [str(n)])
        form = rng.choice(PAIRS) if n == 2 else f"{number} {{}}"
        return form.format(plural(word))
    if not plain and rng.random() < 0.12:
        return rng.choice(["one {}", "{}", "the {}"]).format(word)
    if word in ("grapes", "cherries", "bread", "fire"):
        return word
    return f"an {word}" if word[0] in "aeiou" and word != "unicorn" else f"a {word}"


def sentence(rng: Random, scene: Scene, plain: bool = False) -> str:
    """A sentence that says what the scene shows; `plain` gives the one that the tests ask."""
    a, b = ([phrase(rng, name, n, plain) for name, n in scene.kinds] + [""])[:2]
    if scene.arrangement == "small":
        a = a.replace("a ", "a small ", 1) if a.startswith("a ") else f"a small {scene.kinds[0][0]}"
    forms = {"beside": BESIDE, "above": ABOVE, "riding": RIDING, "rows": ROWS, "columns": COLUMNS}
    options = forms.get(scene.arrangement, ["{a}"])
    text = (options[0] if plain else rng.choice(options)).format(a=a, b=b)
    if not plain and rng.random() < 0.35:
        text = rng.choice(PREFIXES).format(text)
    if scene.background:
        text = (ON[0] if plain else rng.choice(ON)).format(text, c=scene.background)
    if not plain and rng.random() < 0.12:
        unknown = "".join(rng.choices(LETTERS, k=rng.randint(3, 9)))
        text += rng.choice([*STYLE, f", {unknown} style", f" by {unknown}"])
    return text


def vocabulary() -> list[str]:
    """Every word that a training sentence can hold."""
    texts = [*NAMES, *map(plural, NAMES), *(w for ws in ALIASES.values() for w in ws)]
    texts += [plural(w) for ws in ALIASES.values() for w in ws]
    texts += [*BACKGROUNDS, *COUNT_WORDS.values(), "1 2 3 4", "a an the small one", *STYLE]
    for forms in (PREFIXES, ON, BESIDE, ABOVE, RIDING, ROWS, COLUMNS, PAIRS):
        texts += [f.replace("{a}", "").replace("{b}", "").replace("{c}", "") for f in forms]
    words = " ".join(texts).replace("{}", " ").replace(",", " ").split()
    return sorted(set(words))
