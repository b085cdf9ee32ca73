"""What to do about a run whose figures must not be believed, in one line."""

from infertui.results.result import Result

_ELSE = (
    "something else used this machine meanwhile: close it, or wait, and run again;"
    " --min-seconds 60 averages over more of it"
)
_REMEDIES = {
    "foreign": "another process uses the GPU, and `infertui gpus` names it: end it and run again",
    "gpu-lost": "the GPU's driver stopped answering: see `infertui doctor`, then run again",
    "thermal": "the GPU is too hot for its clocks: let it cool or see to its fans, and run again",
    "throttle": "something held the GPU's clocks down: see its power supply and `infertui gpus`, and run again",
    "clocks": "the GPU's clock fell meanwhile: let it settle, and run again; --warmup 10 helps",
    "swap": "the machine has too little memory for all that it does: close something and run again",
    "host-busy": _ELSE,
    "noisy": _ELSE,
    "drift": _ELSE,
    "unsteady": _ELSE,
    "few": "too little was measured: give --iterations 5 or more",
    "client": "infertui itself was too large a part of it: longer outputs or larger batches",
}
"""By the mark of what is against a run, the most telling first."""


def remedy(result: Result) -> str:
    """What to do about an invalid result; empty for a valid one, and where there is nothing to advise."""
    marks = result.verdict.marks if result.state == "finished" and not (result.verdict.valid or result.imported) else ()
    return next((text for mark, text in _REMEDIES.items() if mark in marks), "")
