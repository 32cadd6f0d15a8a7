"""What a panel shows: the picture, its progress, its code, settings and file."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from sdnb import files
from sdnb.display.preview import preview
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.widgets import html
from sdnb.widgets.style import styled
from sdnb.widgets.voting_view import VotingView

WELCOME = "Say what the picture should show, then press Generate."
INTERRUPT = "Stop: Runtime > Interrupt execution"


class OutputView:
    """The right-hand side of a panel; one picture widget shows everything.

    Arguments:
        stop: called when the person presses Stop; None where only the kernel's interrupt stops.

    Attributes:
        box: what is to be shown.
        shown: the sample or the sheet that stands there; None before the first.
        voting: the vote that stands in its place; None where none does.
        code: the cell that makes it again.
    """

    def __init__(self, stop: Callable[[], object] | None) -> None:
        self.shown: Sample | Sheet | None = None
        self.code = ""
        self.voting: VotingView | None = None
        self._still: dict[str, bytes] = {}  # what stands there, when no preview does
        self._open = self._unfinished = False  # to previews; by one of them
        self.picture = styled(widgets.Image(format="png"), "sdnb-picture")
        self.empty = widgets.HTML(f'<div class="sdnb-empty">{WELCOME}</div>')
        self.bar = widgets.HTML()
        if stop is None:
            self.stop = widgets.HTML(html.said(INTERRUPT))
        else:
            self.stop = widgets.Button(description="Stop", tooltip="Ends within one step")
            self.stop.on_click(lambda _: stop())
        self.run = styled(widgets.Box([self.bar, self.stop]), "sdnb-run")
        self.said = widgets.HTML(html.said(""))
        self.view = widgets.HTML()
        self.caption = widgets.HTML()
        self.out = widgets.HTML()
        self.unfold = widgets.HTML()
        self.vote = widgets.VBox()  # the vote that stands in the picture's place
        self.save = widgets.Button(
            description="Save", tooltip="Write a PNG that carries its settings beside the notebook"
        )
        self.save.on_click(lambda _: self._save())
        self.keep = styled(widgets.Box([self.save, self.out]), "sdnb-keep")
        self.box = styled(
            widgets.VBox(
                [
                    self.empty, self.picture, self.vote, self.run, self.said, self.view,
                    self.caption, self.keep, self.unfold,
                ]
            ),
            "sdnb-stage-box",
        )  # fmt: skip
        for hidden in (self.picture, self.run, self.view, self.keep):
            hidden.layout.display = "none"

    def show(self, made: Sample | Sheet, code: str) -> None:
        """Shows a finished picture or sheet."""
        self._end_vote()
        self._still = preview(made.image if isinstance(made, Sample) else made.grid())
        self.shown, self.code = made, code
        self._open = self._unfinished = False
        alone = isinstance(made, Sample)
        self._frame(self._still)
        _mark(self.picture, "sdnb-sheet", not alone)
        if isinstance(made, Sample):
            self.view.value = ""
            self.caption.value = html.caption(made)
            settings = f"sdnb.{made.settings!r}"
        else:
            self.view.value = html.scrubbed(made)
            self.caption.value = ""
            known = [each.settings for each in made if each.settings is not None]
            settings = "\n".join(f"sdnb.{each!r}" for each in known)
        self.out.value = html.out(code, settings)
        self.unfold.value = html.unfold(code or settings)
        self.view.layout.display = "none" if alone else None
        self.keep.layout.display = None

    def ask(self, vote: VotingView, code: str) -> None:
        """Shows a vote in the picture's place, until a picture is made or gone back to.

        Arguments:
            vote: the vote.
            code: the cell that opens it again.
        """
        self._end_vote()
        self.voting, self.vote.children = vote, (vote.box,)
        for covered in (self.picture, self.empty, self.view, self.keep):
            covered.layout.display = "none"
        self.caption.value = ""
        self.unfold.value = html.unfold(code)
        self._open = self._unfinished = False

    def _end_vote(self) -> None:
        if (vote := self.voting) is not None:
            self.voting, self.vote.children = None, ()
            vote.close()

    def begin(self) -> None:
        """Lets previews be shown, until a picture is: one that a person goes back to stays."""
        if self.voting is not None and self.shown is not None:
            self.show(self.shown, self.code)
        elif self.voting is not None:
            self._end_vote()
            self.empty.layout.display = None
        self._open = True

    def preview(self, jpeg: bytes) -> None:
        """Shows a picture that is not finished."""
        if self._open:
            self._unfinished = True
            self._frame({"image/jpeg": jpeg})

    def back(self) -> None:
        """After a run that gave nothing: what stood there before."""
        self._open = False
        if not self._unfinished:
            return
        self._unfinished = False
        if self._still:
            self._frame(self._still)
        else:
            self.picture.layout.display = "none"
            self.empty.layout.display = None

    def busy(self, done: int, total: int, seconds: float = 0.0) -> None:
        """Shows how far a run is, and Stop."""
        self.bar.value = html.progress(done, total, seconds)
        self.run.layout.display = None

    def waiting(self, words: str) -> None:
        """Shows that something goes on whose end is not known."""
        self.bar.value = html.said(words)
        self.run.layout.display = None

    def idle(self) -> None:
        """Takes the progress away."""
        self.run.layout.display = "none"

    def say(self, words: str, wrong: bool = False) -> None:
        """Shows a sentence, in place of the last one."""
        self.said.value = html.said(words, wrong)

    def _frame(self, picture: dict[str, bytes]) -> None:
        [(kind, data)] = picture.items()
        with self.picture.hold_sync():  # one message
            self.picture.format = kind.removeprefix("image/")
            self.picture.value = data
        self.picture.layout.display = None
        self.empty.layout.display = "none"

    def _save(self) -> None:
        if (shown := self.shown) is None:
            return
        settings = shown.settings if isinstance(shown, Sample) else shown[0].settings
        try:
            self.say(f"Saved as {shown.save(files.free_name(settings.prompt)).resolve()}.")
        except OSError as error:
            self.say(str(error), wrong=True)


def _mark(widget: widgets.DOMWidget, name: str, wanted: bool) -> None:
    (widget.add_class if wanted else widget.remove_class)(name)
