"""What runs when, and where: the queue and the devices."""
