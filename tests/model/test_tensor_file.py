import re
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from model.tensor_file import save_tensors


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    save_tensors(tmp_path / "new" / "a.safetensors", {"x": torch.arange(3)}, {"format": "f"})
    with safe_open(tmp_path / "new" / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "f"}
        assert file.get_tensor("x").tolist() == [0, 1, 2]


# In a process of its own: the limit would also hold for what the test runner prints into a file.
SAVES_WHERE_NO_FILE_MAY_BE_LARGER_THAN_10_KB = """
import resource, signal, sys
from pathlib import Path
import torch
from model.tensor_file import save_tensors

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_tensors(Path(sys.argv[1]), {"x": torch.zeros(10_000)}, {})
except OSError as error:
    print(error)
"""


def test_what_cannot_be_written_is_an_error_of_the_system_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.zeros(3)}, {})
    before = path.read_bytes()
    child = subprocess.run(
        [sys.executable, "-c", SAVES_WHERE_NO_FILE_MAY_BE_LARGER_THAN_10_KB, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"cannot write .*a\.safetensors: .+\n", child.stdout)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == before
