"""What an agent is made of, in words, numbers and pictures."""
