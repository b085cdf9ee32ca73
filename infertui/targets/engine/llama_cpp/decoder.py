"""The loop: static batches through `llama_decode`, with nothing per token in Python that could be done before.

Copying logits into arrays and building candidate lists for the sampler is what makes generator loops slow: at 700
tokens a second they cost 4 %. Here a batch's memory is made once and shared with llama.cpp, logits are looked at where
they lie, and the greedy choice is one pass over them.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from infertui.errors import EngineError
from infertui.targets.engine.base import Batch, Sink

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Ids = npt.NDArray[np.int32]

_MAX_SEED = 2**32 - 1
_SCORED_AT_ONCE = 128


class Decoder:
    """Generates with one context. A batch of `n_batch` tokens is the most that is handed over at once."""

    def __init__(self, api: Any, calls: ctypes.CDLL, context: Any, vocabulary: int, n_batch: int) -> None:
        import numpy as np

        self._np = np
        self._api, self._context, self._vocabulary, self._n_batch = api, context, vocabulary, n_batch
        self._memory = api.llama_get_memory(context)
        # The same function as the library's own, but giving an address instead of a pointer object.
        self._logits_at = calls.llama_get_logits_ith
        self._logits_at.argtypes = (ctypes.c_void_p, ctypes.c_int32)
        self._logits_at.restype = ctypes.c_void_p
        self._views: dict[tuple[int, int], Array] = {}
        self._tokens = np.zeros(n_batch, dtype=np.int32)
        self._positions = np.zeros(n_batch, dtype=np.int32)
        self._sequences = np.zeros(n_batch, dtype=np.int32)
        self._wanted = np.zeros(n_batch, dtype=np.int8)
        self._ones = np.ones(n_batch, dtype=np.int32)
        # Each token belongs to one sequence: a pointer to its entry in `_sequences`.
        base = self._sequences.ctypes.data
        self._pointers = np.arange(base, base + 4 * n_batch, 4, dtype=np.uintp)
        fields = dict(api.llama_batch._fields_)
        self._batch = api.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(fields["token"]),
            embd=None,
            pos=self._positions.ctypes.data_as(fields["pos"]),
            n_seq_id=self._ones.ctypes.data_as(fields["n_seq_id"]),
            seq_id=self._pointers.ctypes.data_as(fields["seq_id"]),
            logits=self._wanted.ctypes.data_as(fields["logits"]),
        )

    def clear(self) -> None:
        """Forget all sequences, so that nothing of one batch helps the next."""
        self._api.llama_memory_clear(self._memory, False)

    def generate(self, batch: Batch, sink: Sink) -> "Ids":
        """Token ids, (output_len, sequences). Raises EngineError when llama.cpp refuses a batch."""
        self.clear()
        size = len(batch.prompts)
        produced = self._np.zeros((batch.output_len, size), dtype=self._np.int32)
        with self._samplers(batch) as samplers:
            produced[0] = self._prefill(batch.prompts, samplers)
            sink.step()
            self._sequences[:size] = self._np.arange(size)
            self._positions[:size] = [len(prompt) for prompt in batch.prompts]
            self._wanted[:size] = 1
            self._batch.n_tokens = size
            tokens, positions, places = self._tokens[:size], self._positions[:size], range(size)
            tokens[:] = produced[0]
            for step in range(1, batch.output_len):
                self._decode()
                chosen = self._choose(places, samplers, places)
                sink.step()
                produced[step] = tokens[:] = chosen
                positions += 1
        return produced

    def log_likelihood(self, ids: Sequence[int], going_on: Callable[[], None]) -> float:
        """Sum of ln p(ids[n] | ids[:n]) over n from 1, in nats: llama.cpp's float32 logits, log-softmax in float64.

        Takes the context's first sequence. Raises EngineError when llama.cpp refuses a batch.
        """
        np = self._np
        self.clear()
        tokens, total = np.array(ids, dtype=np.int32), 0.0
        last = len(tokens) - 1
        chunk = min(_SCORED_AT_ONCE, self._n_batch)
        for begin in range(0, last, chunk):
            going_on()
            count = min(chunk, last - begin)
            self._tokens[:count] = tokens[begin : begin + count]
            self._positions[:count] = np.arange(begin, begin + count)
            self._sequences[:count] = 0
            self._wanted[:count] = 1
            self._batch.n_tokens = count
            self._decode()
            address = self._logits_at(self._context, 0)
            if not address:
                raise EngineError("llama.cpp gave no logits", remedy="worker.log has more.")
            logits = self._view(address, count).astype(np.float64)
            most = logits.max(axis=1)
            sums = most + np.log(np.exp(logits - most[:, None]).sum(axis=1))
            chosen = logits[np.arange(count), tokens[begin + 1 : begin + 1 + count]]
            total += float((chosen - sums).sum())
        self.clear()
        return total

    def _prefill(self, prompts: tuple[tuple[int, ...], ...], samplers: list[Any]) -> "Array":
        """Work through all prompts, one behind the other, and choose the first token of each sequence."""
        np = self._np
        lengths = np.array([len(prompt) for prompt in prompts])
        tokens = np.concatenate([np.array(prompt, dtype=np.int32) for prompt in prompts])
        sequences = np.repeat(np.arange(len(prompts), dtype=np.int32), lengths)
        ends = np.cumsum(lengths)
        positions = np.arange(len(tokens), dtype=np.int32) - np.repeat(ends - lengths, lengths)
        first: Array = np.zeros(len(prompts), dtype=np.int32)
        for begin in range(0, len(tokens), self._n_batch):
            end = min(begin + self._n_batch, len(tokens))
            count = end - begin
            self._tokens[:count] = tokens[begin:end]
            self._positions[:count] = positions[begin:end]
            self._sequences[:count] = sequences[begin:end]
            self._wanted[:count] = 0
            last = ends[(ends > begin) & (ends <= end)] - 1 - begin
            self._wanted[last] = 1
            self._batch.n_tokens = count
            self._decode()
            if len(last):
                who = sequences[begin + last].tolist()
                first[who] = self._choose(last.tolist(), samplers, who)
        return first

    def _decode(self) -> None:
        status = self._api.llama_decode(self._context, self._batch)
        if status:
            meaning = {1: "no room in the KV cache", 2: "aborted", -1: "it is not a valid batch"}.get(status, "failed")
            raise EngineError(f"llama_decode answered {status}: {meaning}", remedy="worker.log has more.")

    def _choose(self, places: "range | list[int]", samplers: list[Any], who: "range | list[int]") -> Any:
        """The next token of each sequence in `who`, whose logits belong to the batch's tokens at `places`."""
        if samplers:
            sample, context = self._api.llama_sampler_sample, self._context
            return [sample(samplers[sequence], context, place) for sequence, place in zip(who, places, strict=True)]
        # Rows of wanted logits lie one behind the other. The call waits for the device.
        address = self._logits_at(self._context, places[0])
        if not address:
            raise EngineError("llama.cpp gave no logits for the last token", remedy="worker.log has more.")
        view = self._views.get((address, len(places)))
        if view is None:
            view = self._view(address, len(places))
        return view.argmax(axis=1)

    def _view(self, address: int, rows: int) -> "Array":
        """The logits at an address, without copying. llama.cpp seldom moves its buffer."""
        if len(self._views) > 64:
            self._views.clear()
        memory = (ctypes.c_float * (rows * self._vocabulary)).from_address(address)
        view: Array = self._np.ctypeslib.as_array(memory).reshape(rows, self._vocabulary)
        self._views[address, rows] = view
        return view

    @contextmanager
    def _samplers(self, batch: Batch) -> Iterator[list[Any]]:
        """One chain for each sequence, seeded by its place: top-k, temperature, top-p, draw. None for greedy.

        Transformers applies the temperature first, which leaves the k likeliest the same.
        """
        chains: list[Any] = []
        api = self._api
        try:
            for place in range(len(batch.prompts) if batch.temperature > 0 else 0):
                chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
                chains.append(chain)
                if batch.top_k:
                    api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_k(batch.top_k))
                api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(batch.temperature))
                if batch.top_p < 1:
                    api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_p(batch.top_p, 1))
                seed = (batch.seed * 65537 + place) % _MAX_SEED
                api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(seed))
            yield chains
        finally:
            for chain in chains:
                api.llama_sampler_free(chain)
