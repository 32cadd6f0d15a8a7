"""Pictures that come in, against what Pillow, LittleCMS and NumPy say of them."""

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features

import sdnb
from sdnb import image_conversion, image_input
from sdnb.display import slider
from sdnb.display.animation import animate
from sdnb.display.plots import difference
from sdnb.nbtest.likeness import likeness
from sdnb.records.sample import Sample
from sdnb.settings import Settings

RNG = np.random.default_rng(0)


def noise(*shape, dtype="uint8", most=256):
    return RNG.integers(0, most, shape).astype(dtype)


def pixels(source):
    return np.asarray(image_input.rgb(source))


def file_of(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def wide_profile():
    """Adobe RGB's primaries with a gamma of 2.2, as the ICC's specification lays a profile out."""

    def numbers(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(*values):
        return b"XYZ \0\0\0\0" + numbers(*values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 81
    tags = {
        b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I", at + len(body)) + b"lcms" + struct.pack(">I", 0x02100000)
    head += b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28 + numbers(0.9642, 1, 0.8249)
    return head + b"\0" * 48 + table + body


WIDE = wide_profile()


# ---------------------------------------------------------------- depth, alpha, colour


def test_a_plain_rgb_picture_is_taken_as_it_is_without_a_copy():
    plain = Image.fromarray(noise(8, 8, 3))
    assert image_input.rgb(plain) is plain


@pytest.mark.parametrize("kind", ["object", "PNG", "TIFF"])
def test_16_bits_of_grey_are_scaled_not_cut_at_255(kind):
    deep = noise(16, 16, dtype="uint16", most=65536)
    source = Image.fromarray(deep)
    source = source if kind == "object" else file_of(source, kind)
    right = np.round(deep / 257).astype("uint8")
    assert np.array_equal(pixels(source), right[..., None].repeat(3, axis=2))


def test_32_bit_and_float_greys_are_taken_by_their_range():
    byte = noise(8, 8)
    grey = byte[..., None].repeat(3, axis=2)
    for source in (
        Image.fromarray(byte.astype("int32")),
        Image.fromarray(byte.astype("float32")),
        Image.fromarray((byte / 255).astype("float32")),
        Image.fromarray(byte.astype("int32") * 257),
    ):
        assert np.array_equal(pixels(source), grey), source.mode


def blended(rgba, paper=255):
    color, alpha = rgba[..., :3].astype(float), rgba[..., 3:] / 255
    return color * alpha + paper * (1 - alpha)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "La", "RGBa", "PA", "WEBP", "PNG"])
def test_what_is_transparent_lies_on_white(kind):
    """Truth: the formula of compositing, in floats."""
    rgba = noise(16, 16, 4)
    image = Image.fromarray(rgba)
    if kind in ("PNG", "WEBP"):
        source = file_of(image, kind, **{"lossless": True, "exact": True} if kind != "PNG" else {})
    elif kind in ("La", "RGBa"):
        source = image.convert({"La": "LA", "RGBa": "RGBA"}[kind]).convert(kind)
    else:
        source = image.convert(kind)
    shown = source if isinstance(source, Image.Image) else Image.open(io.BytesIO(source))
    shown = shown.convert("LA") if kind == "La" else shown
    right = blended(np.asarray(shown.convert("RGBA")))
    assert np.abs(pixels(source) - right).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (2, 2, 6, 6))
    shown = pixels(file_of(image, transparency=0))
    assert tuple(shown[0, 0]) == (255, 255, 255)
    assert tuple(shown[3, 3]) == (255, 0, 0)
    grey = Image.fromarray(noise(8, 8))
    level = int(np.asarray(grey)[0, 0])
    right = np.where(np.asarray(grey) == level, 255, np.asarray(grey))
    assert np.array_equal(pixels(file_of(grey, transparency=level))[..., 0], right)


def test_cmyk_ycbcr_and_lab_are_in_rgb():
    rgb = Image.fromarray(noise(16, 16, 3))
    cmyk = rgb.convert("CMYK")
    assert np.array_equal(pixels(cmyk), np.asarray(cmyk.convert("RGB")))
    assert np.array_equal(pixels(file_of(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    there = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    assert np.abs(pixels(there).astype(int) - np.asarray(rgb)).mean() < 3  # 8 bits of CIELAB


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_a_colour_profile_is_converted_to_srgb(alpha, opened):
    """Truth: LittleCMS, as Pillow has it."""
    stored = Image.fromarray(noise(16, 16, 3))
    srgb = ImageCms.createProfile("sRGB")
    right = ImageCms.profileToProfile(stored, ImageCms.ImageCmsProfile(io.BytesIO(WIDE)), srgb)
    assert difference(right, stored) > 5
    if alpha:
        stored.putalpha(255)
        stored.putpixel((0, 0), (*stored.getpixel((0, 0))[:3], 0))
        right.putpixel((0, 0), (255, 255, 255))
    content = file_of(stored, icc_profile=WIDE)
    source = Image.open(io.BytesIO(content)) if opened else content
    assert np.array_equal(pixels(source), np.asarray(right))
    assert np.array_equal(pixels(image_input.rgb(source)), np.asarray(right))  # once, not twice


def test_a_profile_that_is_srgb_of_another_channel_or_damaged_changes_nothing(heard):
    rgb = Image.fromarray(noise(16, 16, 3))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, WIDE[:200], b"nonsense"):
        taken = image_input.picture(file_of(rgb, icc_profile=profile))
        assert np.array_equal(np.asarray(taken.image), np.asarray(rgb))
        assert taken.steps == ()
    grey = rgb.convert("L")
    assert np.array_equal(pixels(file_of(grey, icc_profile=WIDE))[..., 0], np.asarray(grey))
    assert any("colour profile cannot be used" in sentence for sentence in heard())


# ---------------------------------------------------------------- orientation, frames


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("opened", [False, True])
def test_a_picture_is_upright_as_a_file_and_as_an_opened_one(orientation, opened, tmp_path):
    """Truth: what each number means in EXIF 2.32, 4.6.4 A, in NumPy's words."""
    seen = noise(6, 4, 3)
    stored = {
        1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud,
        5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: lambda x: np.rot90(x, -1),
    }[orientation](seen)  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    source = Image.open(path) if opened else path
    assert np.array_equal(pixels(source), seen)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_what_moves_the_first_frame_is_taken_and_that_is_said_once(kind, tmp_path, heard):
    red, blue = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    path = tmp_path / f"moving.{kind.lower()}"
    lossless = {"lossless": True} if kind == "WEBP" else {}
    red.save(path, kind, save_all=True, append_images=[blue], **lossless)
    for _ in range(2):
        assert image_input.rgb(path).getpixel((4, 4)) == (255, 0, 0)
    assert heard() == [f"{path} has 2 frames: the first is taken."]
    with Image.open(path) as opened:
        opened.seek(1)  # somebody chose one
        assert image_input.rgb(opened).getpixel((4, 4)) == (0, 0, 255)
    assert len(heard()) == 1


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_taken_where_pillow_reads_it():
    assert difference(image_input.rgb(file_of(Image.new("RGB", (64, 64), "orange"), "AVIF")),
                      Image.new("RGB", (64, 64), "orange")) < 3  # fmt: skip


# ---------------------------------------------------------------- arrays


HWC = noise(6, 5, 3)
SHARES = (HWC / 255).astype("float32")
BATCH = torch.from_numpy(SHARES).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    "array",
    [
        HWC, HWC.astype("int64"), HWC.astype("float64"), SHARES, SHARES[None],
        HWC.astype("uint16") * 257, HWC.transpose(2, 0, 1), np.asfortranarray(HWC), HWC[:, :, :],
        torch.from_numpy(HWC), torch.from_numpy(HWC).permute(2, 0, 1), BATCH, BATCH[0].double(),
        BATCH.clone().requires_grad_(), np.concatenate([HWC, np.full((6, 5, 1), 255, "uint8")], 2),
    ],
    ids=range(15),
)  # fmt: skip
def test_arrays_and_tensors_of_any_order_and_type_are_the_picture(array):
    assert np.array_equal(pixels(array), HWC)


def test_bfloat16_and_half_are_the_picture_to_their_precision():
    for dtype, off in ((torch.bfloat16, 1), (torch.float16, 0)):
        assert np.abs(pixels(BATCH.to(dtype)).astype(int) - HWC).max() <= off


def test_a_small_square_is_read_in_the_order_of_its_library():
    square = noise(3, 4, 3)
    assert np.array_equal(pixels(square), square)
    assert np.array_equal(pixels(torch.from_numpy(square)), square.transpose(1, 2, 0))


def test_grey_and_masks_of_two_axes_or_one_channel():
    grey = noise(6, 5)
    for array in (grey, grey[..., None], grey[None], torch.from_numpy(grey)[None]):
        assert np.array_equal(pixels(array)[..., 0], grey)
    yes = grey > 128
    for array in (yes, yes.astype("uint8"), yes.astype("float32"), torch.from_numpy(yes)[None]):
        assert np.array_equal(np.asarray(image_input.mask(array).image), yes * 255)


@pytest.mark.parametrize(
    ("source", "kind", "sentence"),
    [
        ("https://example.com/a.png", ValueError, "is an address, and pictures are not fetched"),
        ("data:image/png;base64,AAAA", ValueError, "is an address"),
        ([Image.new("RGB", (8, 8))], ValueError, "The picture is a list of 1: give one picture."),
        (sdnb.Sheet([Sample(Image.new("RGB", (8, 8)), Settings("a"))], 1, 1), ValueError,
         r"is a Sheet of 1: give one, \.samples\[0\]"),
        (None, TypeError, "is None: give a PIL picture"),
        (7, TypeError, "is an int: give a PIL picture"),
        (np.zeros((2, 8, 8, 3), "uint8"), ValueError, r"is a batch of 2 \(2x8x8x3\)"),
        (np.zeros((8, 8, 7), "uint8"), ValueError, "shape 8x8x7: give height x width x channels"),
        (np.zeros(8, "uint8"), ValueError, "shape 8: give height x width"),
        (np.zeros((0, 8), "uint8"), ValueError, "has no pixels"),
        (Image.new("RGB", (0, 8)), ValueError, "has no pixels: it is 0 x 8"),
        (np.full((8, 8), np.nan), ValueError, "NaN or infinite"),
        (np.linspace(-1, 1, 64).reshape(8, 8), ValueError, r"down to -1: .* as \(x \+ 1\) / 2"),
        (np.full((8, 8), 1.5), ValueError, "up to 1.5: give 0 to 1, or 0 to 255"),
        (np.full((8, 8), 65535.0), ValueError, "up to 65535: give 0 to 1, or 0 to 255"),
        (np.full((8, 8), -1024.0), ValueError, "down to -1024: give 0 to 1"),
        (np.full((8, 8), 300), ValueError, "int64 from 300 to 300: give 0 to 255"),
        (np.full((8, 8), 1j), ValueError, "holds complex128"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", ValueError, "not a picture"),
        (io.StringIO("a text"), ValueError, "not a picture"),
        (file_of(Image.fromarray(noise(64, 64, 3)))[:200], ValueError, "not a picture"),
    ],
)  # fmt: skip
def test_what_is_no_picture_gets_a_sentence(source, kind, sentence):
    with pytest.raises(kind, match=sentence):
        image_input.picture(source)


def test_a_bomb_stays_refused(monkeypatch, tmp_path):
    content = file_of(Image.new("L", (400, 400)))
    (tmp_path / "bomb.png").write_bytes(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for source in (content, io.BytesIO(content), tmp_path / "bomb.png"):
        with pytest.raises(ValueError, match="not a picture that can be read: Image size"):
            image_input.picture(source)


def test_files_in_memory_are_taken_wherever_they_stand():
    image = Image.fromarray(noise(8, 8, 3))
    buffer = io.BytesIO(file_of(image))
    buffer.seek(0, io.SEEK_END)  # as after saving into it
    for source in (buffer, buffer.getvalue(), bytearray(buffer.getvalue())):
        assert np.array_equal(pixels(source), np.asarray(image))
    assert not buffer.closed


# ---------------------------------------------------------------- masks


def test_a_layers_strokes_are_the_mask_and_the_transparent_rest_stays():
    layer = Image.new("RGBA", (16, 16), (255, 255, 255, 0))
    layer.paste("white", (8, 8, 12, 12))
    layer.putpixel((0, 0), (255, 255, 255, 128))
    seen = np.asarray(image_input.mask(layer).image)
    assert (seen == 255).sum() == 16
    assert seen[0, 0] == 128
    assert (seen == 0).sum() == 16 * 16 - 17


def test_of_a_mask_numbers_count_not_colours_and_it_is_turned_like_its_picture():
    levels = np.arange(256, dtype="uint8").reshape(16, 16)
    profile = file_of(Image.fromarray(levels).convert("RGB"), icc_profile=WIDE)
    assert np.array_equal(np.asarray(image_input.mask(profile).image), levels)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(io.BytesIO(file_of(Image.fromarray(levels[:8]), exif=exif)))
    assert image_input.mask(lying).image.size == (8, 16)
    deep = Image.fromarray(levels.astype("uint16") * 257)
    assert np.array_equal(np.asarray(image_input.mask(deep).image), levels)


# ---------------------------------------------------------------- what was done, as code


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_steps_as_code_give_the_same_pixels(data):
    """Each step's line of Pillow, run in order, is what the function did."""
    mode = data.draw(st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "I;16", "CMYK", "1"]))
    is_mask = data.draw(st.booleans())
    options = {}
    if data.draw(st.booleans()):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = data.draw(st.integers(1, 8))
    if mode in ("RGB", "RGBA") and data.draw(st.booleans()):
        options["icc_profile"] = WIDE
    if mode == "P" and data.draw(st.booleans()):
        options["transparency"] = 3
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (6, 5)).astype("uint16"))
    else:
        image = Image.fromarray(rng.integers(0, 256, (6, 5, 4)).astype("uint8")).convert(mode)
    content = file_of(image, "TIFF" if mode == "CMYK" else "PNG", **options)
    taken = (image_input.mask if is_mask else image_input.picture)(content)
    lines = [image_conversion.STEPS[step].code.format(x="start") for step in taken.steps]
    assert all(lines)
    names = {"start": Image.open(io.BytesIO(content)), "Image": Image, "ImageOps": ImageOps,
             "ImageCms": ImageCms, "io": io, "np": np}  # fmt: skip
    exec("\n".join(lines), names)
    again = names["start"].convert("L" if is_mask else "RGB")
    assert np.array_equal(np.asarray(again), np.asarray(taken.image)), taken.steps


