"""What infertui tells Prometheus: families of figures, their exposition, and the server of those who scrape."""
