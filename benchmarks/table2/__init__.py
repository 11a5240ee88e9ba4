"""The paper's Table II: SANet beside the methods that it is compared with, under one trainer and one protocol."""
