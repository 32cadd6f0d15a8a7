"""What a scene's sentence says, in many wordings; what it does not say was left to chance."""

from __future__ import annotations

from random import Random

from training.world import places
from training.world.objects import ALIASES, NAMES, NO_ARTICLE, PLURALS
from training.world.scene import Scene
from training.world.skies import LIGHTS
from training.world.styles import PLAIN, STYLES

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
PAIRS = ["a pair of {}", "two {}", "two {}", "2 {}", "a couple of {}"]
# {a} and {b} are the scene's two kinds; the first wording is the one that tests and scores ask
WORDINGS = {
    "single": ["{a}"],
    "count": ["{a}"],
    "beside": ["{a} to the left of {b}", "{b} to the right of {a}", "{a} left of {b}", "{b} right of {a}",
               "{a} on the left and {b} on the right", "{b} on the right and {a} on the left",
               "{a} on the left of {b}", "{b} on the right of {a}", "{a} next to {b}", "{a} beside {b}",
               "{a} and {b}", "{a} together with {b}", "{a} with {b}"],
    "above": ["{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}", "{a} on top of {b}",
              "{a} on top of {b}", "{b} beneath {a}"],
    "riding": ["{a} riding {b}", "{a} riding {b}", "{a} riding on {b}", "{a} on {b}", "{a} sitting on {b}"],
    "rows": ["{a} above {b}", "{b} below {a}", "{a} and {b}", "{a} together with {b}"],
    "columns": ["{a} to the left of {b}", "{b} to the right of {a}", "{a} left of {b}",
                "{a} on the left and {b} on the right", "{a} on the left together with {b} on the right",
                "{a} and {b}"],
    "corner": ["{a} on the left and {b} on the bottom right", "{b} on the bottom right and {a} on the left",
               "{a} on the left together with {b} on the bottom right"],
    "wearing": ["{a} wearing {b}", "{a} with {b} on", "{a} in {b}", "{a} with {b}"],
    "playing": ["{a} playing {t}", "{a} playing {b}", "{a} with {b}"],
    "chess": ["{a} playing chess", "{a} playing chess", "{a} playing a game of chess", "{a} at a chess board"],
    "pilot": ["{a} as a pilot", "{a} as a wwii pilot", "{a} wearing an aviator cap", "{a} as a wwii pilot",
              "{a} in an aviator cap", "{a} as a pilot with goggles"],
}  # fmt: skip
ON_THE_TABLE = "{a} on the left of the table together with {b} on the bottom right of the table"
WHERE = {
    "meadow": ["in a meadow", "in the meadow", "on the grass", "in a field"],
    "sea": ["in the sea", "in the sea", "on the water", "in the ocean"],
    "beach": ["on the beach", "on a beach", "by the sea"],
    "desert": ["in the desert", "in a desert", "on a dune"],
    "mountains": ["in the mountains", "in front of mountains", "in a mountain landscape"],
    "forest": ["in the forest", "in a forest", "in the woods"],
    "snow": ["in the snow", "in snow", "in winter"],
    "under water": ["under water", "underwater", "at the bottom of the sea"],
    "city": ["in the city", "in a city", "in the street"],
    "room": ["in a room", "in the room", "in a living room"],
    "table": ["on the table", "on a table", "on a wooden table"],
    "synthwave": ["in front of a synthwave sunset", "before a synthwave sunset"],
    "moon": ["on the moon", "on the moon"],
    "space": ["in space", "in outer space", "among the stars"],
}  # fmt: skip
ON = ["on a {c} background", "on a {c} background", "with a {c} background", "on {c}",
      "in front of a {c} background"]  # fmt: skip
VIEWS = {
    "meadow": ["a meadow", "a green meadow", "a field"], "sea": ["the sea", "the ocean"],
    "beach": ["a beach", "a sandy beach"], "desert": ["a desert", "the desert"],
    "mountains": ["mountains", "a mountain landscape"], "forest": ["a forest", "the woods"],
    "snow": ["a snowy landscape", "snow"], "under water": ["under water", "the bottom of the sea"],
    "city": ["a city", "a street in a city"], "room": ["a room", "a living room"],
    "table": ["a table", "an empty table"],
    "synthwave": ["synthwave sunset", "a synthwave sunset", "synthwave"],
    "moon": ["the surface of the moon", "a landscape on the moon"], "space": ["outer space", "space"],
}  # fmt: skip
WHEN = {"day": ["by day", "in daylight"], "dawn": ["at dawn", "in the morning"],
        "sunset": ["at sunset", "at sunset", "in the evening"], "night": ["at night", "at night", "by night"]}  # fmt: skip
