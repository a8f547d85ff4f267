"""What a trainer costs: parameters, operations, memory and time."""
