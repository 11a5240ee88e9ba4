"""Draws UAV-Synth: crops of procedural vehicles as a drone sees them, with identities and headings.

    python -m training.synthetic --out DIR --identities N --images-per-identity K --seed S

Edition 1 is UAV-Synth: five vehicles in ten are for training, one for validation, four for the test, where the first
view of each is the gallery and the others are queries. Edition 2 is for training only: vehicles that differ as real
ones do, each image with its surroundings, the vehicle's tight box and, as K.mask.png, its visible pixels.

The same numbers give the same bytes, with any number of workers. Interrupted, the same command goes on; with more
identities or images it adds them.
"""

import json
import sys

from tqdm import tqdm

from index.command_parser import CommandParser
from model.cores import usable_cores
from model.given_path import given_path
from model.number import whole_number
from training.arguments import at_least_one, seed
from training.synthetic.generate import DataSet, StoppedError, SyntheticError, generate
from training.synthetic.settings import EDITIONS, Settings


def main() -> int:
    """The command: 0 when done, 1 if it cannot be drawn there, 2 for wrong arguments."""
    parser = CommandParser(prog="python -m training.synthetic", description=__doc__)
    parser.add_argument("--out", type=given_path, required=True, help="the data set's folder, new or begun before")
    parser.add_argument("--identities", type=at_least_one, required=True, help="vehicles")
    parser.add_argument(
        "--surroundings", action="store_true", help="show more than the crop, which becomes a box: for turning frames"
    )
    parser.add_argument(
        "--edition",
        type=whole_number,
        choices=sorted(EDITIONS),
        default=1,
        help="1: UAV-Synth; 2: for training only (default 1)",
    )
    parser.add_argument("--images-per-identity", type=at_least_one, default=9, help="views of each (default 9)")
    parser.add_argument("--seed", type=seed, default=0, help="another seed, other vehicles (default 0)")
    parser.add_argument(
        "--workers", type=at_least_one, default=usable_cores(), help="processes (default: one per core)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, as the last line")
    args = parser.parse_args()
    if args.edition == 2 and args.surroundings:
        parser.error("argument --surroundings: edition 2 always has them: leave it out")
    settings = EDITIONS[args.edition]() if args.edition != 1 else Settings(surroundings=args.surroundings)
    data_set = DataSet(args.identities, args.images_per_identity, args.seed, settings)
    try:
        total = args.identities * args.images_per_identity
        with tqdm(total=total, unit="img", disable=args.quiet) as bar:
            info = generate(args.out, data_set, args.workers, bar.update)
    except StoppedError:
        return _fail("stopped; the same command goes on")
    except (SyntheticError, OSError) as error:
        return _fail(str(error))
    result = {"manifest": str(args.out / "manifest.csv"), "num_images": total, **info}
    text = f"{result['manifest']}: {total} images of {args.identities} vehicles, SHA-256 {info['images_sha256']}"
    sys.stdout.write((json.dumps(result) if args.json else text) + "\n")
    return 0


def _fail(text: str) -> int:
    sys.stderr.write(f"training.synthetic: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
