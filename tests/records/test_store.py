"""The store: what comes back, what is dropped, and what cannot harm it."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image, ImageChops

import sdnb
from sdnb import Sample, Settings, read
from sdnb.records import store
from sdnb.records.store import Store
from sdnb.sweeps import execution
from tests.support import programs
from tests.support.needs import need

ROOT = Path(__file__).parents[2]
MADE_BY = {
    "model": "emoji", "revision": "abc", "variant": None, "dtype": "float32", "device": "cpu",
    "versions": {"torch": "2.13.0", "diffusers": "0.42.1"},
}  # fmt: skip
FACTS = {"model": "emoji", "seconds": 0.1 + 0.2, "flagged": False, "versions": {"torch": "2.13"}}


def noise(seed=0, size=(64, 48)):
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))


def sample(seed=510, size=(64, 48)):
    return Sample(noise(seed, size), Settings("a fox", scheduler="DDIM", seed=seed), dict(FACTS))


def put(kept, seed=510):
    key = kept.key(Settings("a fox", seed=seed), MADE_BY)
    kept.put(key, sample(seed))
    return key


@pytest.fixture
def kept(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_put_comes_back_pixel_for_pixel_with_settings_and_facts(kept):
    key = put(kept)
    back = kept.get(key)
    assert ImageChops.difference(back.image, sample().image).getbbox() is None
    assert (back.settings, back.facts) == (sample().settings, FACTS)
    assert key in kept
    assert len(kept) == 1


def test_another_process_finds_it_under_the_same_key(kept):
    key = put(kept)
    code = f"""
from sdnb import Settings
from sdnb import Store
kept = Store({str(kept.folder)!r})
key = kept.key(Settings("a fox", seed=510), {dict(reversed(MADE_BY.items()))!r})
print(key, kept.get(key).settings)
"""
    out = programs.run("-c", code, cwd=ROOT, check=True)
    assert out.stdout == f"{key} {sample().settings!r}\n"


def test_the_files_are_ordinary_pngs_that_sdnb_read_opens(kept):
    path = kept.folder / f"{put(kept)}.png"
    assert read(path).settings == sample().settings
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        assert "a fox" in opened.info["parameters"]


def test_what_was_read_from_the_folder_can_be_put_again(kept):
    key = put(kept)
    kept.put(key, read(kept.folder / f"{key}.png"))
    assert kept.get(key).facts == FACTS


def test_a_model_in_a_folder_is_named_with_its_folder_in_memory_and_not_in_files(kept, tmp_path):
    folder = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "zuse" / "dream")
    pipe = sdnb.load(folder, device="cpu")
    start = tmp_path / "zuse" / "fox.png"
    noise().save(start)
    made, again = (
        sdnb.generate("a fox", image=start, steps=2, seed=1, pipe=pipe, store=kept)
        for _ in range(2)
    )
    assert again.facts == made.facts  # the second came from the store, which is a file
    assert made.facts["model"] == str(folder.resolve())
    assert made.facts["start"]["image_file"] == str(start)
    [file] = kept.folder.glob("*.png")
    mine = read(made.save(tmp_path / "a.png"))
    assert b"zuse" not in file.read_bytes() + (tmp_path / "a.png").read_bytes()
    assert mine.facts["model"] == "dream"
    assert "# a folder of that name; the picture's file does not say where" in mine.code()
    assert "# a folder of that name" not in made.code()
    labels = sdnb.sweeps.axes.labels({"model": [str(folder), "emoji"]})
    assert labels[0] == ["model dream", "model emoji"]


def test_what_is_not_there_is_none(kept):
    key = kept.key(Settings("a fox", seed=1), MADE_BY)
    assert kept.get(key) is None
    assert key not in kept
    assert (len(kept), kept.size()) == (0, 0)
    assert kept, "a store with no pictures is a store"
    assert not kept.folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a cat"}, {"negative_prompt": "blur"}, {"steps": 12}, {"guidance": 7.25},
        {"scheduler": "PNDM"}, {"seed": 0}, {"width": 64}, {"height": 64}, {"strength": 0.5},
    ],
)  # fmt: skip
def test_every_setting_gives_another_key(change):
    fox = Settings("a fox", seed=510)
    assert Store.key(fox, MADE_BY) != Store.key(fox.but(**change), MADE_BY)


@pytest.mark.parametrize("name", [*MADE_BY, "image", "mask"])
def test_everything_that_made_it_gives_another_key(name):
    fox = Settings("a fox", seed=510)
    assert Store.key(fox, MADE_BY) != Store.key(fox, MADE_BY | {name: "another"})


def test_the_number_of_a_device_and_the_order_of_names_do_not_count():
    fox = Settings("a fox", seed=510)
    keys = {Store.key(fox, MADE_BY | {"device": name}) for name in ("cuda", "cuda:0", "cuda:1")}
    assert len(keys) == 1
    assert Store.key(fox, dict(reversed(MADE_BY.items()))) == Store.key(fox, MADE_BY)


def test_a_key_is_a_hash_that_stays_the_same_for_years():
    text = (
        '{"made_by": {"device": "cuda", "model": "emoji"}, "settings": {"guidance": 7.0, '
        '"long_prompt": "error", "negative_prompt": "", "prompt": "a fox", "seed": 510, '
        '"steps": 50}, "version": 2}'
    )
    fox = Settings("a fox", steps=50, seed=510, guidance=7)
    key = Store.key(fox, {"model": "emoji", "device": "cuda:1"})
    assert key == hashlib.sha256(text.encode()).hexdigest()


def test_what_an_older_version_put_is_neither_given_nor_shown(kept, monkeypatch):
    """It may be a changed pipeline's; it is dropped as what was used least."""
    with monkeypatch.context() as older:
        older.setattr(store, "VERSION", 1)
        old = put(kept)
    assert len(kept) == 1
    new = kept.key(Settings("a fox", seed=510), MADE_BY)
    assert new != old
    assert kept.get(new) is None
    assert kept.newest(5) == []


