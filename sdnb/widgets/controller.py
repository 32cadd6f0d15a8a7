"""The panel as a whole: its controls say what is wanted, one thread makes it."""

from __future__ import annotations

import functools
import io
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from sdnb.files import without_folder
from sdnb.generation import model_lock, sample_facts, sampling
from sdnb.generation.init_image import Start
from sdnb.log import notices_to
from sdnb.models import cache, provenance
from sdnb.records import metadata
from sdnb.records.a1111 import not_applied
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings
from sdnb.studies.ballot import Ballot
from sdnb.studies.pairs import Pairs
from sdnb.sweeps.execution import Kept, Making, opened
from sdnb.widgets import frontend, html, parsing, style
from sdnb.widgets.controls import Controls, uploads
from sdnb.widgets.draft import Draft, Wanted, of_axis, of_seeds, of_vote
from sdnb.widgets.history import History
from sdnb.widgets.job_thread import Check, Job, JobThread, Stopped
from sdnb.widgets.modes import Modes
from sdnb.widgets.output_view import OutputView
from sdnb.widgets.progress import Progress
from sdnb.widgets.quiet import Quiet
from sdnb.widgets.style import styled
from sdnb.widgets.voting_view import VotingView

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

OLD = 12  # pictures of the store in the history
PLAIN = 512  # pixels: of the picture in a saved notebook
_controllers = itertools.count(1)


def _answer(act: Callable[..., None]) -> Callable[..., None]:
    """A method that answers the page: one at a time, and errors are shown in the panel."""

    @functools.wraps(act)
    def answer(self: Controller, *args: Any, **named: Any) -> None:
        with self._lock:
            try:
                act(self, *args, **named)
            except Exception as error:
                self._complain(html.failed(error))

    return answer


