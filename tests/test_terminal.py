"""python -m sdnb, as a person would type it."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from PIL import Image

import sdnb
from sdnb import __main__
from sdnb.models import device, lora
from tests.support import programs


def sdnb_in(folder, *words):
    return programs.run("-m", "sdnb", *words, cwd=folder)


def test_several_steps_make_a_sheet_and_its_pictures(tmp_path):
    shown = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    words = "--steps 1 2 3 --seed 510 --model emoji -o s.png"
    command = [sys.executable, "-m", "sdnb", "a fox", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, env=shown, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["s.png", "s-1.png", "s-2.png", "s-3.png"]
    assert sdnb.read(tmp_path / "s-3.png").settings == sdnb.Settings(
        "a fox", steps=3, guidance=7.5, scheduler="DDIM", seed=510, width=128, height=128
    )
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 3 * 256
    assert re.search(r"100%.*6/6", done.stderr)  # 1 + 2 + 3 denoiser calls
    assert "Traceback" not in done.stderr


def test_the_first_line_comes_before_torch_is_imported(tmp_path):
    """Which takes seconds, in which a person would wonder."""
    at_load = "cache.load = lambda model, **_: sys.exit('torch' in sys.modules)"
    code = f"import sys; from sdnb import __main__; from sdnb.models import cache; {at_load}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; __main__.main(['a fox', '--model', 'emoji'])"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "Loading emoji ...\n")


def test_one_picture_is_named_after_its_prompt_and_nothing_is_overwritten(tmp_path):
    for name in ("a-fox.png", "a-fox_2.png"):
        done = sdnb_in(tmp_path, "A fox!", "--steps", "1", "--model", "emoji")
        assert done.stdout.split() == [name], done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a-fox.png", "a-fox_2.png"]


def test_a_name_made_from_the_prompt_leaves_every_picture_that_is_there_alone(tmp_path):
    (tmp_path / "a-fox-2.png").write_text("mine")
    done = sdnb_in(tmp_path, "a fox", "--steps", "1", "2", "--model", "emoji")
    assert done.stdout.split() == ["a-fox_2.png", "a-fox_2-1.png", "a-fox_2-2.png"], done.stderr
    assert (tmp_path / "a-fox-2.png").read_text() == "mine"


def test_what_is_advised_about_a_long_prompt_is_an_option_here(tmp_path):
    words = ["a fox " * 60, "--steps", "1", "--model", "emoji", "-o", "s.png"]
    done = sdnb_in(tmp_path, *words)
    assert done.returncode == 2
    assert "give --long-prompt cut, or chunk to read it in pieces." in done.stderr
    assert "long_prompt" not in done.stderr
    done = sdnb_in(tmp_path, *words, "--long-prompt", "chunk")
    assert done.returncode == 0, done.stderr
    assert sdnb.read(tmp_path / "s.png").settings.long_prompt == "chunk"


def test_ctrl_c_stops_it_with_a_word_and_leaves_no_file(tmp_path):
    command = [sys.executable, "-m", "sdnb", "a fox", "--steps", "900", "--model", "emoji"]
    shown = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=shown, stderr=subprocess.PIPE, text=True,
        # whoever started the tests in the background has made them deaf to it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    seen = ""
    while "/900" not in seen:  # the denoiser is at work
        read = running.stderr.read(1)
        assert read, seen  # else it has ended
        seen += read
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=30)
    assert running.returncode == 130
    assert rest.endswith("python -m sdnb: stopped\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([""], 2, "The prompt is empty"),
        (["a fox", "--steps", "0"], 2, "steps is 0: give a number from 1 to 1000."),
        (["a fox", "--steps", "12", "1001"], 2, "steps is 1001"),
        (["a fox", "--steps", "many"], 2, "invalid int value: 'many'"),
        (["a fox", "--guidance", "-1"], 2, "guidance is -1"),
        (["a fox", "--guidance", "nan"], 2, "guidance is nan"),
        (["a fox", "--width", "500"], 2, "use 496 or 504"),
        (["a fox", "--scheduler", "PMDN", "--model", "no/where"], 2, "did you mean 'PNDM'"),
        (["a fox", "--seed", "-3"], 2, "seed is -3"),
        (["a fox", "--model", "."], 2, "holds no pipeline: there is no model_index.json"),
        (["a fox", "-o", "none/a.png"], 1, "there is no folder none"),
        (["a fox", "-o", "a.gif"], 2, "does not end in .png"),
    ],
)
def test_bad_input_gets_a_sentence_an_exit_code_and_no_file(tmp_path, words, code, sentence):
    done = sdnb_in(tmp_path, *words)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert os.listdir(tmp_path) == []


def test_a_memory_that_is_too_small_is_a_sentence_and_no_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "free_memory", lambda _: 10**6)
    copy = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "copy")
    assert __main__.main(["a fox", "--model", str(copy), "-o", str(tmp_path / "a.png")]) == 1
    said = capsys.readouterr().err
    loading, sentence = said.splitlines()
    assert loading == f"Loading {copy} ..."
    assert re.fullmatch(r"python -m sdnb: .*/copy needs \d+ MB of .* 1 MB are free: .*", sentence)


def test_a_package_that_is_missing_is_named_and_no_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lora, "find_spec", lambda _: None)
    assert __main__.main(["a fox", "--lora", "sepia", "-o", str(tmp_path / "a.png")]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"python -m sdnb: .*pip install 'sdnb\[lora\]'.*", sentence)


@pytest.mark.parametrize("encoding", ["cp1252", pytest.param("ascii", marks=pytest.mark.slow)])
def test_a_console_of_few_letters_shows_the_others_as_escapes(tmp_path, encoding):
    """As Windows' are, and every one in the C locale."""
    command = [sys.executable, "-m", "sdnb", "лиса", "--model", "emoji", "--steps", "1"]
    few = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=tmp_path, env=few, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii").strip() == ascii("лиса.png").strip("'")
    assert os.listdir(tmp_path) == ["лиса.png"]
