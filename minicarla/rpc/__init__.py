"""Sessions with clients: remote calls, the world message, and what protects clients from their own defects."""
