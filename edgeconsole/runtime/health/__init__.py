"""What the device feels: temperature, power, processor, memory. Unknown is a value."""
