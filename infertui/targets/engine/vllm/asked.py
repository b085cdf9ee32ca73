"""What vLLM is known to refuse, from the request and the files alone."""

from infertui.errors import EngineError
from infertui.models.resolve import ModelSource, resolve
from infertui.targets.engine.base import LoadRequest
from infertui.text import clean


def check(request: LoadRequest, source: ModelSource) -> None:
    """Refuse what this engine cannot run, before a worker is started: see `targets.engine.base.check`."""
    draft_of(request, source)


def draft_of(request: LoadRequest, source: ModelSource) -> ModelSource | None:
    """The model that drafts, if one is asked for. Raises EngineError for one that does not go with the other."""
    if request.engine.speculation != "draft-model":
        return None
    if not request.engine.draft_model:
        raise EngineError("engine.speculation = draft-model needs engine.draft_model", remedy="Name a smaller model.")
    draft = resolve(request.engine.draft_model)
    if (draft.kind == "synthetic") != (source.kind == "synthetic"):
        # The library loads both in the same way: it would look for weights that are not there, or ignore real ones.
        raise EngineError(
            f"engine.draft_model {clean(draft.id)} and model.id {clean(source.id)}: vLLM takes random weights for "
            "both models or for neither",
            remedy="Let both be synthetic:..., or neither.",
        )
    return draft
