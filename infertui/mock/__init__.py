"""A mock of inference servers with times that are known: the truth that clients are held against.

It generates no tokens of a model. Everything it says of itself says that it is a mock.
"""
