"""A server behind a URL: what it is asked, in which dialect, and what its answers say."""
