"""From the requests of a load on an endpoint to its figures."""
