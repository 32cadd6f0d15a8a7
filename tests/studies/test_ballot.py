"""Votes: whose they are, whatever side it stood on; that they outlast the kernel; undo."""

import json
import subprocess
import sys

import pytest
from PIL import Image

import sdnb
from sdnb.studies.ballot import FILE, Ballot
from sdnb.studies.pairs import Pair


def pairs(number=12):
    """The first of each pair is light."""
    return [
        Pair(f"seed {n}", *(
            sdnb.Sample(Image.new("RGB", (8, 8), (n, light, 0)), sdnb.Settings("a fox", seed=n))
            for light in (200, 50)
        ))
        for n in range(number)
    ]  # fmt: skip


def light(ballot):
    """Where the light one stands."""
    left, _ = ballot.shown(ballot.current)
    return "left" if left.image.getpixel((0, 0))[1] == 200 else "right"


def test_a_vote_is_for_the_picture_wherever_it_stands():
    ballot, stood = Ballot(pairs(40), ("light", "dark")), []
    for n in range(40):
        stood.append(light(ballot))
        ballot.vote("same" if n < 5 else stood[-1])
    assert {"left", "right"} == set(stood)  # one in 10**12 fails
    assert str(ballot.result) == (
        "light against dark: better in 35 of 35 pairs, 100 % (83 to 100), not luck (p < 0.0001). "
        "5 pairs are equal and not counted."
    )
    with pytest.raises(ValueError, match="All 40 pairs have a vote"):
        ballot.vote("left")
    with pytest.raises(ValueError, match="The vote is 'up'"):
        ballot.vote("up")


def test_votes_are_there_after_a_restart_and_with_the_sides_changed(tmp_path):
    ballot = Ballot(pairs(), ("light", "dark"), tmp_path)
    for _ in range(3):
        ballot.vote(light(ballot))
    code = f"""
from tests.studies.test_ballot import *
from pathlib import Path
swapped = [Pair(p.name, p.b, p.a) for p in pairs()]
ballot = Ballot(swapped, ("dark", "light"), Path({str(tmp_path)!r}))
print(ballot.result, ballot.current)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("dark against light: better in 0 of 3 pairs")
    assert done.stdout.rstrip().endswith("That is the vote after 3 of 12 pairs. 3")


def test_undo_takes_votes_back_one_by_one_also_those_of_an_earlier_kernel(tmp_path):
    first = Ballot(pairs(), ("light", "dark"), tmp_path)
    first.vote(light(first))
    first.vote("same")
    again = Ballot(pairs(), ("light", "dark"), tmp_path)
    assert again.undo()
    assert (again.voted, again.current) == (1, 1)
    assert again.undo()
    assert not again.undo()
    assert Ballot(pairs(), ("light", "dark"), tmp_path).voted == 0


def test_a_line_of_the_file_says_who_voted_for_what(tmp_path):
    ballot = Ballot(pairs(), ("light", "dark"), tmp_path / "new")
    ballot.vote(light(ballot))
    line = json.loads((tmp_path / "new" / FILE).read_text())
    assert line["better"] == line["pictures"][0]
    assert line["left"] in line["pictures"]
    assert sdnb.Settings.from_dict(line["settings"][0]) == sdnb.Settings("a fox", seed=0)


def test_half_a_line_and_other_pictures_votes_do_no_harm(tmp_path):
    ballot = Ballot(pairs(), ("light", "dark"), tmp_path)
    ballot.vote(light(ballot))
    with open(tmp_path / FILE, "a") as file:
        file.write('[1]\n{"pictures": ["a"]}\n\n{"pictures": ["a", "b"], "better": "a"}\n{"pict')
    assert Ballot(pairs(), ("light", "dark"), tmp_path).voted == 1


def test_the_store_keeps_its_votes_when_it_is_cleared(tmp_path):
    store = sdnb.Store(tmp_path)
    Ballot(pairs(), ("light", "dark"), store.folder).vote("same")
    store.clear()
    assert len(store) == 0
    assert Ballot(pairs(), ("light", "dark"), store.folder).voted == 1


def test_where_nothing_can_be_written_votes_count_and_it_is_said_once(tmp_path, heard):
    (tmp_path / "file").write_text("")
    ballot = Ballot(pairs(), ("light", "dark"), tmp_path / "file")
    ballot.vote("same")
    ballot.vote("same")
    assert ballot.voted == 2
    assert sum("not kept" in said for said in heard()) == 1


def test_a_vote_after_half_a_line_of_a_killed_process_is_kept(tmp_path):
    (tmp_path / FILE).write_text('{"pictures": ["ab')
    Ballot(pairs(1), ("a", "b"), tmp_path).vote("same")
    assert Ballot(pairs(1), ("a", "b"), tmp_path).voted == 1
