"""How much load an endpoint takes while it keeps its objectives: what was seen decides what is asked next. Pure."""
