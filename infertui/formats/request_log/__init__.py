"""Files of prompts and logs of requests, whatever wrote them, as lengths and times."""
