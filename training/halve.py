"""Writes a checkpoint once more in half the bytes: its weights in float16. It is the form that ships.

    python -m training.halve --checkpoint FILE --out FILE

The network computes in float32 as before, from rounded weights: another model with another fingerprint, so evaluate it
anew.
"""

import json
import sys

from index.command_parser import CommandParser
from model.checkpoint import CheckpointError, halve_checkpoint
from model.given_path import given_path


def main() -> int:
    """The command: 0 when written, 1 if it cannot be, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m training.halve", description=__doc__)
    parser.add_argument("--checkpoint", type=given_path, required=True, help="the .safetensors checkpoint to read")
    parser.add_argument("--out", type=given_path, required=True, help="the .safetensors file to write, a new one")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    args = parser.parse_args()
    try:
        if args.out.exists():
            raise FileExistsError(f"{args.out} is there already: remove it, or choose another --out")
        fingerprint = halve_checkpoint(args.checkpoint, args.out)
        size = args.out.stat().st_size
    except (CheckpointError, OSError) as error:
        sys.stderr.write(f"training.halve: {error}\n")
        return 1
    result = {"checkpoint": str(args.out), "fingerprint": fingerprint, "size_bytes": size}
    text = f"{args.out}: {size / 1e6:.1f} MB, model {fingerprint}"
    sys.stdout.write((json.dumps(result) if args.json else text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