class Controller:
    """A panel's widgets and what they do.

    Arguments:
        pipe: the pipeline.
        settings: what the controls start with.
        start: a picture to start from.
        keep_seed: whether the seed was given, and so is kept.
        store: where pictures are looked for and kept, as for `sdnb.generate`.

    Attributes:
        box: the widget to be shown.
        name: no other panel of this kernel has it.
        finished: called with each finished sample or sheet.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        settings: Settings,
        start: Start | None = None,
        keep_seed: bool = False,
        store: Kept = True,
    ) -> None:
        self.pipe, self._kept = pipe, store
        self.name = f"{next(_controllers)}-{id(self):x}"
        self.finished: Callable[[Any], object] = lambda _: None
        # for what is short; never held while a model is loaded or runs
        self._lock = threading.RLock()
        self._quiet = Quiet()
        self.jobs = JobThread(frontend.in_colab(), self._ended)
        self.output = OutputView(None if self.jobs.inline else self.stop)
        self.history = History(self.choose)
        self.controls = Controls(pipe, self._changed, self._complain, self._lock)
        self.controls.restore(settings, start)
        self.controls.lock.value = keep_seed

        self.modes = Modes(self.controls, inline=self.jobs.inline)
        self.restore = widgets.FileUpload(
            accept="image/png,image/jpeg,image/webp", multiple=False,
            description="Settings from a picture",
            tooltip="Choose or drop a picture of sdnb or another program to get its settings",
        )  # fmt: skip
        self.restore.add_class("sdnb-restore")
        self.box = self._laid_out()
        self._watch_controls()
        if there := opened(store):
            self.history.extend(there.newest(OLD))
        self._from_store()

    def _watch_controls(self) -> None:
        self.modes.make.on_click(lambda _: self._pressed(self._generate))
        self.modes.set_out.on_click(lambda _: self._pressed(self._compare))
        self.modes.vote.on_click(lambda _: self._pressed(self._vote))
        self.modes.axis.observe(lambda change: self._new_axis(change["new"]), "value")
        self.controls.load.on_click(lambda _: self._pressed(self._load, lasting=True))
        self.restore.observe(lambda _: self._restored(), "value")
        self.output.vote.observe(lambda _: self._cover(), "children")
        self._watch_loras()
        for control in _all(self.box):
            if control.has_trait("value") and not isinstance(control, _TELLING):
                control.observe(lambda _: self._quiet.changed(), "value")

    def _watch_loras(self) -> None:
        for slider in self.controls.loras.values():
            slider.observe(lambda _: self._quiet.changed(), "value")

    # ---------------------------------------------------------------- what a person asks for

    def generate(self) -> None:
        """Makes the picture, or as many as are wanted, with the seeds that follow."""
        self.jobs.submit(self._generate)

    def compare(self) -> None:
        """Makes the sheet of the chosen axis."""
        self.jobs.submit(self._compare)

    @_answer
    def stop(self) -> None:
        """Ends what runs, within one denoiser step; a model that is being loaded is not taken."""
        if self.jobs.stop():
            self.output.say("Stopped.")  # what only waited cannot say so itself

    def load(self, model: str) -> None:
        """Changes the model, to one with no other parts than its own."""
        self.controls.choice.more.value = False
        self.controls.model.value = model
        self.jobs.submit(self._load, lasting=True)

    @_answer
    def choose(self, made: Sample, start: Start | None = None, more: Sequence[str] = ()) -> None:
        """Goes back to a picture: shows it, and sets all controls to what made it.

        Arguments:
            made, start: the picture, and the one that it started from.
            more: what else of it is lost, each in words.
        """
        lacks = [*self.controls.restore(made.settings, start), *more]
        self.output.show(made, html.code_of(made))
        mine = _model(self.pipe)
        model = made.facts.get("model") or mine
        if without_folder(model) == without_folder(mine):  # files do not name folders
            model = mine
        self.controls.model.value = model
        if model != mine:
            lacks.insert(0, f"{model} made it, here is {mine}")
        self.output.say(f"Restored, but: {'; '.join(lacks)}." if lacks else "")

    def plain(self, made: Sample | Sheet) -> str:
        """A picture for a page where the panel is not alive."""
        image = made.image if isinstance(made, Sample) else made.grid()
        about = html.caption(made) if isinstance(made, Sample) else ""
        return html.plain(html.jpeg(image, PLAIN), about, self.name)

    def close(self) -> None:
        """Ends the thread, and takes the widgets away."""
        self.jobs.close()
        for widget in _all(self.box):
            widget.close()

    def _pressed(self, job: Job, typing: bool = False, lasting: bool = False) -> None:
        """Does a button's job, with what stands in the panel when all changes have come."""
        settled = self._quiet.before(job, typing)
        # a change that comes inline would have to wait for the press to end
        self.jobs.submit(job if self.jobs.inline else settled, lasting)

    # ---------------------------------------------------------------- controls that changed

    @_answer
    def _changed(self, typing: bool = False) -> None:
        if not self.modes.live.value:
            self._from_store()
        elif typing:
            self._pressed(self._generate_live, typing)
        else:
            self.jobs.submit(self._generate_live)

    @_answer
    def _from_store(self) -> None:
        """Shows what the store has of the present settings; what runs goes on, without previews.

        It may have one of the pictures that are voted on, so a vote stays as it is.
        """
        store = opened(self._kept)
        if store is None or self.output.voting is not None:
            return
        start = self.controls.start
        try:
            reader = sampling.pipeline_for(self.controls.reader, start)
            settings = sampling.resolve(self.controls.settings(), reader, start)
        except ValueError:
            return  # shown as an error when the picture is made
        made_by = sample_facts.made_by(settings, sampling.pipeline_for(self.pipe, start), start)
        made = store.get(store.key(settings, made_by)) if made_by else None
        if made is not None:
            made = sample_facts.placed(made, provenance.places(self.pipe), start)
            self.output.show(made, html.code_of(made))
            self.output.say("")

    @_answer
    def _new_axis(self, axis: str) -> None:
        self.modes.among.value = parsing.usual(axis) or getattr(self.controls, _FIELDS[axis]).value

    @_answer
    def _restored(self) -> None:
        for name, content in uploads(self.restore):
            image, records = metadata.read(io.BytesIO(content), name)
            settings, facts = records[0]
            lost = [] if "dtype" in facts else not_applied(settings, facts)
            more = [f"not applied are {', '.join(lost)}"] if lost else []
            self.choose(Sample(image, settings, facts), more=more)
            if len(records) > 1:
                self.output.say(f"A sheet of {len(records)}: these settings are its first's.")

    @_answer
    def _cover(self) -> None:
        """Hides what of the history is voted on: a thumbnail says what made its picture."""
        pairs = self.output.voting.ballot.pairs if self.output.voting else []
        self.history.hide([made for pair in pairs for made in (pair.a, pair.b)])

    def _complain(self, words: str) -> None:
        self.output.say(words, wrong=True)

    # ---------------------------------------------------------------- in the worker's thread

    def _generate(self, check: Check) -> None:
        self._make(self._drafted(self.modes.count.value, drawn=True), check)

    def _generate_live(self, check: Check) -> None:
        self._make(self._drafted(1, drawn=False), check)

    def _drafted(self, count: int, drawn: bool) -> Draft:
        with self._lock:
            self.controls.take_seed(drawn)
            return of_seeds(self._wanted(), count)

    def _compare(self, check: Check) -> None:
        with self._lock:
            axis = self.modes.axis.value
            among = parsing.read(axis, self.modes.among.value)
            wanted = self._wanted()
        self._make(of_axis(wanted, axis, among), check)

    def _vote(self, check: Check) -> None:
        with self._lock:
            axis = self.modes.axis.value
            among = parsing.read(axis, self.modes.among.value)
            self.controls.take_seed(drawn=True)
            draft = of_vote(self._wanted(), axis, among, self.modes.pairs.value)
        self._make(draft, check)

    def _wanted(self) -> Wanted:
        return Wanted(self.controls.settings(), self.controls.start, self.pipe)

    def _make(self, draft: Draft, check: Check) -> None:
        making = watch = None
        with self._lock:
            self.output.begin()
            self.output.say("")
        keep = self.history.add if draft.pairs is None else lambda made, start: None
        preview = self._preview if draft.pairs is None else None
        try:
            with notices_to(self.output.say), model_lock.waited(draft.pipe, self._waiting, check):
                self.output.waiting("Preparing …")
                making = Making(draft.plan(), self._kept)
                for made in making.made.values():
                    keep(made, draft.start)
                watch = Progress(making, check, self.output.busy, preview)
                if making.todo:
                    self.output.busy(0, watch.total)
                for i in making.go_on(on_call=watch.on_call, on_step=watch.on_step):
                    if i in making.made:
                        keep(making.made[i], draft.start)
                if draft.pairs is not None:
                    self._ask(draft.pairs(), making, draft.code)
                    return
                sheet = making.finished()
            self._present(sheet, draft.code)
        except (Stopped, KeyboardInterrupt) as stopped:
            if making is None or watch is None or getattr(stopped, "newer", False):
                raise
            self._stopped(making, watch, draft.code, shown=draft.pairs is None)

    def _ask(self, pairs: Pairs, making: Making, code: str) -> None:
        """Opens the vote on pairs that are made."""
        left_out: list[str] = []
        made = pairs.made(making, range(len(pairs)), left_out)
        if not made:
            raise ValueError(f"There is nothing to vote on: {left_out[0]}.")
        there = opened(self._kept)
        with self._lock:
            ballot = Ballot(made, pairs.sides, there.folder if there else None)
            self.output.ask(VotingView(ballot), code)
            if left_out:
                self.output.say(f"Left out: {len(left_out)} of {len(pairs)} pairs, {left_out[0]}.")

    def _waiting(self) -> None:
        self.output.waiting("Waiting for another run of this model …")

    def _preview(self, jpeg: bytes) -> None:
        with self._lock:
            self.output.preview(jpeg)

    def _present(self, sheet: Sheet, code: str) -> None:
        made = sheet if len(sheet) > 1 else sheet[0]
        with self._lock:
            self.output.show(made, code or html.code_of(sheet[0]))
            self.finished(made)

    def _stopped(self, making: Making, watch: Progress, code: str, shown: bool) -> None:
        if making.made and shown:
            sheet = making.sheet()
            self._present(sheet, code)
            self.output.say(f"Stopped: {len(making.made)} of {len(sheet)} pictures are finished.")
        else:
            self.output.say(f"Stopped after {watch.done} of {watch.total} denoiser calls.")

    def _load(self, check: Check) -> None:
        with self._lock:
            asked, request = self.controls.model.value, self.controls.choice.request()
        self.output.waiting(f"Loading {asked} …")
        try:
            with notices_to(self.output.say):
                pipe = cache.get(request)
            check()
            with self._lock:
                self.controls.fit(pipe)
                self.pipe = pipe
                self.modes.fit(self.controls)
                self._watch_loras()
                self.output.say(f"{_model(pipe)} is loaded.")
        finally:
            with self._lock:
                if self.controls.model.value == asked:  # else the next is typed already
                    self.controls.model.value = _model(self.pipe)

    def _ended(self, error: BaseException | None) -> None:
        """After each job: nothing half-made stays, and an error or a stop is shown."""
        with self._lock:
            for clear in (self.output.back, self.output.idle):
                try:
                    clear()
                except Exception as wrong:
                    error = wrong
            if isinstance(error, Exception):
                self._complain(html.failed(error))
            elif error is not None and not getattr(error, "newer", False):
                self.output.say("Stopped.")

    # ---------------------------------------------------------------- how it is set out

    def _laid_out(self) -> Any:
        ask = self.controls.ask
        ask.children = (*ask.children, self.modes.box)
        title = widgets.HTML('<span class="sdnb-title">History: click one to go back to it</span>')
        history = widgets.VBox([title, self.history.box, self.restore])
        parts = ask, self.output.box, self.controls.settings_box, styled(history, "sdnb-history")
        body = styled(widgets.Box(parts), "sdnb-body")
        return styled(widgets.VBox([widgets.HTML(style.dress(self.name)), body]), "sdnb-panel")


_FIELDS = {"prompt": "prompt", "negative_prompt": "negative"}
_TELLING = (widgets.HTML, widgets.Image)  # have a value, and are no controls


def _model(pipe: DiffusionPipeline) -> str:
    return provenance.origin_of(pipe).model


def _all(box: Any) -> Iterator[Any]:
    for child in getattr(box, "children", ()):
        yield from _all(child)
    yield box