@pytest.mark.parametrize(
    "fact", [{"changed": "a hook"}, {"freeu": dict.fromkeys(("s1", "s2", "b1", "b2"), 1)},
             {"vae_tiling": True}, {"vae_slicing": True}, {"broken": True}],
)  # fmt: skip
def test_what_its_settings_alone_do_not_make_again_is_not_kept(kept, fact):
    key = kept.key(Settings("a fox", seed=510), MADE_BY)
    kept.put(key, Sample(noise(), Settings("a fox", seed=510), FACTS | fact))
    assert len(kept) == 0


def test_settings_without_a_seed_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="have no seed"):
        Store.key(Settings("a fox"), MADE_BY)


def test_what_is_no_key_is_refused_and_opens_no_file(kept, tmp_path):
    sample().save(tmp_path / "private.png")
    with pytest.raises(ValueError, match="is no key"):
        kept.get("../private")
    assert (tmp_path / "private.png").exists()


# ---------------------------------------------------------------- damage


@pytest.mark.tries(400)
def test_damage_anywhere_in_a_file_never_gives_another_picture(kept, tried):
    key = put(kept)
    path = kept.folder / f"{key}.png"
    whole, chance = path.read_bytes(), random.Random(0)
    lost = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3, 50])):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        back = kept.get(key)
        if back is None:
            lost += 1
            assert not path.exists()
        else:  # a byte that carries nothing, such as the checksum of the pixels
            assert (back.settings, back.facts) == (sample().settings, FACTS)
            assert back.image.tobytes() == sample().image.tobytes()
        tried()
    assert lost > 300


@pytest.mark.tries(111)
def test_a_file_cut_off_anywhere_counts_as_absent_and_is_removed(kept, tried):
    key = put(kept)
    path = kept.folder / f"{key}.png"
    whole = path.read_bytes()
    for length in [0, 1, 8, 20, 33, 60, *range(100, len(whole) - 12, 97)]:
        path.write_bytes(whole[:length])
        assert kept.get(key) is None, length
        assert not path.exists(), length
        tried()


def test_a_picture_that_cannot_be_read_just_now_stays(kept, monkeypatch):
    """A network drive that is away for a moment, too many open files, no memory."""
    key = put(kept)
    for error in (OSError(errno.EIO, "away"), OSError(errno.EMFILE, "too many"), MemoryError()):
        with monkeypatch.context() as patch:
            patch.setattr(Image, "open", Mock(side_effect=error))
            assert kept.get(key) is None
    assert kept.get(key) is not None


def test_a_picture_under_another_name_counts_as_absent(kept):
    first, second = put(kept, 1), put(kept, 2)
    os.replace(kept.folder / f"{first}.png", kept.folder / f"{second}.png")
    assert kept.get(second) is None
    assert len(kept) == 0


@pytest.mark.parametrize("change", ["settings", "facts", "pixels"])
def test_a_picture_that_was_changed_counts_as_absent(kept, change):
    key = put(kept)
    path = kept.folder / f"{key}.png"
    old = read(path)
    if change == "settings":
        old = Sample(old.image, old.settings.but(steps=12), old.facts)
    elif change == "facts":
        old.facts["flagged"] = True
    else:
        old.image.putpixel((63, 47), (1, 2, 3))
    old.save(path)
    assert kept.get(key) is None
    assert not path.exists()


def test_a_picture_that_the_store_did_not_write_counts_as_absent(kept):
    key = put(kept)
    sample().save(kept.folder / f"{key}.png")
    assert kept.get(key) is None


