"""Animations, played by a real browser."""

import base64
import os
import sys

import pytest
from PIL import Image, ImageChops

from sdnb import image_grid
from sdnb.display.animation import animate

pytest_plugins = ["tests.support.browser"]

COLORS = [(230, 20, 20), (20, 160, 60), (40, 60, 220), (240, 200, 40)]
KINDS = {"gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4"}

# Each of them gives [pixel in the middle, seconds] of the pictures in order.
DECODE = """async ([source, type]) => {
  const data = await (await fetch(source)).arrayBuffer();
  const decoder = new ImageDecoder({ data, type });
  await Promise.all([decoder.completed, decoder.tracks.ready]);
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const frames = [];
  for (let frameIndex = 0; frameIndex < decoder.tracks.selectedTrack.frameCount; frameIndex++) {
    const { image } = await decoder.decode({ frameIndex });
    context.drawImage(image, -(image.displayWidth >> 1), -(image.displayHeight >> 1));
    frames.push([[...context.getImageData(0, 0, 1, 1).data].slice(0, 3), image.duration / 1e6]);
  }
  return { frames, times: decoder.tracks.selectedTrack.repetitionCount };
}"""
PLAY = """async ([source, seconds]) => {
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = true;
  const happened = name => new Promise((done, fail) => {
    video.addEventListener(name, done, { once: true });
    video.addEventListener("error", () => fail(new Error(video.error.message)), { once: true });
    setTimeout(() => fail(new Error(`waited in vain for ${name}`)), 20000);
  });
  const loaded = happened("loadeddata");
  video.src = source;
  await loaded;
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  const frames = [];
  for (let time = seconds / 2; time < video.duration; time += seconds) {
    const sought = happened("seeked");
    // what was sought is there before it is shown
    const shown = new Promise(done => video.requestVideoFrameCallback(done));
    video.currentTime = time;
    await sought;
    await Promise.race([shown, new Promise(done => setTimeout(done, 1000))]);
    context.drawImage(video, -(video.videoWidth >> 1), -(video.videoHeight >> 1));
    frames.push([[...context.getImageData(0, 0, 1, 1).data].slice(0, 3), seconds]);
  }
  return { frames, duration: video.duration, size: [video.videoWidth, video.videoHeight] };
}"""


def tiles(size=(64, 48)):
    return [Image.new("RGB", size, color) for color in COLORS]


def source(path):
    return f"data:{KINDS[path.suffix[1:]]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def near(one, other, most):
    return max(abs(a - b) for a, b in zip(one, other)) <= most


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_browser_shows_each_picture_in_order_for_its_time_and_starts_over(opened, tmp_path, kind):
    path = animate(tiles(), tmp_path / f"a.{kind}", seconds=0.25)
    played = opened("").evaluate(DECODE, [source(path), KINDS[kind]])
    assert [seconds for _, seconds in played["frames"]] == [0.25] * 4
    for (pixel, _), color in zip(played["frames"], COLORS):
        assert near(pixel, color, 3)
    # JSON has no infinity, which is what it says for "without end"
    assert played["times"] in (None, float("inf"))


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1280, 720)])
def test_a_browser_plays_the_mp4_in_the_same_colours(opened, tmp_path, size):
    path = animate(tiles(size), tmp_path / "a.mp4", seconds=0.4)
    played = opened("").evaluate(PLAY, [source(path), 0.4])
    assert played["duration"] == pytest.approx(1.6, abs=0.05)
    assert len(played["frames"]) == 4
    for (pixel, _), color in zip(played["frames"], COLORS):
        assert near(pixel, color, 9), (pixel, color)  # the browser's own rounding takes 8 of blue
    assert played["size"] == [side + side % 2 for side in size]


def test_an_mp4_shows_its_first_bytes_first(tmp_path):
    data = animate(tiles(), tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it is still loading


def test_a_single_picture_and_a_long_time_are_taken(opened, tmp_path):
    path = animate(tiles()[:1], tmp_path / "a.mp4", seconds=3)
    assert opened("").evaluate(PLAY, [source(path), 3])["duration"] == pytest.approx(3, abs=0.05)
    assert animate(tiles()[:1], tmp_path / "a.gif", seconds=60).exists()


def test_labels_stand_below_the_pictures(tmp_path):
    labels = ["12 steps", "24 steps", "a label so long that it takes several lines", "50"]
    path = animate(tiles(), tmp_path / "a.webp", labels=labels)
    with Image.open(path) as played:
        assert played.n_frames == 4
        for i, (tile, text) in enumerate(zip(tiles(), labels)):
            played.seek(i)
            alone = image_grid([tile], labels=[text])
            assert played.size[0] == alone.width
            assert played.size[1] >= alone.height
            shown = played.convert("RGB").crop((0, 0, *alone.size)).convert("L")
            ink = [
                sheet.crop((0, 54, *alone.size)).histogram()[:128]
                for sheet in (shown, alone.convert("L"))
            ]
            assert sum(ink[0]) == pytest.approx(sum(ink[1]), rel=0.2)
            assert sum(ink[1]) > 10


def test_pictures_of_different_sizes_share_the_largest(tmp_path):
    mixed = [Image.new("RGB", (64, 32), "red"), Image.new("L", (32, 64), 0)]
    with Image.open(animate(mixed, tmp_path / "a.webp")) as played:
        assert played.size == (64, 64)
        assert near(played.convert("RGB").getpixel((32, 60)), (255, 255, 255), 3)
        played.seek(1)
        assert near(played.convert("RGB").getpixel((32, 60)), (0, 0, 0), 3)
        assert near(played.convert("RGB").getpixel((4, 4)), (255, 255, 255), 3)


def test_a_gif_of_a_photograph_is_close_to_it(tmp_path):
    smooth = Image.merge("RGB", [Image.linear_gradient("L").rotate(90 * i) for i in range(3)])
    with Image.open(animate([smooth], tmp_path / "a.gif")) as played:
        shown = played.convert("RGB")
    apart = ImageChops.difference(shown.reduce(8), smooth.reduce(8))
    # dithered: right on average, though there are 256 colours only
    assert max(most for _, most in apart.getextrema()) <= 12


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"path": "a.avi"}, r"a\.avi does not end in \.gif or \.webp or \.mp4"),
        ({"images": []}, "There are no images"),
        ({"seconds": 0}, "seconds is 0: give 0.02 to 60"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"labels": ["a"]}, "1 labels for 4 images"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(tmp_path, options, sentence):
    given = {"images": tiles(), "path": "a.gif", **options}
    with pytest.raises(ValueError, match=sentence):
        animate(given.pop("images"), tmp_path / given.pop("path"), **given)
    assert os.listdir(tmp_path) == []


def test_without_imageio_ffmpeg_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install imageio-ffmpeg, or write a \.webp"):
        animate(tiles(), tmp_path / "a.mp4")
    assert os.listdir(tmp_path) == []
    assert animate(tiles(), tmp_path / "a.gif").exists()


def test_a_failing_encoder_is_told_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = animate(tiles(), tmp_path / "a.mp4")
    old = path.read_bytes()
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\ncat > /dev/null\necho 'No space left on device' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(script))
    with pytest.raises(OSError, match="Cannot write the MP4: No space left on device"):
        animate(tiles()[:1], path)
    assert path.read_bytes() == old
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "ffmpeg"]
