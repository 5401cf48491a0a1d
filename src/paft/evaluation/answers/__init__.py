"""What is asked for an answer and how it is read: the same for every backend, without torch."""
