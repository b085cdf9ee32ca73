"""Commands about the machine: its GPUs, engines, models, runner and config."""
