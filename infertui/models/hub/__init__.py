"""Models of the Hugging Face hub: cached, asked for, downloaded."""
