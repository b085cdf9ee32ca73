"""The adapters to inference backends: the protocol, the registry and one module per backend."""
