"""The Runner: owns the runs, the worker, the telemetry and the store; everything else watches it through events."""
