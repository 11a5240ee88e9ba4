"""The methods that the paper compares itself with (Table II): one network a file."""
