"""From a model to a report by one command: the steps, what is kept of them, and what is told in the end."""
