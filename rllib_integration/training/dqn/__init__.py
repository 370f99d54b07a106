"""The library's DQN: RLlib's algorithm with faster replay and sampling rounds."""
