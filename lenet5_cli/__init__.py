"""LeNet-5 over a layer engine written from scratch in NumPy einsum."""

__version__ = "0.1.0"
