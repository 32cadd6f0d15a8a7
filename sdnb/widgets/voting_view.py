"""The widgets of a vote: two pictures, four buttons, keys."""

from __future__ import annotations

import itertools
import threading
import time
from html import escape

import ipywidgets as widgets

from sdnb.display.preview import enlarged, preview
from sdnb.records.sample import Sample
from sdnb.studies.ballot import LEFT, RIGHT, SAME, Ballot
from sdnb.widgets import html, style

# Nobody judges sooner: seconds. Where the kernel is slow, two presses come at once, and the second
# was meant for the pictures that stood there.
SOON = 0.15
_numbers = itertools.count(1)

STYLE = """
.sdnb-vote .sdnb-two.sdnb-two { display: flex; flex-flow: row nowrap; gap: 12px;
  max-width: 840px; width: 100% }
.sdnb-vote .sdnb-two > * { flex: 1 1 0; min-width: 0; height: auto; border-radius: 6px;
  object-fit: contain; outline: 1px solid var(--line) }
.sdnb-vote .sdnb-answers.sdnb-answers { display: flex; flex-flow: row wrap; gap: 8px;
  max-width: 840px; width: 100% }
.sdnb-vote .sdnb-answers > * { flex: 1 1 90px }
.sdnb-vote .sdnb-answers > :nth-last-child(-n+2) { flex: 0 1 auto }
.sdnb-vote:focus { outline: 2px solid var(--accent); outline-offset: 3px }
.sdnb-vote [role=status] { max-width: 840px; margin: 0 }
.sdnb-vote .sdnb-which { font-size: 15px } .sdnb-vote.sdnb-vote { gap: 10px }
"""
# Core widgets have no keys. JupyterLab's own use of the arrow keys is kept away by the attribute.
SCRIPT = """
const root = this.closest('.sdnb-vote');
if (root && !root.sdnbKeys) {
  root.sdnbKeys = true;
  root.tabIndex = 0;
  const quiet = () => {
    for (const each of [root, ...root.querySelectorAll('*')])
      each.setAttribute('data-lm-suppress-shortcuts', 'true');
    root.querySelectorAll('.sdnb-two img').forEach((image, i) => {
      image.alt = i ? 'right picture' : 'left picture';
    });
  };
  new MutationObserver(quiet).observe(root, { childList: true, subtree: true });
  quiet();
  const keys = { ArrowLeft: 'left', ArrowRight: 'right', ArrowDown: 'same', Backspace: 'undo' };
  root.addEventListener('keydown', event => {
    const name = keys[event.key];
    if (!name || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) root.querySelector('.sdnb-answer-' + name)?.click();
  });
  root.addEventListener('click', event => {
    if (event.target.matches('img, p, div')) root.focus({ preventScroll: true });
  });
}
"""


class VotingView:
    """Two pictures of a ballot, and what a person can say of them.

    What a press does is short and changes only state, so that it is right where callbacks run
    beside a cell, and where they wait for its end.

    Arguments:
        ballot: the pairs.

    Attributes:
        box: the widget to be shown.
    """

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        self._lock = threading.RLock()
        self._since = 0.0  # seconds, of `time.monotonic`: when these two came
        self.which, self.said = widgets.HTML(), widgets.HTML()
        self.left, self.right = (widgets.Image(format="png") for _ in range(2))
        self.two = style.styled(widgets.Box([self.left, self.right]), "sdnb-two")
        self.buttons = {
            name: style.styled(widgets.Button(description=text, tooltip=tip), f"sdnb-answer-{name}")
            for name, text, tip in (
                (LEFT, "← Left", "The left one is better (left arrow key)"),
                (SAME, "↓ Same", "They are equally good (down arrow key)"),
                (RIGHT, "Right →", "The right one is better (right arrow key)"),
                ("undo", "Undo", "Takes the last vote back (Backspace)"),
                ("result", "Result", "Says what the votes come to so far"),
            )
        }
        for name in (LEFT, SAME, RIGHT):
            self.buttons[name].on_click(lambda _, name=name: self.vote(name))
        self.buttons["undo"].on_click(lambda _: self.undo())
        self.buttons["result"].on_click(lambda _: self.tell())
        self.answers = style.styled(widgets.Box([*self.buttons.values()]), "sdnb-answers")
        look = style.dress(f"vote-{next(_numbers)}")
        look += f'<style onload="{escape(SCRIPT)}">{STYLE}</style>'
        self.box = style.styled(
            widgets.VBox([widgets.HTML(look), self.which, self.two, self.answers, self.said]),
            "sdnb-panel", "sdnb-vote",
        )  # fmt: skip
        self._show()
        self._say("Click here, then vote with the arrow keys; Backspace takes a vote back.")

    def vote(self, better: str) -> None:
        """Takes a vote on the pair that stands there: "left", "right" or "same"."""
        with self._lock:
            if self.ballot.current is None or time.monotonic() - self._since < SOON:
                return
            self.ballot.vote(better)
            self._show()
            decided = self.ballot.result.tally.decided
            self._say("It is decided: you may stop, and see the result." if decided else "")
            if self.ballot.current is None:
                self.tell()

    def undo(self) -> None:
        """Takes the last vote back, and shows its pictures again."""
        with self._lock:
            undone = self.ballot.undo()
            self._show()
            self._say("The last vote is taken back." if undone else "No vote to take back.")

    def tell(self) -> None:
        """Shows what the votes come to so far."""
        with self._lock:
            self._say(str(self.ballot.result))

    def close(self) -> None:
        """Takes the widgets away."""
        for widget in [*self.box.children, *self.two.children, *self.answers.children, self.box]:
            widget.close()

    def _show(self) -> None:
        ballot, i = self.ballot, self.ballot.current
        self.two.layout.display = "none" if i is None else None
        for name in (LEFT, SAME, RIGHT):
            self.buttons[name].layout.display = "none" if i is None else None
        if i is None:
            self._ask(f"All {len(ballot)} pairs have a vote.")
            return
        for widget, sample in zip((self.left, self.right), ballot.shown(i)):
            _put(widget, sample)
        self._ask(f"{i + 1} of {len(ballot)} · {ballot.pairs[i].name}: which is better?")
        self._since = time.monotonic()

    def _ask(self, text: str) -> None:
        self.which.value = f'<p class="sdnb-which {html.QUIET}">{escape(text)}</p>'

    def _say(self, text: str) -> None:
        self.said.value = html.said(text)


def _put(widget: widgets.Image, sample: Sample) -> None:
    [(kind, picture)] = preview(enlarged([sample.image.convert("RGB")])[0]).items()
    with widget.hold_sync():  # one message
        widget.format = kind.removeprefix("image/")
        widget.value = picture