HOW = {
    PLAIN: ["a photograph of {}", "a photo of {}", "a picture of {}", "an image of {}"],
    "film still": ["a film still of {}", "film still of {}", "{}, film still"],
    "black and white photograph": ["a black and white photograph of {}", "a black and white photo of {}",
                                   "{}, black and white"],
    "pencil drawing": ["a pencil drawing of {}", "a drawing of {}", "a sketch of {}", "{}, pencil drawing"],
    "oil painting": ["an oil painting of {}", "{}, oil on canvas", "{}, oil painting"],
    "pixel art": ["pixel art of {}", "{}, pixel art", "{} in pixel art"],
    "propaganda poster": ["a propaganda poster of {}", "{}, propaganda style", "{} in propaganda style",
                          "{}, propaganda poster"],
    "watercolour": ["a watercolour of {}", "{}, watercolour", "a watercolor of {}"],
    "synthwave style": ["{}, synthwave style", "{} in synthwave style", "{}, digital art"],
}  # fmt: skip
IDLE = [", highly detailed", ", 4k", ", minimalist", ", studio light", ", beautiful"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def plural(word: str) -> str:
    """Many of it; where only its last word is known ("a red box"), of that."""
    if word in PLURALS:
        return PLURALS[word]
    *first, last = word.split(" ")
    return " ".join([*first, PLURALS.get(last, last + "s")])


def with_article(word: str) -> str:
    """ "an owl", "a horse", "grapes"."""
    if word in NO_ARTICLE:
        return word
    spoken_a = word[0] in "aeiou" and not word.startswith(("uni", "ufo"))
    return f"an {word}" if spoken_a else f"a {word}"


def phrase(rng: Random, name: str, n: int, plain: bool, size: str = "") -> str:
    """One kind with its number, by its own name or another."""
    word = name
    if not plain and name in ALIASES and rng.random() < 0.35:
        word = rng.choice(ALIASES[name])
    if n > 1:
        number = NUMBERS[n] if plain else rng.choice([NUMBERS[n]] * 3 + [str(n)])
        form = "{}" if plain or n != 2 else rng.choice(PAIRS)
        return form.format(plural(word)) if form != "{}" else f"{number} {plural(word)}"
    if size and word not in NO_ARTICLE:
        return f"a {size} {word}"
    if not plain and rng.random() < 0.14:
        return rng.choice(["one {}", "{}", "{}", "the {}"]).format(word)
    return with_article(word)


def sentence(rng: Random, scene: Scene, plain: bool = False) -> str:
    """A sentence of the scene; `plain` gives the one that tests and scores ask."""

    def one_of(wordings: list[str]) -> str:
        return wordings[0] if plain else rng.choice(wordings)

    place_said = "place" in scene.said
    size = next((s for s in ("small", "large") if s in scene.said), "")
    if not scene.kinds:
        text, place_said = one_of(VIEWS[scene.place]), False
    else:
        a, b = ([phrase(rng, name, n, plain, size) for name, n in scene.kinds] + [""])[:2]
        form = one_of(WORDINGS[scene.arrangement])
        if (
            scene.arrangement == "corner"
            and scene.place == "table"
            and place_said
            and (plain or rng.random() < 0.6)
        ):
            form, place_said = ON_THE_TABLE, False
        if scene.arrangement == "playing":
            b = with_article(scene.kinds[1][0])
        text = form.format(a=a, b=b, t=f"the {scene.kinds[-1][0]}")
    where = ""
    if place_said:
        color = scene.place.split()[0]
        where = (
            one_of(ON).format(c=color)
            if scene.place in places.PLAIN
            else one_of(WHERE[scene.place])
        )
    when = one_of(WHEN[scene.light]) if "light" in scene.said else ""
    parts = [where, when] if plain or rng.random() < 0.8 else [when, where]
    text = " ".join([text, *(part for part in parts if part)])
    if "style" in scene.said:
        text = one_of(HOW[scene.style]).format(text)
    if not plain and rng.random() < 0.08:
        unknown = "".join(rng.choices(LETTERS, k=rng.randint(3, 9)))
        text += rng.choice([*IDLE, f", {unknown} style", f" by {unknown}"])
    return text


def vocabulary() -> list[str]:
    """Every word that a training sentence can hold, sorted."""
    names = [*NAMES, *(w for words in ALIASES.values() for w in words)]
    texts = [
        *names,
        *map(plural, names),
        *NUMBERS.values(),
        "1 2 3 4",
        "a an the small large one",
        ON_THE_TABLE,
    ]
    for forms in (WORDINGS, WHERE, VIEWS, WHEN, HOW):
        texts += [form for some in forms.values() for form in some]
    texts += [*ON, *PAIRS, *IDLE, *places.COLORS]
    for mark in ("{a}", "{b}", "{c}", "{t}", "{}", ",", "-"):
        texts = [text.replace(mark, " ") for text in texts]
    return sorted(set(" ".join(texts).split()))


assert set(WHEN) == set(LIGHTS)
assert set(HOW) == set(STYLES)
