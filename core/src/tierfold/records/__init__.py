"""Record logic of embedded stores: synchronous functions over one transaction of an ordered engine."""
