"""The folder of a job: its own while it runs; of one that is done, the results stay."""

import shutil
from pathlib import Path
from typing import Any

from service.jobs.job import State
from service.jobs.running_job import RESULTS


def described_results(folder: Path, id_: str) -> dict[str, Any]:
    """What the report says of the files that can be downloaded; nothing if there are none."""
    results = folder / RESULTS
    paths = sorted(results.iterdir()) if results.exists() else []
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "url": f"/jobs/{id_}/files/{path.name}"} for path in paths
    ]
    return {"files": files} if files else {}


def result_file(folder: Path, name: str) -> Path | None:
    """The file of this name among the results; None if there is none. No name leads anywhere else."""
    results = folder / RESULTS
    paths = results.iterdir() if results.exists() else ()
    return next((path for path in paths if path.name == name), None)


def remove_all_but_results(folder: Path, state: State) -> None:
    """What a job that has ended needs no more; of one that is not done, everything."""
    if state != "done" or not (folder / RESULTS).exists():
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.name != RESULTS:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
