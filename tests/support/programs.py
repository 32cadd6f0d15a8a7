"""Python programs in fresh processes that start at once.

A server has imported torch, diffusers and transformers already, and forks a process for each
program: importing takes five times as long as what most of them do. sdnb itself is imported anew.
What reads the environment while it is imported sees the tests' own.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    [
        "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
        "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
        "diffusers.pipelines.flux.pipeline_flux",
        "peft",
    ]
)


def run(*words, cwd, check=False):
    """What `python` does with these words, "-c" or "-m" first, as `subprocess.run` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        process = _server.Process(target=_main, args=(words, cwd, said))
        process.start()
        process.join()
        out, err = (file.read_text() for file in said)
    assert not (check and process.exitcode), err
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _main(words, cwd, said):
    for number, file in enumerate(said, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    kind, program, *rest = map(str, words)
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})
