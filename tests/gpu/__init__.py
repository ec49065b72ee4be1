"""What only an NVIDIA GPU shows: `make test-gpu`."""
