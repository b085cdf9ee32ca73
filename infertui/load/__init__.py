"""What is asked: prompts and the batches made of them."""