# ---------------------------------------------------------------- everywhere


def lying():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGB", (40, 20), "green")
    stored.paste("red", (0, 0, 10, 20))
    return Image.open(io.BytesIO(file_of(stored, exif=exif)))


ODD = {
    "LA": lambda: Image.new("LA", (20, 40), (0, 0)),
    "16 bits": lambda: Image.new("I;16", (20, 40), 65535),
    "CMYK": lambda: Image.new("RGB", (20, 40), "white").convert("CMYK"),
    "EXIF": lying,
    "array": lambda: np.full((40, 20, 3), 255, "uint8"),
    "Sample": lambda: Sample(Image.new("RGBA", (20, 40)), Settings("a fox")),
}


@pytest.mark.parametrize("kind", ODD)
def test_grids_sliders_animations_and_sheets_show_it_like_a_browser(kind, tmp_path):
    odd = ODD[kind]()
    right = image_input.rgb(odd)
    assert right.size == (20, 40)
    color = (255, 0, 0) if kind == "EXIF" else (255, 255, 255)
    assert right.getpixel((10, 4)) == color
    assert np.array_equal(np.asarray(sdnb.image_grid([odd])), np.asarray(right))
    [small] = slider.previews([odd])
    assert difference(Image.open(io.BytesIO(small)), right) < 12
    assert "--shape: 20 / 40" in slider.view([odd], ["a"])
    with Image.open(animate([odd, right], tmp_path / "a.gif")) as moving:
        assert difference(moving.convert("RGB"), right) < 2
    sheet = sdnb.Sheet([Sample(Image.new("RGB", (20, 40)), Settings("a"))], 1, 1)
    assert difference(sheet.beside(odd, "x")[1].image, right) == 0
    made = odd if isinstance(odd, Sample) else Sample(right, Settings("a fox"))
    assert made._repr_mimebundle_()["image/png"]


def test_notebooks_pictures_are_compared_upright_deep_and_in_their_colours():
    """Each pair is one picture stored in two ways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.fromarray(noise(64, 48, 3))
    turned = Image.open(
        io.BytesIO(file_of(upright.transpose(Image.Transpose.ROTATE_90), exif=exif))
    )
    deep = noise(64, 64)
    wide = Image.open(io.BytesIO(file_of(upright, icc_profile=WIDE)))
    for one, other in (
        (upright, turned),
        (Image.fromarray(deep), Image.fromarray(deep.astype("uint16") * 257)),
        (wide, image_input.rgb(wide)),
        (upright.convert("CMYK"), upright.convert("CMYK").convert("RGB")),
        (Image.fromarray(deep).convert("LA"), Image.fromarray(deep)),
    ):
        assert likeness(one, other).mean == 0
    with pytest.raises(ValueError, match="48 x 64 pixels expected, 64 x 48 pixels found"):
        likeness(turned, upright.transpose(Image.Transpose.ROTATE_90))
