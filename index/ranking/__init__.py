"""What a ranking is worth: CMC and mAP with intervals over identities, and re-ranking."""
