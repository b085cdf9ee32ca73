"""How many layers of a model to put on a GPU: what a study measures, what it finds, which profiles it leaves. Pure."""
