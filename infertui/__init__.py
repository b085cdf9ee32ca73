"""infertui: the cockpit for LLM inference on a GPU box."""

__version__ = "0.1.0"
