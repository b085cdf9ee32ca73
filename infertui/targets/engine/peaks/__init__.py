"""What a device can do at most, measured: a large copy, and large matrix products in each number format."""
