"""Device and host readings: NVML, the sampler, what is visible."""
