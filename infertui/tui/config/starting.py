"""What the form is asked to start: runs in the queue, a study, a tuning session, a search for a capacity."""

from infertui.config.schema import Config
from infertui.config.sweep import rooted
from infertui.runner.control import RunnerApi
from infertui.tui.capacity.begin import begin_search
from infertui.tui.config.engines import lacks_url
from infertui.tui.config.estimate import EstimateNotes
from infertui.tui.config.form.editor import FormEditor
from infertui.tui.config.profiling import profile
from infertui.tui.config.pulling import Puller
from infertui.tui.config.queueing import QueueRequest, doubt, queue, wanted
from infertui.tui.tuning.begin import tune


class Starter:
    """Starts what the form of `editor` holds, or says why not and goes to the field."""

    def __init__(self, editor: FormEditor, estimate: EstimateNotes, puller: Puller) -> None:
        self._editor = editor
        self._estimate = estimate
        self._puller = puller
        self._form = editor.form
        self._context = editor.app_context

    def _refused(self, what: str) -> bool:
        """Whether the form contradicts itself, or a line of it is not finished, which is said."""
        if unfinished := self._editor.unfinished:
            self._context.say(f"{what}, a line is not finished: {unfinished}", "error")
            return True
        if (problem := self._form.problem) is None:
            return False
        self._context.say(f"{what}: {problem}", "error")
        self._editor.go_to(problem.path)
        return True

    def profile(self) -> None:
        """A study of layers on the GPU."""
        if not self._refused("Not queued"):
            answer = self._estimate.question.answer
            profile(self._editor.app, self._context, self._form, answer.seconds if answer else None)

    def tune(self) -> None:
        """A tuning session from the form, or the one under way."""
        if self._refused("Not begun"):
            return

        async def config(_: RunnerApi) -> Config:
            return rooted(self._form.config())

        tune(self._editor.app, self._context, config, self._form.base.label)

    def capacity(self) -> None:
        """A search for the most load that keeps objectives."""
        if not self._refused("Not begun"):
            begin_search(self._editor.app, self._context, self._form.config())

    def queue(self, *, front: bool) -> None:
        """Queue it, or put the entry back. The URL that a load lacks is asked for."""
        if self._refused("Not queued"):
            return
        if lacks_url(self._form.values):
            self._context.say("Not queued: the load needs the URL of a server, as in http://127.0.0.1:8000", "error")
            self._editor.go_to("target.url")
            self._editor.edit()
        else:
            self._editor.run_worker(self._queue(wanted(self._form, front=front)), group="submit")

    async def _queue(self, what: QueueRequest) -> None:
        """At once, or where it is not going to run after a second yes."""

        def yes() -> None:
            queue(self._context, self._form, what)

        if what.count == 1 and (missing := self._puller.missing()):
            self._puller.ask(self._editor.app, missing, yes)
        elif doubts := doubt(self._form, self._editor.knowledge, await self._estimate.known(what.config)):
            self._context.confirm(f"This is not going to run here.\n{doubts}", yes="Queue it anyway", then=yes)
        else:
            yes()
