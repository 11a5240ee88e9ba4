"""Builds the image, brings the compose file up, and goes the tour: enrol, query, kill, query again, down and up again.

Without any setting the container has to serve the shipped checkpoint, if there is one, with its gallery, and score it;
what somebody deletes of the gallery stays deleted. Its container is read-only and has no rights.

    python deploy/image_test.py [--json]      needs a Docker engine; `make image-test` runs it

It uses a project name, and so containers and a volume, of its own, and removes them at the end.
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from index.datasets.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "sanet-retrieval"
DEMO = read_manifest(ROOT / "demo")
SHIPS = (ROOT / "demo" / "sanet.safetensors").exists()
NUM_DEMO = DEMO.count("role")["gallery"] if SHIPS else 0
CLIENT = httpx2.Client(base_url="http://127.0.0.1:8000", timeout=120)


def run(*command: str) -> str:
    """The standard output of a command that has to succeed."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def compose(*arguments: str) -> str:
    """Compose v2 where it is, else 1.29."""
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    return run(*program, "--project-name", "sanet-image-test", *arguments)


def wait_until_ready() -> float:
    """Seconds until /readyz says yes."""
    start = time.perf_counter()
    while time.perf_counter() - start < 300:
        try:
            if CLIENT.get("/readyz").status_code == 200:
                return time.perf_counter() - start
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the service did not become ready:\n{compose('logs', '--tail', '50')}")


def wait_until_healthy() -> None:
    """Until Docker's own health check agrees."""
    container = compose("ps", "-q", "service")
    for _ in range(60):
        if run("docker", "inspect", "--format", "{{.State.Health.Status}}", container) == "healthy":
            return
        time.sleep(1)
    raise RuntimeError("the container never became healthy")


def require_few_rights() -> None:
    """That the service's container is not root, can write to its volumes and /tmp alone, and can get no rights."""
    container = compose("ps", "-q", "service")
    host = json.loads(run("docker", "inspect", "--format", "{{json .HostConfig}}", container))
    settings = (host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"])
    if settings != (True, ["ALL"], ["no-new-privileges:true"]):
        raise RuntimeError(f"the container has other rights than the compose file says: {settings}")
    status = compose("exec", "-T", "service", "cat", "/proc/1/status")
    rights = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if any(int(rights[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")):
        raise RuntimeError(f"the service has capabilities:\n{status}")
    if rights["NoNewPrivs"] != "1" or "0" in rights["Uid"].split() + rights["Gid"].split():
        raise RuntimeError(f"the service is root or could become it:\n{status}")
    # Each folder, and whether a file can be made in it.
    folders = {"/": 0, "/opt/sanet": 0, "/home/sanet": 0, "/etc": 0, "/data": 1, "/tmp": 1, "/var/tmp": 1}
    for folder, expected in folders.items():
        made = f"if touch {folder}/probe 2>/dev/null; then rm {folder}/probe; echo 1; else echo 0; fi"
        if int(compose("exec", "-T", "service", "sh", "-c", made)) != expected:
            raise RuntimeError(f"{folder} can {'not ' if expected else ''}be written to")


def require_large_upload() -> None:
    """That an upload is taken which is larger than /tmp: it waits on the disk. Nothing of it is kept."""
    files = [("images", (f"{number}.bin", bytes(30_000_000))) for number in range(4)]
    answer = CLIENT.post("/gallery", files=files)
    if answer.status_code != 422 or answer.json()["rejected"] != len(files):
        raise RuntimeError(f"a large upload was not read: {answer.status_code} {answer.text[:500]}")


def crop(seed: int) -> bytes:
    """A random smooth picture as PNG."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((48, 96), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def query_all(num: int) -> list[dict[str, Any]]:
    """The best match of each crop, which has to be itself."""
    best = []
    for seed in range(num):
        answer = CLIENT.post("/query", files={"image": crop(seed)}).json()
        best.append(answer["matches"][0])
        if best[-1]["identity"] != f"vehicle {seed}" or answer["searched"] != max(NUM_DEMO - 1, 0) + num:
            raise RuntimeError(f"crop {seed} does not find itself: {answer['matches'][:2]}")
    return best


def wait_until_scored() -> dict[str, Any]:
    """What /metrics says of the shipped checkpoint on the demo set, once it is done."""
    for _ in range(600):
        scored: dict[str, Any] = CLIENT.get("/metrics", headers={"Accept": "application/json"}).json()
        if scored["heldout"]["state"] in ("done", "failed", "absent"):
            break
        time.sleep(1)
    if scored["heldout"]["state"] != "done" or scored["dataset"] != DEMO.protocol.dataset:
        raise RuntimeError(f"the shipped checkpoint was not scored on the demo set: {scored}")
    return scored


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    run("docker", "build", "--network", "host", "--tag", IMAGE, ".")
    try:
        compose("up", "--detach")
        ready_s = wait_until_ready()
        card, stats = CLIENT.get("/model").json(), CLIENT.get("/gallery/stats?limit=0").json()
        if card["trained"] != SHIPS or stats["searchable"] != NUM_DEMO:
            raise RuntimeError(f"expected the shipped model, if any, and {NUM_DEMO} vehicles, got {card} and {stats}")
        if not card["runtime"].startswith("OpenVINO"):
            raise RuntimeError(
                f"expected OpenVINO to run the network, got {card['runtime']}: what did deploy/trim remove?"
            )
        files = [("images", (f"{seed}.png", crop(seed))) for seed in range(8)]
        metadata = json.dumps([{"identity": f"vehicle {seed}"} for seed in range(8)])
        enrolled = CLIENT.post("/gallery", files=files, data={"metadata": metadata}).json()
        if enrolled["enrolled"] != 8:
            raise RuntimeError(f"not everything was enrolled: {enrolled}")
        if NUM_DEMO:  # one that is deleted must not come back with the next start
            demo_vehicle = CLIENT.get("/gallery?limit=1").json()["records"][0]["id"]
            CLIENT.delete(f"/gallery/{demo_vehicle}")
        before = query_all(8)
        wait_until_healthy()
        user = compose("exec", "-T", "service", "id", "-u")
        if user == "0":
            raise RuntimeError("the service runs as root")
        require_few_rights()
        require_large_upload()
        compose("kill", "service")
        compose("up", "--detach")
        ready_again_s = wait_until_ready()
        compose("down")
        compose("up", "--detach")
        wait_until_ready()
        if query_all(8) != before:
            raise RuntimeError("the answers changed over the restarts")
        scored = wait_until_scored() if SHIPS else None
    finally:
        compose("down", "--volumes")
    result = {
        "has_few_rights": True,
        "image_bytes": int(run("docker", "image", "inspect", "--format", "{{.Size}}", IMAGE)),
        "first_ready_s": round(ready_s, 1),
        "ready_again_s": round(ready_again_s, 1),
        "user": int(user),
        "found": len(before),
        "demo_rank1": scored and scored["cmc"]["1"],
        "demo_map": scored and scored["map"],
    }
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