# ---------------------------------------------------------------- the size cap


def test_the_least_recently_used_are_dropped_first(kept):
    keys = [put(kept, seed) for seed in range(4)]
    each = kept.size() // 4
    assert kept.get(keys[0])  # now the last used
    kept.most_bytes = int(4.5 * each)
    keys += [put(kept, seed) for seed in (4, 5)]
    assert [key in kept for key in keys] == [True, False, False, True, True, True]
    assert kept.size() <= kept.most_bytes


def test_a_clock_that_is_set_back_changes_nothing_in_the_order(kept, monkeypatch):
    keys = [put(kept, seed) for seed in range(3)]
    each = kept.size() // 3
    yesterday = time.time_ns() - 86_400 * 10**9
    monkeypatch.setattr(store.time, "time_ns", lambda: yesterday)
    again = Store(kept.folder, most_bytes=int(3.5 * each))
    assert again.get(keys[0])
    keys.append(put(again, 3))
    assert [key in again for key in keys] == [True, False, True, True]
    other = Store(kept.folder, most_bytes=int(3.5 * each))
    keys.append(put(other, 4))
    assert [key in other for key in keys] == [True, False, False, True, True]


def test_a_put_does_not_look_through_the_folder_unless_it_is_nearly_full(kept, monkeypatch):
    looked = []
    real = os.scandir
    monkeypatch.setattr(store.os, "scandir", lambda folder: looked.append(1) or real(folder))
    put(kept, 0)
    kept.most_bytes = 200 * kept.size()
    del looked[:]
    for seed in range(1, 100):
        put(kept, seed)
    assert 5 <= len(looked) <= 11  # one for every twentieth of the cap
    kept.most_bytes = kept.size()
    del looked[:]
    for seed in range(100, 200):
        put(kept, seed)
        assert sum(path.stat().st_size for path in kept.folder.iterdir()) <= kept.most_bytes
    assert len(looked) < 40


def test_a_picture_larger_than_the_cap_is_not_kept(tmp_path):
    kept = Store(tmp_path, most_bytes=100)
    put(kept)
    assert len(kept) == 0


def test_only_the_stores_own_files_are_dropped_counted_and_cleared(tmp_path):
    others = ["holiday.png", "notes.txt", f"{'a' * 64}.jpg", "510.png"]
    for name in others:
        (tmp_path / name).write_bytes(b"x" * 100_000)
    kept = Store(tmp_path, most_bytes=50_000)
    key = put(kept)
    assert key in kept
    assert kept.size() < 50_000
    kept.clear()
    assert len(kept) == 0
    assert sorted(os.listdir(tmp_path)) == sorted(others)


# ---------------------------------------------------------------- processes

WRITER = """
import itertools, sys
from tests.records.test_store import put
from sdnb import Store
kept = Store(sys.argv[1])
print("ready", flush=True)
for seed in itertools.count():
    put(kept, seed % 3)
"""


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.tries(30)
def test_a_process_killed_while_writing_leaves_whole_pictures_and_its_rest_is_cleaned(kept, tried):
    left, chance = [], random.Random(0)
    for _ in range(30):
        writer = start(WRITER, kept.folder)
        assert writer.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.02, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        pictures = list(kept.folder.glob("[0-9a-f]*.png"))
        for path in pictures:
            assert kept.get(path.stem) is not None
            assert path.exists()
        left = list(kept.folder.glob(".sdnb-*.part.png"))
        tried()
    assert pictures
    assert left, "no kill hit a write: the test shows nothing"
    assert len(kept) == len(pictures)
    long_ago = time.time() - 2 * store.STALE
    for path in left:
        os.utime(path, (long_ago, long_ago))
    put(kept, 4)
    assert not list(kept.folder.glob(".sdnb-*.part.png"))


def test_a_file_that_another_process_is_writing_is_left_alone(kept):
    put(kept)
    part = kept.folder / ".sdnb-abc.part.png"
    part.touch()
    put(kept, 1)
    assert part.exists()


BOTH = """
import random, sys
from tests.records.test_store import MADE_BY, sample
from sdnb import Settings
from sdnb import Store
kept = Store(sys.argv[1], most_bytes=int(sys.argv[2]))
chance, found = random.Random(int(sys.argv[3])), 0
for number in range(300):
    seed = chance.randrange(8)
    key = kept.key(Settings("a fox", seed=seed), MADE_BY)
    got = kept.get(key)
    if got is None:
        kept.put(key, sample(seed))
    else:
        found += 1
        assert got.settings.seed == seed
        assert got.image.tobytes() == sample(seed).image.tobytes()
    if chance.random() < 0.02:
        kept.clear()
print(found, number + 1)
"""


