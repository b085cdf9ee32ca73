"""`infertui pipeline`: what is typed, and what the command line does for it."""
