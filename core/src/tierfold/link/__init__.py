"""The link machine: what the nearer side of a link asks of two stores, and what it decides from their answers.

Sans-I/O: coroutines over the store contract that await nothing else, so a transport, a simulator or a test drives them
by answering their calls. Clock and token are handed in.
"""
