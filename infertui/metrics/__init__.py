"""Every figure that is told of a run, written down once: name, unit, statistic, direction, how it is read and shown."""