@pytest.mark.tries(600)
def test_two_processes_at_once_put_get_drop_and_clear_without_harm(kept, tried):
    put(kept)
    most = 5 * kept.size()
    both = [start(BOTH, kept.folder, most, i) for i in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        found, number = map(int, out.split())
        assert found > 30
        tried(number)
    assert kept.size() <= most
    assert all(kept.get(path.stem) for path in kept.folder.glob("[0-9a-f]*.png"))
    assert not list(kept.folder.glob(".sdnb-*"))


ONE = """
import sys
from tests.records.test_store import put
from sdnb import Store
kept = Store(sys.argv[1], most_bytes=int(sys.argv[2]))
first, most = int(sys.argv[3]), 0
for seed in range(first, first + 300):
    put(kept, seed)
    most = max(most, kept.size())
print(most, seed - first + 1)
"""


@pytest.mark.tries(600)
def test_two_processes_that_put_stay_within_a_twentieth_of_the_cap(kept, tried):
    put(kept)
    each = kept.size()
    most = 100 * each
    both = [start(ONE, kept.folder, most, first) for first in (1000, 2000)]
    found = []
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        size, number = map(int, out.split())
        found.append(size)
        tried(number)
    assert most * 0.9 < max(found) <= most * 1.05 + each
    assert most * 0.9 < kept.size() <= most * 1.05 + each


def test_the_mark_of_a_sweep_on_ray_that_was_killed_goes_after_a_week(kept):
    put(kept)
    mark = kept.folder / ".sdnb-0123abc.shared"
    mark.touch()
    for age, there in ((2 * store.STALE, True), (2 * store.WEEK, False)):
        os.utime(mark, (time.time() - age,) * 2)
        assert len(kept) == 1
        assert mark.exists() == there


# ---------------------------------------------------------------- folders that cannot be written


@pytest.mark.tries(3)
def test_a_full_disk_is_said_once_and_leaves_nothing_half_written(tmp_path, tried):
    code = f"""
import logging, os, resource, signal
from tests.records.test_store import put
from sdnb import Store
logging.basicConfig(format="%(message)s")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
kept = Store({str(tmp_path)!r})
keys = [put(kept, seed) for seed in range(3)]
print(*[kept.get(key) for key in keys], *os.listdir(kept.folder))
"""
    done = programs.run("-c", code, cwd=ROOT)
    assert done.stdout == "None None None\n", done.stderr
    tried(done.stdout.count("None"))
    assert done.stderr.count(f"not kept in {tmp_path} (File too large)") == 1
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_said_once_and_work_goes_on(tmp_path, heard):
    (tmp_path / "file").touch()
    kept = Store(tmp_path / "file" / "store")
    assert [kept.get(put(kept, seed)) for seed in range(3)] == [None] * 3
    assert Store(kept.folder).get(put(Store(kept.folder))) is None
    assert (len(kept), kept.size()) == (0, 0)
    kept.clear()
    assert heard() == [
        f"Pictures are made but not kept in {kept.folder} (Not a directory): "
        "make room there, or let SDNB_STORE name another folder."
    ]


def test_a_folder_that_may_only_be_read_still_gives_its_pictures(tmp_path, heard):
    kept = Store(tmp_path)
    key = put(kept)
    if os.geteuid() == 0:  # who may write everywhere, unless it is mounted otherwise
        need("mount")
        subprocess.run(["mount", "--bind", "-o", "ro", tmp_path, tmp_path], check=True)
    else:
        tmp_path.chmod(0o555)
    try:
        again = Store(tmp_path)
        assert again.get(key).facts == FACTS
        other = put(again, 1)
        assert other not in again
        assert again.get(key).facts == FACTS
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", tmp_path], check=True)
        tmp_path.chmod(0o755)
    (said,) = heard()
    assert "not kept" in said
    assert "ead-only" in said or "ermission denied" in said


def test_the_usual_folder_is_the_named_one_else_a_mounted_drive_else_the_cache(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SDNB_STORE", str(tmp_path / "named"))
    monkeypatch.setattr(store, "DRIVE", tmp_path)
    assert Store().folder == tmp_path / "named"
    monkeypatch.delenv("SDNB_STORE")
    assert Store().folder == tmp_path / "sdnb"
    monkeypatch.setattr(store, "DRIVE", tmp_path / "none")
    assert Store().folder == store.platformdirs.user_cache_path("sdnb")
    assert Store().folder.is_absolute()


@pytest.mark.parametrize("off", ["off", "OFF", "0", "no", "False"])
def test_a_store_that_is_switched_off_is_no_folder_of_that_name(off, tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_STORE", off)
    monkeypatch.setattr(store, "DRIVE", tmp_path / "none")
    assert execution.opened(True) is None
    assert Store().folder == store.platformdirs.user_cache_path("sdnb")
