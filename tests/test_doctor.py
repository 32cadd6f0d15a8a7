"""python -m sdnb doctor."""

import os
import subprocess
import sys

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import sdnb
from sdnb import __main__, doctor
from sdnb.hub import errors as hub_errors
from sdnb.models import device
from tests.support.hub_server import Hub

TOKEN = "hf_" + "planted" * 5


@pytest.fixture
def server():
    with Hub() as running:
        running.users[TOKEN] = "ada"
        yield running


@pytest.fixture
def report(server, tmp_path, monkeypatch, capsys):
    """What the command prints, and its exit code; in this process, whose hub is the test's."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SDNB_MODEL", "CI", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "ENDPOINT": server.url,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)

    def run(token=None):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        code = __main__.main(["doctor"])
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        return code, said.out

    yield run
    huggingface_hub.close_session()


def in_a_process(server, folder, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("HF_TOKEN", "SDNB_MODEL", "CI")}
    asked = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.url, "HF_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "sdnb", "doctor"], capture_output=True, text=True, check=False,
        env=kept | asked | environment,
    )  # fmt: skip


def test_where_all_is_well_it_says_so(server, tmp_path):
    done = in_a_process(server, tmp_path, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "token            of ada" in done.stdout
    assert f"{server.url} can be reached" in done.stdout
    assert "0 models, 0 MB" in done.stdout
    assert "All is well." in done.stdout
    assert TOKEN not in done.stdout + done.stderr


def test_each_problem_has_a_fix_and_the_exit_code_is_1(report):
    code, said = report("hf_old")
    assert code == 1
    problems = [line for line in said.splitlines() if line.startswith("!")]
    assert len(problems) == said.count("-> ") == 1
    assert "from HF_TOKEN: not accepted" in said
    assert "put a new one, from https://huggingface.co/settings/tokens, into the" in said


@pytest.mark.parametrize(("status", "fix"), [(503, "ask again"), (403, "see what it may do")])
def test_a_hub_that_does_not_say_whose_the_token_is_has_not_refused_it(status, fix, server, report):
    server.faults["whoami-v2"] = status
    code, said = report(TOKEN)
    assert code == 1
    assert "not accepted" not in said
    assert f"does not say whose: it answers with status {status}" in said
    assert f"-> {fix}" in said


def test_a_torch_that_cannot_be_imported_is_a_line_with_its_fix(server, tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise OSError('libcudart.so.13: cannot open shared object file')"
    )
    done = in_a_process(server, tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "torch cannot be imported: libcudart.so.13: cannot open" in done.stdout
    assert "pip install --force-reinstall torch" in done.stdout
    assert "can be reached" in done.stdout  # and the rest is still looked at


def test_a_transformers_too_old_for_the_hub_names_the_three_that_move_together(server, tmp_path):
    """What transformers 5.15 raises as it is imported beside huggingface_hub 2."""
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text(
        "raise ImportError('huggingface-hub>=1.3.0,<2.0 is required, found huggingface-hub==2.4.0')"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = in_a_process(server, tmp_path, PYTHONPATH=paths)
    assert "Traceback" not in done.stderr
    assert "huggingface-hub>=1.3.0,<2.0 is required" in done.stdout
    assert "move together: pip install -U diffusers transformers huggingface_hub" in done.stdout


def test_without_a_network_it_says_what_still_works(server, report):
    server.stop()
    code, said = report()
    assert code == 1
    assert "cannot be reached" in said
    assert "use sdnb.load('emoji')" in said


def test_a_version_out_of_range_is_found(monkeypatch):
    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda n: "0.1" if n == "diffusers" else real(n))
    wrong = [f for f in doctor._packages() if f.fix]
    assert [f.what for f in wrong] == ["diffusers"]
    assert wrong[0].fix.startswith('pip install "diffusers')


def test_the_librarys_errors_cover_the_http_client():
    assert any(k.__name__ == "HTTPError" for k in hub_errors.library_errors())


def test_a_gpu_for_which_torch_has_no_kernels_is_not_used_and_told(monkeypatch):
    """Kaggle's P100: is_available() is true, and every kernel fails. There is none here to ask."""
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "get_device_name", lambda *_: "Tesla P100-PCIE-16GB")
    monkeypatch.setattr(cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_90", "compute_90"])
    monkeypatch.setattr(cuda, "get_device_capability", lambda *_: (6, 0))
    assert device.best() == "cpu"
    with pytest.raises(ValueError, match=r"P100-PCIE-16GB \(sm_60\), is too old for this PyTorch"):
        sdnb.load("emoji", device="cuda")
    [found] = [each for each in doctor._device() if each.what == "GPU"]
    assert "choose another GPU (on Kaggle the T4), or device='cpu'" in found.fix
    for capability in [(7, 5), (8, 6), (9, 0), (12, 0)]:  # the last by PTX, compiled on the spot
        monkeypatch.setattr(cuda, "get_device_capability", lambda *_, c=capability: c)
        assert device.too_old() == ""
