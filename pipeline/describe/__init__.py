"""Text, captions and answers: what the describe pipeline is made of."""
