"""Downloads of models while the runner goes on."""
